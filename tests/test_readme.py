"""The README's example runs as it is, except for its size, and what it names is there."""

import re
from pathlib import Path

import pytest

import ratereg
from ratereg.rerun import parameters_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SMALLER = {
    'split="checkerboard"': 'split="checkerboard", n_train=200, n_test=150',
    "width=256": "width=16",
    "steps=2_000": "steps=4",
    "images=500": "images=4",
}


def test_the_example_trains_six_models_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    code = "".join(EXAMPLES)
    for large, small in SMALLER.items():
        assert large in code
        code = code.replace(large, small)
    assert len(code.strip().splitlines()) <= 14
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    results = names["results"]
    assert isinstance(results, ratereg.Results)
    assert results.final["member"].nunique() == 6
    shown = capsys.readouterr().out
    assert "mutual_information" in shown
    assert "marginal_kl" in shown
    assert results.models(beta=0.1, seed=1).members == 1
    assert names["more"].final["importance_weighted_bound"].notna().all()
    assert ratereg.load_model("vae.safetensors").network == results.study.axis_networks[0]
    assert "<svg" in Path("curves.svg").read_text()


def test_what_the_readme_names_is_there() -> None:
    links = re.findall(r"\]\((?!https:)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []
    names = re.findall(r"`ratereg\.(evaluation|models)\.(\w+)`", README)
    assert [name for module, name in names if name not in getattr(ratereg, module).__all__] == []
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake (\w+)", README.partition("## Cite it")[0])) <= set(targets)
    ((notebook, options),) = re.findall(r'make rerun NOTEBOOK=(\S+) PARAMS="([^"]+)"', README)
    assert set(re.findall(r"-p (\S+)", options)) <= set(parameters_of(ROOT / notebook))
