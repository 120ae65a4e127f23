"""The book as one PDF, printed by Chromium from the site's single page: no LaTeX is needed. Run by `make pdf`.

Sphinx's builder singlehtml puts all pages into one. Here it gets a cover and the contents, and is printed when its
equations, pictures and widgets are drawn; a widget shows the frame that it begins with.
"""

import importlib.metadata
import shutil
from pathlib import Path

import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
DRAWN = """() => [...document.querySelectorAll("script[type$='widget-view+json']")]
    .every(script => script.parentElement.querySelector('.jupyter-widgets'))"""
PAGE_NUMBER = '<div style="font-size: 8pt; width: 100%; text-align: center"><span class="pageNumber"></span></div>'


def bind(page: str) -> str:
    """Return the site's single page as it is printed: a cover, the contents, all pages, and no navigation."""
    soup = BeautifulSoup(page, "html.parser")
    book, toc = (yaml.safe_load((ROOT / name).read_text()) for name in ("_config.yml", "_toc.yml"))
    captions = {part["chapters"][0]["file"]: f"<li><strong>{part['caption']}</strong></li>" for part in toc["parts"]}
    for tag in soup.select("head link:not([rel=stylesheet]), head script[src^=search]"):
        tag.decompose()
    for link in soup.select("a[href^='index.html#']"):
        link["href"] = str(link["href"]).removeprefix("index.html")
    # Sphinx marks the beginning of each page but the first.
    soup.select("article")[0].insert(0, soup.new_tag("span", id=f"document-{toc['root']}"))
    contents = []
    for place in soup.select("[id^=document-]"):
        heading = place.find_next(["h1", "h2"])
        title = heading.get_text().rstrip("#").strip() if heading else ""
        contents.append(captions.get(str(place["id"]).removeprefix("document-"), ""))
        contents.append(f'<li><a href="#{place["id"]}">{title}</a></li>')
    text = "".join(map(str, soup.select("article, script[type$='widget-state+json']")))
    return f"""<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light">{soup.head}<body class="bound">
<div class="cover"><p style="font-size: 28pt">{book["title"]}</p><p>{book["author"]}, {book["copyright"]}</p>
<p>Version {importlib.metadata.version("ratereg")}</p></div>
<nav class="book-contents"><p style="font-size: 18pt">Contents</p><ul>{"".join(contents)}</ul></nav>
{text}</body></html>"""


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
    """Print the single page that Sphinx has built."""
    folder = ROOT / "book" / "_build" / "singlehtml"
    page, pdf = folder / "ratereg.html", folder.with_name("pdf") / "ratereg.pdf"
    page.write_text(bind((folder / "index.html").read_text()))
    pdf.parent.mkdir(exist_ok=True)
    print_page(page, pdf)
    print(f"The book is printed: {pdf}")


if __name__ == "__main__":
    main()
