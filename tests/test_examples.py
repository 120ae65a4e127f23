"""The examples in docstrings run, and give what they say."""

import doctest

import pytest
import torch

import ratereg
from ratereg.evaluation import importance_weighted_bound
from ratereg.evaluation.information import decompose_rate
from ratereg.models import SingleModel


@pytest.mark.parametrize("named", [SingleModel, decompose_rate])
def test_an_example_runs(named: object) -> None:
    # The estimators stand above the models, which do not import them.
    known = {"torch": torch, "importance_weighted_bound": importance_weighted_bound, "ratereg": ratereg}
    (example,) = doctest.DocTestFinder(recurse=False).find(
        named, "example", globs={**known, "SingleModel": SingleModel, "decompose_rate": decompose_rate}
    )
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
