import base64
import dataclasses
import functools
import itertools
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ratereg import MLP, Convolutional, Results, Study, report
from ratereg.claims import contrast
from ratereg.data import load
from ratereg.report import planning
from ratereg.report.arrival import arrivals
from ratereg.report.command import betas_of, network_of
from ratereg.report.findings import Findings
from ratereg.report.looking import notes_on
from ratereg.report.markup import table
from ratereg.storage import StorageError
from ratereg.studies.pace import Pace

Make = Callable[..., Results]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A file of 80 gray images of 8 x 8 pixels, 40 for training and 40 for testing, all of them different."""
    file = tmp_path / "mine.npy"
    np.save(file, np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8))
    return file


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a member's step takes as many microseconds as the network has units in a layer."""

    def paces(study: Study, *_: object, **__: object) -> dict[Any, Pace]:
        measuring = 0.5 if study.bound_images else 0.1
        return {
            (data, network): Pace(1, study.steps * network.width * 1e-6, measuring)
            for data in study.axis_data
            for network in study.axis_networks
        }

    monkeypatch.setattr(planning, "paces", paces)


def told(results: Results, **columns: Any) -> Results:
    return dataclasses.replace(results, table=results.table.assign(diverged_at=np.nan, **columns))


@pytest.mark.usefixtures("paced")
@pytest.mark.parametrize("minutes", [0.6, 1.5, 4, 8, 60])
def test_the_plan_takes_the_widest_networks_that_have_enough_steps_and_fits_the_time(
    images: Path, minutes: float
) -> None:
    plan = report.plan_study(images, minutes=minutes)
    widths = {network.width for network in plan.study.axis_networks}
    assert plan.seconds <= 60 * minutes
    assert len(widths) == 1
    assert 300 <= plan.study.steps <= 20_000
    # A step of all 30 members takes 30 width microseconds, and measuring 3 or 15 seconds.
    left = 0.9 * 60 * minutes - (15 if plan.study.bound_images else 3)
    enough = [width for width in (512, 256, 128) if left / (30e-6 * width) >= 2_000]
    assert widths == {(enough or [128])[0]}
    assert plan == dataclasses.replace(report.plan_study(images, minutes=minutes), images=plan.images)


@pytest.mark.usefixtures("paced")
def test_bounds_are_left_out_where_measuring_would_take_too_much_of_the_time(images: Path) -> None:
    # 40% of 0.9 of the time is 15 seconds at 0.69 minutes.
    assert report.plan_study(images, minutes=0.68).study.bound_images == 0
    assert report.plan_study(images, minutes=0.70).study.bound_images > 0


@pytest.mark.usefixtures("paced")
def test_too_little_time_is_said_with_what_would_do_and_steps_are_taken_at_their_word(images: Path) -> None:
    with pytest.raises(ValueError, match=r"minutes is 0.05, and 300 training steps of 30 networks .* give more"):
        report.plan_study(images, minutes=0.05)
    plan = report.plan_study(images, minutes=0.05, steps=7, networks=[MLP(layers=2, width=16)], betas=[1, 0.1], seeds=2)
    assert (plan.study.steps, len(plan.study)) == (7, 4)
    with pytest.raises(ValueError, match="minutes is 0; give a positive number"):
        report.plan_study(images, minutes=0)


@pytest.mark.usefixtures("paced")
def test_images_are_limited_where_there_are_more_and_too_few_are_refused(images: Path, tmp_path: Path) -> None:
    (data,) = report.plan_study(images, images=35).study.axis_data
    assert (data.n_train, data.n_test) == (35, 35)
    (data,) = report.plan_study(images).study.axis_data
    assert (data.n_train, data.n_test) == (None, None)
    np.save(tmp_path / "few.npy", np.zeros((40, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"few.npy' has 20 images for training; give at least 32 of each side"):
        report.plan_study(tmp_path / "few.npy")
    with pytest.raises(ValueError, match="images is 5; give at least 32"):
        report.plan_study(images, images=5)


def test_a_plan_is_made_of_the_machine_itself_and_says_what_it_does(images: Path) -> None:
    plan = report.plan_study(images, minutes=60, networks=[MLP(width=8)], betas=[1, 0.1], device="cpu")
    assert 0 < plan.seconds <= 3600
    words = str(plan)
    for part in ("40 for training and 40 for testing, 8 x 8, gray", "beta = 1, 0.1, with 3 seeds: 6 networks"):
        assert part in words
    assert f"training  {plan.study.steps:,} steps" in words
    # The machine is not measured anew, so that a run which was stopped goes on with the same study.
    again = report.plan_study(images, minutes=60, networks=[MLP(width=8)], betas=[1, 0.1], device="cpu")
    assert (again.study.digest, again.seconds) == (plan.study.digest, plan.seconds)


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
    images = load(copy, split="default")
    assert images.image_shape == (3, 8, 8)
    written = (copy / "a" / "1.png.png").stat().st_mtime_ns
    assert report.resized(folder, 8) == copy
    assert (copy / "a" / "1.png.png").stat().st_mtime_ns == written
    Image.new("L", (5, 5)).save(folder / "a" / "3.png")
    assert report.resized(folder, 8) != copy


def test_gray_images_stay_gray_and_what_is_cut_is_the_edge(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30), dtype=np.uint8)
    pixels[:, 10:20] = 200
    (tmp_path / "gray").mkdir()
    Image.fromarray(pixels).save(tmp_path / "gray" / "1.png")
    (made,) = report.resized(tmp_path / "gray", 4).iterdir()
    assert (np.asarray(Image.open(made)) == 200).all()


def test_what_cannot_be_resized_is_said(tmp_path: Path, images: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_text("no image")
    for folder, size, message in (
        (images, 8, "size is for folders of images"),
        (tmp_path / "empty", 8, "is empty"),
        (tmp_path / "empty", 3, "size is 3; give the pixels of a side, from 4 to 512"),
        (tmp_path / "bad", 8, r"1\.png cannot be read as an image"),
    ):
        with pytest.raises(ValueError, match=message):
            report.resized(folder, size)


class Page(HTMLParser):
    """What a page has: tags with their attributes, in order, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def written(results: Results, folder: Path, **how: Any) -> str:
    return report.write_report(results, folder / "page.html", replace=True, **how).read_text()


def test_a_page_stands_alone_and_is_in_order(make_results: Make, tmp_path: Path) -> None:
    html = written(told(make_results()), tmp_path)
    page = Page(html)
    assert page.tags[0] == ("html", {"lang": "en"})
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    linked = [attributes["href"] or "" for attributes in page.all("a")]
    assert {link[1:] for link in linked if link.startswith("#")} <= set(ids)
    assert not page.all("script", "link", "iframe")
    assert all((attributes["src"] or "").startswith("data:") for attributes in page.all("img"))
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all(attributes.get("aria-label") for attributes in page.all("svg"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == 10
    assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))
    within = set(re.findall(r"""(?:xlink:href="|url\()#([^")]+)""", html))
    assert within
    assert within <= set(ids)
    assert len(html.encode()) < 3_000_000


def test_names_are_escaped(make_results: Make, tmp_path: Path) -> None:
    results = make_results()
    html = written(told(results, dataset="<b>me & you</b>"), tmp_path, command='ratereg report "<x>"')
    assert "<b>" not in html
    assert "&lt;b&gt;me &amp; you&lt;/b&gt;" in html
    assert "ratereg report &quot;&lt;x&gt;&quot;" in html
    assert "&lt;i&gt;" in table(pd.DataFrame({"<i>": ["<u>"]}, index=["<s>"]), "one", "<p>")


def test_the_numbers_of_the_last_step_lie_in_the_page(make_results: Make, tmp_path: Path) -> None:
    results = told(make_results())
    link = next(one for one in Page(written(results, tmp_path)).all("a") if "download" in one)
    (tmp_path / "numbers.csv").write_bytes(base64.b64decode((link["href"] or "").partition("base64,")[2]))
    numbers = pd.read_csv(tmp_path / "numbers.csv")
    assert len(numbers) == len(results.final)
    np.testing.assert_allclose(numbers["rate"], results.final["rate"], rtol=1e-5)


def test_verdicts_are_those_of_the_book(make_results: Make, tmp_path: Path) -> None:
    # Lowering the weight helps the deep network and harms the shallow one, by twenty nats and some that seeds add.
    def distortion(beta: float, layers: int, seed: int, partition: str, **_: object) -> float:
        helps = {1: -20.0, 3: 20.0}[layers] * (beta >= 1)
        return 80 + (helps if partition == "test" else 0) + 0.1 * seed * (1 + (beta >= 1))

    results = told(make_results(distortion, data=(make_results().study.axis_data[0],)))
    told_of = dict(Findings(results).answers())
    assert "test distortion worsens (+19.9 nats" in told_of["1 hidden layer"]
    assert "test distortion improves (−20.1 nats" in told_of["3 hidden layers"]
    words = dict(zip(("1 hidden layer", "3 hidden layers"), contrast(results)["verdict"], strict=True))
    cells = Findings(results).lowering_table().loc["test distortion"]
    assert {name: cell.split(": ")[1] for name, cell in cells.items()} == words
    page = Page(written(results, tmp_path))
    assert "worsens in 1, improves in 1 of 2 networks" in " ".join(page.text.split()) or (
        "improves in 1, worsens in 1 of 2 networks" in " ".join(page.text.split())
    )


def test_without_both_weights_or_enough_seeds_there_is_no_verdict_and_it_is_said(
    make_results: Make, tmp_path: Path
) -> None:
    lacking = Page(written(told(make_results(betas=(3, 0.1))), tmp_path)).text
    assert "β = 1 and β = 0.1 were not both measured" in lacking
    few = Page(written(told(make_results(seeds=2)), tmp_path)).text
    assert "Too few seeds: 2" in few
    assert "not enough data for a verdict" in few


def test_a_schedule_is_reported_too(make_results: Make, tmp_path: Path) -> None:
    results = told(make_results())
    cosine = dataclasses.replace(results, study=results.study.replace(schedule="cosine"))
    assert "cosine schedule" in written(cosine, tmp_path)


def test_networks_that_have_not_arrived_or_have_overfitted_are_named(make_results: Make) -> None:
    def distortion(beta: float, partition: str, step: int, **_: object) -> float:
        last = {5: 90.0, 1: 100.5, 0.3: 110.0}.get(beta, 100.0)
        return 100.0 if step < 100 or partition == "train" else last

    results = told(make_results(distortion, data=(make_results().study.axis_data[0],), layers=(1,)))
    (found,) = arrivals(results).values()
    assert [one.word for one in found] == ["still falling", "arrived", "rising", "arrived", "arrived", "arrived"]
    assert [one.lowest for one in found] == [100, 10, 10, 10, 10, 10]
    warnings = Findings(results).warnings()
    assert any(one.startswith("Not arrived") and "β = 5." in one for one in warnings)
    assert any(one.startswith("Overfitting") and "β = 0.3 (lowest at step 10)." in one for one in warnings)


def test_divergence_and_few_images_are_warned_of(make_results: Make) -> None:
    results = make_results()
    lost = results.table["member"] == 0
    table = results.table.assign(diverged_at=np.where(lost, 5.0, np.nan), n_train=200)
    table.loc[lost & (table["step"] == 100), ["rate", "distortion", "mutual_information", "marginal_kl"]] = np.nan
    warnings = Findings(dataclasses.replace(results, table=table)).warnings()
    assert any(one.startswith("Few images: 200") for one in warnings)
    assert any(one.startswith("Divergence: 1 of 72 networks") for one in warnings)


def test_copies_of_training_images_are_counted(tmp_path: Path) -> None:
    train = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
    test = np.concatenate([train[1:3], 255 - train[:1]])
    np.savez(tmp_path / "mine.npz", train=train, test=test)
    assert notes_on(load(tmp_path / "mine.npz"))["Copies"].startswith("2 of 3 test images are copies")
    np.savez(tmp_path / "mine.npz", train=train, test=255 - train)
    assert notes_on(load(tmp_path / "mine.npz"))["Copies"] == "no test image is a copy of a training image"


def test_a_page_that_is_there_is_kept_unless_it_may_be_replaced(make_results: Make, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(ValueError, match="is there already; give another name, or --force"):
        report.write_report(told(make_results()), page)
    broken = told(make_results()).table.drop(columns="rate")
    with pytest.raises(KeyError):
        report.write_report(dataclasses.replace(make_results(), table=broken), page, replace=True)
    assert page.read_text() == "mine"
    assert report.write_report(told(make_results()), page, replace=True) == page
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(StorageError, match="can't be written"):
        report.checked_output(tmp_path / "file" / "page.html")
    with pytest.raises(ValueError, match="is a folder"):
        report.checked_output(tmp_path / "folder.html", replace=True)
    with pytest.raises(ValueError, match=r"give a file that ends in \.html"):
        report.checked_output(tmp_path / "page.pdf")


def test_networks_and_weights_are_read() -> None:
    assert network_of("3x512") == MLP(layers=3, width=512)
    assert network_of("conv32") == Convolutional(width=32)
    assert betas_of("3,1,0.1") == betas_of("[3, 1, 0.1]") == [3, 1, 0.1]
    with pytest.raises(ValueError, match="--network is 'big'; give 3x512"):
        network_of("big")
    with pytest.raises(ValueError, match="--betas is '1;2'; give numbers with commas"):
        betas_of("1;2")


@pytest.fixture
def ratereg(typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run `ratereg report` in an empty folder, and return its exit code."""
    monkeypatch.chdir(tmp_path)
    return functools.partial(typed, "report")


SMALL = ["--steps", "4", "--network", "1x8", "--betas", "1,0.1", "--device", "cpu"]


def test_the_command_makes_a_report_and_makes_it_again_without_training(
    ratereg: Callable[..., int], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("mine.npy", *SMALL) == 0
    shown = capsys.readouterr().out
    assert "training  4 steps" in shown
    assert "written: mine-report.html" in shown
    page = Page((tmp_path / "mine-report.html").read_text())
    assert "Rate-distortion report: mine" in page.text
    assert "no test image is a copy of a training image" in page.text
    assert "ratereg report mine.npy --steps 4" in page.text
    assert ratereg("mine.npy", *SMALL) == 2
    assert "is there already" in capsys.readouterr().err
    images_of_then = sorted((tmp_path / "cache" / "members").rglob("provenance.json"))
    made = [file.stat().st_mtime_ns for file in images_of_then]
    assert len(made) == 6
    assert ratereg("mine.npy", *SMALL, "--force") == 0
    assert [file.stat().st_mtime_ns for file in images_of_then] == made


def test_a_plan_alone_trains_and_writes_nothing(
    ratereg: Callable[..., int], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("mine.npy", *SMALL, "--plan") == 0
    assert "time      about" in capsys.readouterr().out
    assert not (tmp_path / "mine-report.html").exists()
    assert not (tmp_path / "cache" / "members").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either a PATH or --study NAME"),
        (["mine.npy", "--study", "plane"], "give either a PATH or --study NAME"),
        (["nowhere/"], "neither a known set nor a path"),
        (["some/where.npy"], "is not there; give the path"),
        (["fashion-mnits"], "did you mean 'fashion-mnist'?"),
        (["mine.npy", "--network", "deep"], "--network is 'deep'"),
        (["mine.npy", "--network", "9x8"], "layers is 9"),
        (["mine.npy", "--betas", "one"], "--betas is 'one'"),
        (["mine.npy", "--likelihood", "poisson"], "likelihood is 'poisson'"),
        (["mine.npy", "--binarize", "twice"], "binarize is 'twice'"),
        (["mine.npy", "--size", "8"], "size is for folders of images"),
        (["mine.npy", "--output", "mine.npy"], "give a file that ends in .html"),
        (["odd", "--plan"], "give images of one size and kind"),
        (["--study", "plain"], "give one of 'capacity'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_before_anything_is_trained(
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
    assert not (tmp_path / "cache" / "members").exists()


def test_a_published_study_is_reported(ratereg: Callable[..., int], tmp_path: Path) -> None:
    assert ratereg("--study", "plane", "--output", "plane.html") == 0
    assert "the published study plane" in (tmp_path / "plane.html").read_text()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "light"), (1400, "dark")])
def test_axe_finds_no_serious_violation_and_nothing_is_wider_than_the_screen(
    make_results: Make, tmp_path: Path, width: int, scheme: Any
) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None or not AXE.is_file():
        pytest.skip("There is no Chromium or no axe-core, so the page was not looked at.")
    written(told(make_results()), tmp_path, command="ratereg report mine")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
        page = context.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.add_script_tag(path=str(AXE))
        violations = page.evaluate("axe.run()")["violations"]
        browser.close()
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []
