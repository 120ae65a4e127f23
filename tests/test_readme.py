"""The README's examples run as they stand, but for their size."""

import re
from pathlib import Path

import matplotlib.figure
import pytest

import ratereg

EXAMPLES = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)
SMALLER = {
    'split="checkerboard"': 'split="checkerboard", n_train=200, n_test=150',
    "width=512": "width=16",
    "steps=2_000": "steps=4",
}


def test_the_first_example_trains_six_models_and_draws_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    code = EXAMPLES[0]
    for large, small in SMALLER.items():
        assert large in code
        code = code.replace(large, small)
    *_, last = code.strip().splitlines()
    names: dict[str, object] = {}
    exec(code, names)
    results = names["results"]
    assert isinstance(results, ratereg.Results)
    assert results.final["member"].nunique() == 6
    assert isinstance(eval(last, names), matplotlib.figure.Figure)


def test_the_estimators_example_runs() -> None:
    names: dict[str, object] = {}
    exec(EXAMPLES[1], names)
    parts = names["parts"]
    assert isinstance(parts, ratereg.evaluation.RateDecomposition)
    assert abs(parts.rate - parts.mutual_information - parts.marginal_kl) < 1e-9


def test_the_example_of_a_model_of_ones_own_runs() -> None:
    names: dict[str, object] = {}
    exec("import torch\n" + EXAMPLES[2], names)
    bound = names["bound"]
    assert isinstance(bound, ratereg.evaluation.ImportanceWeightedBound)
    assert bound.quantity == "log-likelihood"
    assert bound.bound < 0
