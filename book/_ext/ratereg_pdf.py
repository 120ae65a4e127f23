"""The book as one PDF, printed by Chromium from the built site: no LaTeX is needed. Run by `make pdf`.

The chapters of the site are put one after another into one page, whose links lead from place to place in it. Widgets
show the frame that they begin with. The sources of the package and the index of names stay on the site.
"""

import argparse
import importlib.metadata
import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PRINT_STYLE = """
html, body { background: white; font-size: 10pt; }
main { max-width: none; }
article > section { break-before: page; }
h1, h2, h3, h4, h5 { break-after: avoid; }
figure, .mjx-container, tr, .sig { break-inside: avoid; }
img, svg { max-width: 100%; height: auto; }
pre, pre * { white-space: pre-wrap; overflow-wrap: anywhere; }
table.dataframe { font-size: 8pt; }
/* What cannot be unfolded on paper: cells whose code is hidden, and links to places beside a heading. */
.tag_hide-input details, .headerlink, .viewcode-link { display: none; }
.cover { padding-top: 30vh; text-align: center; }
.contents { break-before: page; }
.contents li { list-style: none; margin: 0.2rem 0; }
"""


def pages_of(toc: dict[str, Any]) -> list[tuple[str | None, str]]:
    """Return the book's pages in their order, each with the caption of the part that it opens."""
    pages: list[tuple[str | None, str]] = [(None, toc["root"])]
    for part in toc["parts"]:
        for number, chapter in enumerate(part["chapters"]):
            pages.append((part.get("caption") if number == 0 else None, chapter["file"]))
    return pages


def place(page: str, name: str = "") -> str:
    """Return the name that a place of a page has in the one page of the whole book."""
    return f"{page}--{name}" if name else page


def moved(link: str, page: str, pages: set[str], site: str) -> str:
    """Return where a link of a page leads from the one page: to a place in it, to a file of the site, or elsewhere."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return link
    if not parts.path:
        return f"#{place(page, unquote(parts.fragment))}"
    steps: list[str] = []
    for step in (PurePosixPath(page).parent / unquote(parts.path)).parts:
        steps = steps[:-1] if step == ".." else [*steps, step]
    target = "/".join(steps)
    if (other := target.removesuffix(".html")) in pages:
        return f"#{place(other, unquote(parts.fragment))}"
    return f"{site}/{target}"


def chapter(html: str, page: str, pages: set[str], site: str) -> tuple[Tag, list[Tag]]:
    """Return a page's text, its places renamed and its links moved, and the states of its widgets."""
    soup = BeautifulSoup(html, "html.parser")
    article = soup.find("article")
    if not isinstance(article, Tag):
        raise ValueError(f"site: {page}.html has no article; build the book again with `make book`.")
    for tag in article.find_all(True):
        for key in ("id", "name"):
            if key in tag.attrs and tag.name not in ("meta", "input"):
                tag[key] = place(page, str(tag[key]))
        for key in ("href", "src"):
            if key in tag.attrs:
                tag[key] = moved(str(tag[key]), page, pages, site)
    article["id"] = place(page)
    states = [tag for tag in soup.find_all("script") if str(tag.get("type", "")).endswith("widget-state+json")]
    return article, states


def whole_book(html: Path, site: str, toc: dict[str, Any]) -> str:
    """Return the one page: a cover, the contents, and all chapters.

    Arguments:
        html: the folder of the built site.
        site: the same, as the one page's links name it.
        toc: the book's table of contents.
    """
    entries = pages_of(toc)
    pages = {page for _, page in entries}
    contents, articles, states, scripts = [], [], [], {}
    heads = ""
    for caption, page in entries:
        text = (html / f"{page}.html").read_text()
        article, own = chapter(text, page, pages, site)
        title = article.find("h1")
        words = title.get_text().rstrip("#").strip() if title else page
        contents += [f"<li><strong>{caption}</strong></li>"] if caption else []
        contents.append(f'<li><a href="#{place(page)}">{words}</a></li>')
        articles.append(str(article))
        states += [str(state) for state in own]
        head = BeautifulSoup(text, "html.parser").head
        for tag in head.find_all("script") if head else []:
            source = str(tag.get("src", ""))
            if any(name in source for name in ("mathjax", "widgets.js", "html-manager")):
                tag["src"] = moved(source, page, set(), site).partition("?")[0]
                scripts[str(tag["src"])] = str(tag)
            elif "window.MathJax" in tag.get_text():
                scripts["settings"] = str(tag)
        if not heads and head:
            for tag in head.find_all("link", rel="stylesheet"):
                tag["href"] = moved(str(tag["href"]), page, set(), site).partition("?")[0]
                heads += str(tag)
    book = yaml.safe_load((ROOT / "_config.yml").read_text())
    settings = scripts.pop("settings", "")
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8"/><title>{book["title"]}</title>
{heads}<style>{PRINT_STYLE}</style>{settings}{"".join(scripts.values())}</head>
<body><div class="cover"><p style="font-size: 28pt">{book["title"]}</p><p>{book["author"]}, {book["copyright"]}</p>
<p>Version {importlib.metadata.version("ratereg")}</p></div>
<nav class="contents"><p style="font-size: 18pt">Contents</p><ul>{"".join(contents)}</ul></nav>
<main>{"".join(articles)}</main>
{"".join(states)}</body></html>"""


def print_page(page_file: Path, pdf: Path) -> None:
    """Print a page with Chromium, when its equations, pictures and widgets are there; the PDF is whole or absent.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    if chromium is None:
        raise FileNotFoundError(f"None of {', '.join(names)} is installed; the PDF is printed by one of them.")
    unfinished = pdf.with_suffix(".unfinished")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1000, "height": 1400})
        page.set_default_timeout(600_000)
        page.goto(page_file.as_uri(), wait_until="load")
        page.evaluate("MathJax.startup.promise.then(() => null)")
        # Each widget has a script that says where it goes, and beside it what was drawn.
        page.wait_for_function(
            """() => [...document.querySelectorAll("script[type$='widget-view+json']")]
                .every(script => script.parentElement.querySelector('.jupyter-widgets'))"""
        )
        page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => null)))")
        number = '<div style="font-size: 8pt; width: 100%; text-align: center"><span class="pageNumber"></span></div>'
        margins: Any = {"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"}
        data = page.pdf(
            format="A4",
            margin=margins,
            print_background=True,
            tagged=True,
            outline=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=number,
        )
        browser.close()
    unfinished.write_bytes(data)
    unfinished.replace(pdf)


def main() -> None:
    """Print the built site."""
    parser = argparse.ArgumentParser(description="Print the built site as one PDF.")
    parser.add_argument("--build", type=Path, default=ROOT / "book" / "_build", help="the folder that html is in")
    build = parser.parse_args().build.resolve()
    folder = build / "pdf"
    folder.mkdir(parents=True, exist_ok=True)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    one_page = folder / "ratereg.html"
    one_page.write_text(whole_book(build / "html", "../html", toc))
    print_page(one_page, folder / "ratereg.pdf")
    print(f"The book is printed: {folder / 'ratereg.pdf'}")


if __name__ == "__main__":
    main()
