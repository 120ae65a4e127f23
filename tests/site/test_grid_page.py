"""The page of a grid, as a reader's browser shows it from disk."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from ratereg.rerun.outcomes import Figure, Run
from ratereg.rerun.page import write_page
from reader import DESKTOP, PHONE, serious_faults

FIGURES = ("fig-curve", "fig-images")


def run(steps: int, betas: list[float]) -> Run:
    circle = f'<circle cx="{steps}" cy="99" r="9"/>'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 420">{circle}</svg>'
    source = f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"
    figures = [Figure(name, source, "A circle.") for name in FIGURES]
    records = {"distortion": steps / 7, "members": 4, "source": f"results/{steps}", "a_rather_long_name": betas}
    changed = {"steps": steps, "betas": betas}
    about = changed, {"images": 2048, **changed}, "0"
    if steps == 300:
        return Run(*about, "none.ipynb", "failed: ValueError: <too> few")
    return Run(*about, f"{steps}.ipynb", "finished", 12.3, records, figures)


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    runs = [run(steps, betas) for steps in (100, 200, 300) for betas in ([1.0, 0.1], [3.0, 0.3])]
    write_page(tmp_path / "index.html", "chapter.md", runs)
    context = browser.new_context(color_scheme=request.param)
    shown = context.new_page()
    shown.goto((tmp_path / "index.html").as_uri())
    yield shown
    context.close()


@pytest.mark.parametrize(("size", "columns"), [(DESKTOP, 2), (PHONE, 1)], ids=["desktop", "phone"])
def test_figures_have_a_column_for_each_value_of_the_last_axis_where_there_is_room(
    page: Page, size: tuple[int, int], columns: int
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    places = [one.bounding_box() for one in page.locator("figure").all()]
    assert len(places) == len(FIGURES) * 6
    assert len({place["x"] for place in places if place}) == columns
    assert all(place and place["x"] + place["width"] <= size[0] for place in places)


def test_headings_are_in_order_and_each_picture_is_described(page: Page) -> None:
    assert page.locator("h1, h2, h3").evaluate_all("all => all.map(e => +e.tagName[1])") == [1, 2, 2, 2, 3, 3]
    assert {one.get_attribute("alt") for one in page.locator("img").all()} == {"A circle."}


def test_each_run_has_its_numbers_and_pictures_and_equal_numbers_are_shown_once(page: Page) -> None:
    names = [one.inner_text() for one in page.locator("#numbers > div tbody th").all()]
    assert names == ["distortion", "source", "a_rather_long_name"]
    assert [one.text_content() for one in page.locator("#numbers details tbody th").all()] == ["members"]
    heads = page.locator("#numbers > div thead th").all_inner_texts()
    cells = page.locator("#numbers > div tbody tr").first.locator("td").all_inner_texts()
    # A seventh of the steps, which the head has.
    assert dict(zip(heads[1:], cells, strict=True)) == {
        f"steps {steps}, betas {betas}": f"{steps / 7:.5g}" for steps in (100, 200) for betas in ("1, 0.1", "3, 0.3")
    }
    links = {one.inner_text(): one.get_attribute("href") for one in page.locator("#runs a").all()}
    assert links["steps 200, betas 3, 0.3"] == "200.ipynb"
    for card in page.locator("figure").all():
        caption, picture = card.locator("figcaption").inner_text(), card.locator("img")
        if caption.startswith("steps 300"):
            assert picture.count() == 0
        else:
            drawing = base64.b64decode((picture.get_attribute("src") or "").partition(",")[2]).decode()
            assert f'cx="{caption.split(",")[0].removeprefix("steps ")}"' in drawing
    assert page.locator("#runs").get_by_text("failed: ValueError: <too> few").count() == 2
