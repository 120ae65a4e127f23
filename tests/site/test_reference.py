"""The reference says of each name what it takes and gives, with the axes of its tensors, and where its source is."""

import re
from pathlib import Path

import pytest

from links import anchors

SIGNATURE = re.compile(r'<dt class="sig sig-object py" id="(ratereg\.[\w.]+)">(.*?)</dt>', re.DOTALL)


@pytest.fixture(scope="module")
def signatures(site: Path) -> dict[str, str]:
    return dict(SIGNATURE.findall((site / "api.html").read_text()))


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", "", html).replace("&#39;", "'").replace("&gt;", ">").split())


def test_a_signature_shows_types_and_axes(signatures: dict[str, str]) -> None:
    shown = words(signatures["ratereg.evaluation.LinearVAE"])
    assert "decoder_weight: Float64[Tensor, 'member pixels latent']" in shown
    shown = words(signatures["ratereg.evaluation.decompose_rate"])
    assert "mean: Float[Tensor, '*lead image latent']" in shown
    assert "= aggregate_log_prob" in shown


def test_no_signature_is_shown_raw(signatures: dict[str, str]) -> None:
    assert len(signatures) > 100
    raw = {name: text for name, html in signatures.items() if re.search("~|<|&lt;", text := words(html))}
    assert raw == {}


def test_functions_and_classes_link_to_their_source_and_back(site: Path, signatures: dict[str, str]) -> None:
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
    assert "decoder_weight, decoder_bias – W and b." in text
    assert "\u200b" not in text
