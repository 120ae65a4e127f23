import functools
import http.server
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import playwright.sync_api
import pytest

ROOT = Path(__file__).parents[2]
# In seconds; less than the time that pytest gives a test, so that the build's output is shown.
PATIENCE = 1100


@pytest.fixture(scope="session")
def site() -> Path:
    """Build the book where `make book` builds it, so that either finds the other's executed notebooks."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/", "-W", "--keep-going"]
    with tempfile.TemporaryFile("w+") as output:
        try:
            subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, timeout=PATIENCE, check=True)
        except subprocess.SubprocessError as error:
            output.seek(0)
            pytest.fail(f"{error}\n{output.read()[-6000:]}")
    return ROOT / "book" / "_build" / "html"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], AbstractContextManager[str]]:
    @contextmanager
    def serve(folder: Path) -> Iterator[str]:
        handler = functools.partial(QuietHandler, directory=str(folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/"
            server.shutdown()
            thread.join()

    return serve


@pytest.fixture(scope="session")
def address(site: Path, serve: Callable[[Path], AbstractContextManager[str]]) -> Iterator[str]:
    with serve(site) as address:
        yield address


# Not of the session: while it is open, an event loop runs in the process, in which other tests could not start theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.sync_api.Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("There is no Chromium, so no page was looked at; install the package chromium.")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()
