"""A real JupyterLab in a real browser: a chapter opens as a notebook, runs, and its live widget is used."""

import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import playwright.sync_api
import pytest
import yaml
from playwright.sync_api import expect

from ratereg.rerun import parameters_of

ROOT = Path(__file__).parents[2]
CHAPTER = "notebooks/live.md"
PATIENCE = 180_000
"""Milliseconds; of a machine with much else to do."""

OFFLINE = ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
OFFLINE += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]


class Lab(NamedTuple):
    address: str
    token: str
    folder: Path


def small_chapter() -> str:
    """Return the chapter with small networks that train until they are stopped, and waiting for them as it tells."""
    text = (ROOT / CHAPTER).read_text()
    reduced = yaml.safe_load((ROOT / "notebooks" / "reduced.yaml").read_text())["live"] | {"steps": 100_000}
    for name in set(parameters_of(ROOT / CHAPTER)) & set(reduced):
        text = re.sub(rf"^{name} = .*$", f"{name} = {reduced[name]!r}", text, count=1, flags=re.MULTILINE)
    assert "replace the next line by `results = await panel.trained()`" in text
    return text.replace("\nresults = ratereg.load_or_run(study)\n", "\nresults = await panel.trained()\n")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Start JupyterLab as `make lab` does, on a copy of the chapter, for a user without settings."""
    if importlib.util.find_spec("jupyterlab") is None:
        pytest.skip("There is no JupyterLab, so no chapter was opened in it; install the package jupyterlab.")
    folder, runtime = tmp_path / "checkout", tmp_path / "runtime"
    (folder / "notebooks").mkdir(parents=True)
    (folder / CHAPTER).write_text(small_chapter())
    shutil.copy(ROOT / "pyproject.toml", folder)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    environment |= {"JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_PATH": str(ROOT / ".jupyter")}
    for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "RATEREG_CACHE", "MPLCONFIGDIR"):
        environment[name] = str(tmp_path / name.lower())
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    command += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}", *OFFLINE]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: server.poll() is not None or any(runtime.glob("jpserver-*.json")))
            assert server.poll() is None, (tmp_path / "log").read_text()
            (facts,) = runtime.glob("jpserver-*.json")
            yield Lab(json.loads(facts.read_text())["url"], token, folder)
        finally:
            # It shuts its kernels down.
            server.terminate()
            try:
                server.wait(60)
            finally:
                server.kill()
                server.wait()


@pytest.fixture
def page() -> Iterator[playwright.sync_api.Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("There is no Chromium, so no chapter was opened in JupyterLab; install the package chromium.")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport={"width": 1300, "height": 1400})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


TRAINING = re.compile(r"Training: step [1-9][\d,]* of 100,000")


def test_a_chapter_is_a_notebook_whose_widget_trains_and_stops(lab: Lab, page: playwright.sync_api.Page) -> None:
    expect.set_options(timeout=PATIENCE)
    elsewhere: list[str] = []
    ours = (lab.address, lab.address.replace("http:", "ws:"), "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(ours) else elsewhere.append(request.url))

    # A double click on the text opens a notebook.
    page.goto(f"{lab.address}lab/tree/notebooks?token={lab.token}")
    page.locator(".jp-DirListing-item", has_text="live.md").dblclick()
    notebook = page.locator(".jp-NotebookPanel")
    expect(notebook.locator(".jp-MarkdownOutput h1")).to_contain_text("Train one and watch")
    expect(notebook.locator(".jp-mod-running, .jp-NotebookPanel-toolbar").first).to_be_visible()

    # Saved as it was opened, it is the same file.
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")).to_have_count(0)
    assert (lab.folder / CHAPTER).read_text() == small_chapter()

    # All of it runs: the cell that waits for the training as long as that is not stopped, then the others.
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    start, stop = (notebook.locator(".jupyter-button", has_text=name) for name in ("Start", "Stop"))
    status = notebook.get_by_role("status").first
    picture = notebook.locator("img[alt^='Distortion against rate in nats at step']").first
    busy = notebook.locator(".jp-InputPrompt", has_text="[*]")

    def sees_it_train() -> None:
        expect(status).to_contain_text(TRAINING)
        before = picture.get_attribute("alt")
        assert before
        expect(picture).not_to_have_attribute("alt", before)

    sees_it_train()
    expect(start).to_be_disabled()
    assert busy.count() > 0
    stop.click()
    expect(status).to_contain_text(re.compile(r"Stopped: step [1-9][\d,]* of 100,000"))
    expect(busy).to_have_count(0)
    assert notebook.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts() == []

    # It starts again, and the picture changes while the kernel is at rest.
    start.click()
    sees_it_train()

    # A control that is moved, by keyboard, starts it with the new setting.
    label = page.locator(".widget-label", has_text=re.compile("^log₁₀ of the smallest β$"))
    row = notebook.locator(".widget-hslider").filter(has=label).first
    expect(row.locator(".widget-readout")).to_have_text("−1")
    row.get_by_role("slider").press("ArrowLeft")
    expect(row.locator(".widget-readout")).to_have_text("−1.5")
    expect(picture).to_have_attribute("alt", re.compile(r"of 100,000; .*beta 0\.0316: "))
    expect(status).to_contain_text(TRAINING)

    # Stopped, it stays as it is.
    stop.click()
    expect(status).to_contain_text("Stopped: step")
    expect(stop).to_be_disabled()
    expect(start).to_be_enabled()
    at_rest = picture.get_attribute("alt")
    page.wait_for_timeout(2000)
    assert picture.get_attribute("alt") == at_rest
    assert elsewhere == []
