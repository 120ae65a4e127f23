"""The examples in docstrings run, and give what they state."""

import doctest
import importlib
import pkgutil

import ratereg
from ratereg import evaluation, models


def test_the_examples_of_docstrings_run() -> None:
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()
    # An estimator stands above the models, which do not import it.
    known = {name: getattr(room, name) for room in (models, evaluation) for name in room.__all__} | {"ratereg": ratereg}
    for room in (models, evaluation):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            for example in finder.find(importlib.import_module(module.name), extraglobs=known):
                runner.run(example)
    assert runner.tries >= 4
    assert runner.failures == 0
