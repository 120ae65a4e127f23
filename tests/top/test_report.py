"""The report: its plan, the images it takes, its numbers, its page, and the command."""

import base64
import dataclasses
import functools
import io
import itertools
import json
import math
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ratereg import MLP, Convolutional, Data, Results, Study, load_or_run, report
from ratereg.data import load
from ratereg.report import findings
from ratereg.report.command import betas_of, network_of
from ratereg.report.shown import items, sheet, table
from ratereg.storage import StorageError
from synthetic import synthetic

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save_images(file: Path) -> Path:
    """Save 80 gray images of 8 x 8 pixels, 40 for training and 40 for testing, all of them different."""
    np.save(file, np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8))
    return file


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return save_images(tmp_path / "mine.npy")


# The plan


def test_the_steps_fit_the_time_and_the_same_call_gives_the_same_study(images: Path) -> None:
    small = {"networks": [MLP(width=8)], "betas": [1, 0.1], "device": "cpu"}
    steps = report.plan_study(images, minutes=0.5, **small).steps
    assert 300 <= steps <= 20_000
    assert report.plan_study(images, minutes=0.5, **small).steps == steps
    longer = report.plan_study(images, minutes=1, **small).steps
    assert longer == 20_000 or 1.8 < longer / steps < 2.2


def test_too_little_time_is_refused_with_what_would_do(images: Path) -> None:
    with pytest.raises(ValueError, match=r"minutes is 1e-07, and 300 training steps of 30 networks .* give more"):
        report.plan_study(images, minutes=1e-7, device="cpu")
    with pytest.raises(ValueError, match="minutes is 0; give a positive number"):
        report.plan_study(images, minutes=0)


def test_given_settings_are_taken_and_nothing_is_timed(images: Path, cache: Path) -> None:
    network = MLP(layers=2, width=16)
    study = report.plan_study(images, minutes=1e-7, steps=7, networks=[network], betas=[1, 0.1], seeds=2)
    assert (study.steps, study.axis_networks, study.axis_betas, len(study.axis_seeds)) == (7, (network,), (1, 0.1), 2)
    assert not (cache / "seconds").exists()
    assert report.plan_study(images, steps=7, binarize="static").axis_data[0].binarize == "static"


def test_images_are_limited_where_there_are_more_and_too_few_are_refused(images: Path, tmp_path: Path) -> None:
    (data,) = report.plan_study(images, images=35, steps=1).axis_data
    assert (data.n_train, data.n_test) == (35, 35)
    (data,) = report.plan_study(images, steps=1).axis_data
    assert (data.n_train, data.n_test) == (None, None)
    np.save(tmp_path / "few.npy", np.zeros((40, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"few.npy' has 20 images for training; give at least 32 of each side"):
        report.plan_study(tmp_path / "few.npy")
    with pytest.raises(ValueError, match="images is 5; give at least 32"):
        report.plan_study(images, images=5)


# Images of several sizes


def test_images_of_several_sizes_and_kinds_become_alike(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    (folder / "a").mkdir()
    Image.new("L", (40, 20), 100).save(folder / "a" / "1.png")
    Image.new("RGB", (16, 16), "red").save(folder / "b" / "1.jpg", quality=100)
    Image.new("RGBA", (9, 30), (0, 0, 0, 0)).save(folder / "b" / "2.png")
    (folder / ".hidden").write_text("no image")
    copy = report.resized(folder, 8)
    assert copy.name == "photos"
    read = {path.relative_to(copy).as_posix(): np.asarray(Image.open(path)) for path in copy.rglob("*.png")}
    assert {name: pixels.shape for name, pixels in read.items()} == dict.fromkeys(
        ["a/1.png.png", "b/1.jpg.png", "b/2.png.png"], (8, 8, 3)
    )
    assert (read["a/1.png.png"] == 100).all()
    assert (read["b/2.png.png"] == 255).all()
    assert np.abs(read["b/1.jpg.png"].astype(int) - [255, 0, 0]).max() < 8
    assert load(copy, split="default").image_shape == (3, 8, 8)
    written = (copy / "a" / "1.png.png").stat().st_mtime_ns
    assert report.resized(folder, 8) == copy
    assert (copy / "a" / "1.png.png").stat().st_mtime_ns == written
    Image.new("L", (5, 5)).save(folder / "a" / "3.png")
    assert report.resized(folder, 8) != copy


def test_gray_images_stay_gray_and_the_edge_is_cut(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30), dtype=np.uint8)
    pixels[:, 10:20] = 200
    (tmp_path / "gray").mkdir()
    Image.fromarray(pixels).save(tmp_path / "gray" / "1.png")
    (made,) = report.resized(tmp_path / "gray", 4).iterdir()
    assert (np.asarray(Image.open(made)) == 200).all()


def test_folders_that_cannot_be_resized_are_refused(tmp_path: Path, images: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_text("no image")
    for folder, size, message in (
        (images, 8, "size is for folders of images"),
        (tmp_path / "empty", 8, "is empty"),
        (tmp_path / "empty", 3, "size is 3; give the pixels of a side, from 4 to 512"),
        (tmp_path / "bad", 8, r"1\.png can't be read as an image"),
    ):
        with pytest.raises(ValueError, match=message):
            report.resized(folder, size)


# Findings, on results of which no two numbers are equal


def distinct(beta: float, layers: int, seed: int, partition: str, step: int, **_: object) -> float:
    """Return a number whose digits name its place."""
    side = {"train": 100.0, "test": 300.0}[partition]
    return side + 1000 * layers + 10 * [1, 0.1].index(beta) + seed + (step < STUDY.steps) * 50


STUDY = Study(
    data=Data("mnist", n_train=2000), network=[MLP(layers=1), MLP(layers=3)], betas=[1, 0.1], seeds=3, steps=100
)


@pytest.fixture
def told() -> Results:
    return synthetic(STUDY, distinct, lambda **at: distinct(**at) / 7)


def test_the_numbers_are_the_means_of_their_own_side_network_and_beta(told: Results) -> None:
    found = findings.numbers(told)
    assert len(found) == 4
    for layers, name in ((1, "1 x 512"), (3, "3 x 512")):
        for beta in (1, 0.1):
            row = found.loc[name].set_index("β").loc[f"{beta:g}"]
            for partition, side in (("train", "training"), ("test", "test")):
                mean = np.mean([distinct(beta, layers, seed, partition, 100) for seed in range(3)])
                # Seeds are 0, 1 and 2: a standard deviation of 1, and t = 4.30 for three of them.
                assert row[f"D, {side}"] == f"{mean:.1f} ± 2.5"
                assert row[f"R, {side}"] == f"{mean / 7:.1f} ± 0.4"
            assert row["gap"] == "200.0 ± 0.0"
            assert row["I, training"].split(" ±")[0] == f"{math.log(2000):.1f}"
            rate = np.mean([distinct(beta, layers, seed, "train", 100) / 7 for seed in range(3)])
            assert row["KL, training"].split(" ±")[0] == f"{rate - math.log(2000):.1f}"


def test_networks_that_have_not_converged_or_have_overfitted_are_named() -> None:
    study = STUDY.replace(network=MLP(), betas=[5, 1, 0.3, 0.1])
    ends = {5: 90.0, 1: 100.5, 0.3: 110.0, 0.1: 100.0}
    before = study.record_steps[-2]

    def distortion(beta: float, partition: str, step: int, **_: object) -> float:
        return ends[beta] if partition == "test" and step == study.steps else 100.0 + (step < before)

    results = synthetic(study, distortion)
    found = findings.convergence(results).set_index("beta")
    assert found["word"].to_dict() == {5: "still falling", 1: "converged", 0.3: "rising", 0.1: "converged"}
    assert found["lowest"].to_dict() == {5: 100, 1: before, 0.3: before, 0.1: before}
    assert found["change"].to_dict() == pytest.approx({5: -10 / 90, 1: 0.5 / 100.5, 0.3: 10 / 110, 0.1: 0})
    assert found["above"].to_dict() == pytest.approx({5: 0, 1: 0.5 / 100.5, 0.3: 10 / 110, 0.1: 0})
    warnings = findings.warnings(results)
    assert any(one.startswith("Not converged") and "in 1 of 4" in one and "β = 5." in one for one in warnings)
    assert any(one.startswith("Overfitting") and f"β = 0.3 (lowest at step {before})." in one for one in warnings)


def test_divergence_few_images_few_seeds_and_missing_weights_are_warned_of() -> None:
    results = synthetic(STUDY.replace(data=Data("mnist", n_train=200), betas=[3, 0.1], seeds=2))
    table = results.table.copy()
    lost = table["member"] == 0
    table.loc[lost, "diverged_at"] = 5.0
    table.loc[lost & (table["step"] > 5), ["rate", "distortion", "mutual_information", "marginal_kl"]] = np.nan
    warnings = " ".join(findings.warnings(dataclasses.replace(results, table=table)))
    for part in (
        "β = 1 and β = 0.1 were not both measured",
        "Too few seeds: 2",
        "Few images: 200",
        "Divergence: 1 of 8 networks",
    ):
        assert part in warnings
    assert not [one for one in findings.warnings(synthetic(STUDY)) if not one.startswith(("Not conv", "Overf"))]


def test_active_latents_are_counted_for_each_network_and_beta(told: Results) -> None:
    # Of the network with L layers, seed s and beta = 1, L + s latents vary; at beta = 0.1 one more does.
    members = told.final.drop_duplicates("member").sort_values("member")
    active = members["layers"] + members["seed"] + (members["beta"] < 1)
    varying = np.linspace(-1, 1, 16)[:, None]
    means = np.stack([np.where(np.arange(10) < count, varying, 0.5) for count in active])
    found = findings.numbers(dataclasses.replace(told, arrays={"train_mean": means}))
    assert found["active latents"].str.split(" ±").str[0].tolist() == ["2.0", "3.0", "4.0", "5.0"]
    assert found["β"].tolist() == ["1", "0.1", "1", "0.1"]
    assert found.index.tolist() == ["1 x 512", "1 x 512", "3 x 512", "3 x 512"]


def test_copies_of_training_images_are_counted(tmp_path: Path) -> None:
    train = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", train=train, test=np.concatenate([train[1:3], 255 - train[:1]]))
    assert findings.copies(load(tmp_path / "mine.npz")).startswith("2 of 3 test images are copies")
    np.savez(tmp_path / "mine.npz", train=train, test=255 - train)
    assert findings.copies(load(tmp_path / "mine.npz")) == "No test image is a copy of a training image."


def test_a_sheet_has_every_image_in_its_place() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 4), dtype=np.uint8)
    drawn = sheet(images, columns=2)
    assert drawn.shape == (3 * 4, 2 * 6, 3)
    assert drawn[1::4, 1::6, 0].tolist() == [[0, 1], [2, 3], [4, 255]]
    assert (drawn[::4] == 255).all()


def test_names_are_escaped() -> None:
    shown = table(pd.DataFrame({"<i>": ["<u>"]}, index=pd.Index(["<s>"], name="<b>")), "<p>").data
    assert not re.search("<[iusb]>|<p>", shown)
    assert all(f"&lt;{letter}&gt;" in shown for letter in "iusbp")
    assert "&lt;i&gt;" in items(["<i>"]).data


# The page, of a real training


class Page(HTMLParser):
    """A page: tags with their attributes, in order, its text, and its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def rows_below(self, column: str) -> list[dict[str, str]]:
        """Return the rows of the table that has a column."""
        (found,) = (one for one in re.findall(r"<table.*?</table>", self.html, re.DOTALL) if f">{column}<" in one)
        head, *rows = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in found.split("<tr")[1:])
        return [dict(zip(head, row, strict=True)) for row in rows]

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A report of six small networks trained for some steps."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RATEREG_CACHE", str(folder / "cache"))
        file = save_images(folder / "me & you.npy")
        networks = [MLP(layers=1, width=8), MLP(layers=2, width=8)]
        study = report.plan_study(file, steps=6, networks=networks, betas=[1, 0.1], device="cpu")
        results = load_or_run(study, device="cpu", progress=False)
        path = report.write_report(results, folder / "page.html", command='ratereg report "<x>"')
    return SimpleNamespace(path=path, results=results, page=Page(path.read_text(encoding="utf-8")))


def test_a_page_stands_alone_and_is_in_order(made: SimpleNamespace) -> None:
    page = made.page
    assert page.all("html") == [{"lang": "en"}]
    assert "<title>Rate-distortion report: me &amp; you</title>" in page.html
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    linked = [attributes["href"] or "" for attributes in page.all("a")]
    assert {link[1:] for link in linked if link.startswith("#")} <= set(ids)
    assert not page.all("script", "link", "iframe")
    assert not re.findall(r"url\((?!data:)|@import", page.html)
    assert [link for link in linked if link.startswith("http")] == [
        "https://proceedings.mlr.press/v130/bozkurt21a.html"
    ]
    assert all((attributes["src"] or "").startswith("data:") for attributes in page.all("img"))
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == 8
    assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))
    assert len(page.html.encode()) < 3_000_000
    assert "&lt;x&gt;" in page.html
    assert "No test image is a copy of a training image." in page.text
    assert "Traceback" not in page.text


def test_the_page_has_the_numbers_of_the_results(made: SimpleNamespace) -> None:
    results = made.results
    link = next(one for one in made.page.all("a") if "download" in one)
    numbers = pd.read_csv(io.BytesIO(base64.b64decode((link["href"] or "").partition("base64,")[2])))
    for column in ("rate", "distortion", "mutual_information", "marginal_kl", "importance_weighted_bound"):
        np.testing.assert_allclose(numbers[column], results.final[column], rtol=1e-5)
    rows = made.page.rows_below("R, training")
    for row in rows:
        name, beta = row["network"], float(row["β"])
        final = results.final[(results.final["layers"] == int(name.split()[0])) & (results.final["beta"] == beta)]
        train, test = (final[final["partition"] == side] for side in ("train", "test"))
        for cell, values in (
            ("R, training", train["rate"]),
            ("I, training", train["mutual_information"]),
            ("KL, training", train["marginal_kl"]),
            ("D, training", train["distortion"]),
            ("R, test", test["rate"]),
            ("D, test", test["distortion"]),
        ):
            assert float(row[cell].split(" ±")[0].replace("−", "-")) == pytest.approx(values.mean(), abs=0.0501)
    assert len(rows) == 4


def test_the_executed_notebook_lies_beside_the_page_and_has_all_settings(made: SimpleNamespace) -> None:
    notebook = nbformat.read(made.path.with_suffix(".ipynb"), as_version=4)
    assert {"href": "page.ipynb"} in made.page.all("a")
    (injected,) = (cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", []))
    names: dict[str, Any] = {}
    exec(injected.source, names)
    assert json.loads(json.dumps(names["settings"])) == json.loads(json.dumps(made.results.study.settings))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    assert sorted(path.name for path in made.path.parent.iterdir()) == [
        "cache",
        "me & you.npy",
        "page.html",
        "page.ipynb",
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "light"), (1400, "dark")])
def test_axe_finds_no_serious_violation_and_nothing_is_wider_than_the_screen(
    made: SimpleNamespace, width: int, scheme: Any
) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None or not AXE.is_file():
        pytest.skip("There is no Chromium or no axe-core, so the page was not looked at.")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(made.path.as_uri())
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.add_script_tag(path=str(AXE))
        violations = page.evaluate("axe.run()")["violations"]
        browser.close()
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(made: SimpleNamespace, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.with_suffix(".ipynb").write_text("mine")
    with pytest.raises(ValueError, match=r"page.ipynb' is there already; give another name, or --force"):
        report.write_report(made.results, page)
    page.write_text("mine")
    broken = dataclasses.replace(made.results, table=made.results.table.drop(columns="rate"))
    with pytest.raises(Exception, match="rate"):
        report.write_report(broken, page, replace=True)
    assert page.read_text() == page.with_suffix(".ipynb").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "page.html", "page.ipynb"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(StorageError, match="can't be written"):
        report.checked_output(tmp_path / "file" / "page.html")
    with pytest.raises(ValueError, match="is a folder"):
        report.checked_output(tmp_path / "folder.html", replace=True)
    with pytest.raises(ValueError, match=r"give a file that ends in \.html"):
        report.checked_output(tmp_path / "page.pdf")


# The command


def test_networks_and_weights_are_read() -> None:
    assert network_of("3x512") == MLP(layers=3, width=512)
    assert network_of("conv32") == Convolutional(width=32)
    assert betas_of("3,1,0.1") == betas_of("[3, 1, 0.1]") == [3, 1, 0.1]


@pytest.fixture
def ratereg(typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run `ratereg report` in an empty folder, and return its exit code."""
    monkeypatch.chdir(tmp_path)
    return functools.partial(typed, "report")


SMALL = ["--steps", "4", "--network", "1x8", "--betas", "1,0.1", "--device", "cpu"]


def test_the_command_writes_a_report_and_writes_it_again_without_training(
    ratereg: Callable[..., int], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("mine.npy", *SMALL) == 0
    shown = capsys.readouterr().out
    assert "6 networks: 1 x 8; beta = 1, 0.1; 3 seeds; 4 steps" in shown
    assert "written: mine-report.html" in shown
    page = Page((tmp_path / "mine-report.html").read_text())
    assert "Rate-distortion report: mine" in page.text
    assert "ratereg report mine.npy --steps 4" in page.text
    assert ratereg("mine.npy", *SMALL) == 2
    assert "is there already" in capsys.readouterr().err
    weights = sorted((tmp_path / "cache").rglob("*.safetensors"))
    written = [file.stat().st_mtime_ns for file in weights]
    assert len(written) == 6
    assert ratereg("mine.npy", *SMALL, "--force") == 0
    assert [file.stat().st_mtime_ns for file in weights] == written


def test_a_plan_only_trains_and_writes_nothing(
    ratereg: Callable[..., int], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("mine.npy", *SMALL, "--plan") == 0
    assert "6 networks: 1 x 8; beta = 1, 0.1; 3 seeds; 4 steps" in capsys.readouterr().out
    assert not (tmp_path / "mine-report.html").exists()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either a PATH or --study NAME"),
        (["mine.npy", "--study", "plane"], "give either a PATH or --study NAME"),
        (["nowhere/"], "neither a known set nor a path"),
        (["some/where.npy"], "is not there; give the path"),
        (["mine.npy", "--network", "deep"], "--network is 'deep'; give 3x512"),
        (["mine.npy", "--betas", "1;2"], "--betas is '1;2'; give numbers with commas"),
        (["mine.npy", "--likelihood", "poisson"], "likelihood is 'poisson'"),
        (["mine.npy", "--binarize", "twice"], "binarize is 'twice'"),
        (["mine.npy", "--size", "8"], "size is for folders of images"),
        (["mine.npy", "--output", "mine.npy"], "give a file that ends in .html"),
        (["odd", "--plan"], "give images of one size and kind"),
        (["--study", "plain"], "give one of 'capacity'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_refused_before_anything_is_trained(
    arguments: list[str],
    message: str,
    ratereg: Callable[..., int],
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "odd").mkdir()
    for number, size in enumerate((4, 5)):
        Image.new("L", (size, size)).save(tmp_path / "odd" / f"{number}.png")
    assert ratereg(*arguments) == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert message in shown
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_published_study_is_reported(ratereg: Callable[..., int], tmp_path: Path) -> None:
    assert ratereg("--study", "plane", "--output", "plane.html") == 0
    assert "the published study plane" in (tmp_path / "plane.html").read_text()
