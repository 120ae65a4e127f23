"""The reference has every public name, with its types and axes, and a link to its source."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from links import anchors
from reader import ROOT

SIGNATURE = re.compile(r'<dt class="sig sig-object py" id="(ratereg\.[\w.]+)">(.*?)</dt>', re.DOTALL)
DOCUMENTED = re.findall(r"^\.\. automodule:: (ratereg\.[\w.]+)", (ROOT / "book" / "api.md").read_text(), re.MULTILINE)
ROOMS = sorted(f"ratereg.{path.parent.name}" for path in (ROOT / "src" / "ratereg").glob("*/__init__.py"))


@pytest.fixture(scope="module")
def signatures(site: Path) -> dict[str, str]:
    return dict(SIGNATURE.findall((site / "api.html").read_text()))


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", "", html).replace("&#39;", "'").replace("&gt;", ">").split())


@pytest.mark.parametrize("room", ["ratereg", *ROOMS])
def test_every_public_name_is_in_the_reference(site: Path, room: str) -> None:
    text = (site / "api.html").read_text()
    modules = [import_module(name) for name in DOCUMENTED]
    for name in import_module(room).__all__:
        public = getattr(import_module(room), name)
        places = [module.__name__ for module in modules if getattr(module, name, None) is public]
        assert isinstance(public, ModuleType) or any(f'id="{place}.{name}"' in text for place in places), name


def test_a_signature_shows_types_and_axes(signatures: dict[str, str]) -> None:
    shown = words(signatures["ratereg.evaluation.decompose_rate"])
    assert "mean: Float[Tensor, '*lead image latent']" in shown
    assert "= aggregate_log_prob" in shown


def test_no_signature_is_shown_raw(signatures: dict[str, str]) -> None:
    assert len(signatures) > 100
    raw = {name: text for name, html in signatures.items() if re.search("~|<|&lt;", text := words(html))}
    assert raw == {}


def test_classes_link_to_their_source_and_back(site: Path, signatures: dict[str, str]) -> None:
    sources = {name: re.findall(r'href="(_modules/[^"#]+)#([^"]+)"', html) for name, html in signatures.items()}
    classes = [name for name, html in signatures.items() if ">class</span>" in html]
    assert len(classes) > 20
    assert [name for name in classes if not sources[name]] == []
    for name, ((page, place),) in ((name, found) for name, found in sources.items() if found):
        known = anchors(site / page)
        assert place in known.places, name
        assert any("api.html#" in link for link in known.links), name


def test_names_that_share_a_line_stay_names(site: Path) -> None:
    text = words((site / "api.html").read_text())
    assert "decoder_weight, decoder_bias – " in text
    assert "\u200b" not in text
