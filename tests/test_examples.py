"""The examples in docstrings run, and give what they say."""

import doctest

import pytest
import torch

import ratereg
from ratereg.evaluation import importance_weighted_bound
from ratereg.evaluation.information import decompose_rate
from ratereg.models import MLP, VAE, MixtureOfGaussians, SingleModel


@pytest.mark.parametrize("named", [SingleModel, VAE, decompose_rate])
def test_an_example_runs(named: object) -> None:
    # The estimators stand above the models, which do not import them.
    known = [MLP, VAE, MixtureOfGaussians, SingleModel, importance_weighted_bound, decompose_rate]
    names = {"torch": torch, "ratereg": ratereg} | {one.__name__: one for one in known}
    (example,) = doctest.DocTestFinder(recurse=False).find(named, "example", globs=names)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
