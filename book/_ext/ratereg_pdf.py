"""The book as one PDF, printed by Chromium from the site's single page: no LaTeX is needed. Run by `make pdf`.

Sphinx's builder singlehtml puts all pages into one. Here it gets a cover and the contents, and is printed when its
equations, pictures and widgets are drawn; a widget shows the frame that it begins with.
"""

import argparse
import importlib.metadata
import re
import shutil
from pathlib import Path

import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
STYLE = """
html, body { background: white; font-size: 10pt; }
span[id^="document-"] + section, .contents { break-before: page; }
h1, h2, h3, h4, h5 { break-after: avoid; }
figure, mjx-container, tr, .sig { break-inside: avoid; }
img, svg { max-width: 100%; height: auto; }
pre, pre * { white-space: pre-wrap; overflow-wrap: anywhere; }
table.dataframe { font-size: 8pt; }
/* What cannot be unfolded on paper: cells whose code is hidden, and links to places next to a heading. */
.tag_hide-input details, .headerlink, .viewcode-link { display: none; }
.cover { padding-top: 30vh; text-align: center; }
.contents li { list-style: none; margin: 0.2rem 0; }
"""
DRAWN = """() => [...document.querySelectorAll("script[type$='widget-view+json']")]
    .every(script => script.parentElement.querySelector('.jupyter-widgets'))"""
PAGE_NUMBER = '<div style="font-size: 8pt; width: 100%; text-align: center"><span class="pageNumber"></span></div>'


def bind(page: str) -> str:
    """Return the site's single page as it is printed: a cover, the contents, all pages, and nothing to navigate with."""
    soup = BeautifulSoup(page, "html.parser")
    book = yaml.safe_load((ROOT / "_config.yml").read_text())
    cover = f"""<div class="cover"><p style="font-size: 28pt">{book["title"]}</p>
        <p>{book["author"]}, {book["copyright"]}</p><p>Version {importlib.metadata.version("ratereg")}</p></div>"""
    contents, article, *states = soup.select(".bd-docs-nav, article, script[type$='widget-state+json']")
    contents["class"] = "contents"
    head = re.sub("</head>$", f"<style>{STYLE}</style></head>", str(soup.head))
    body = "".join(map(str, [cover, contents, article, *states]))
    return f'<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light">{head}<body>{body}</body></html>'


def print_page(source: Path, pdf: Path) -> None:
    """Print a page when its equations, pictures and widgets are drawn.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    if chromium is None:
        raise FileNotFoundError(f"None of {', '.join(names)} is installed; install one of them to print the PDF.")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1000, "height": 1400})
        page.set_default_timeout(600_000)
        page.goto(source.as_uri(), wait_until="load")
        page.evaluate("MathJax.startup.promise.then(() => null)")
        page.wait_for_function(DRAWN)
        page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => null)))")
        margin = dict.fromkeys(("top", "bottom", "left", "right"), "18mm")
        options = {"print_background": True, "tagged": True, "outline": True, "display_header_footer": True}
        templates = {"header_template": "<span></span>", "footer_template": PAGE_NUMBER}
        pdf.write_bytes(page.pdf(format="A4", margin=margin, **options, **templates))  # type: ignore[arg-type]
        browser.close()


def main() -> None:
    """Print the single page that was built."""
    parser = argparse.ArgumentParser(description="Print the site's single page as a PDF.")
    parser.add_argument("--build", type=Path, default=ROOT / "book" / "_build", help="the folder that singlehtml is in")
    folder = parser.parse_args().build.resolve() / "singlehtml"
    printed = folder / "ratereg.html"
    printed.write_text(bind((folder / "index.html").read_text()))
    target = folder.parent / "pdf" / "ratereg.pdf"
    target.parent.mkdir(exist_ok=True)
    print_page(printed, target)
    print(f"The book is printed: {target}")


if __name__ == "__main__":
    main()
