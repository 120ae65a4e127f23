"""The names and types of a notebook's parameters are declared there, and refused before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ratereg.rerun import Parameter, describe_parameters, parameters_of, rerun
from ratereg.rerun.parameters import checked
from tiny_notebook import TINY, write_tiny

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("*.md"))
STEPS = Parameter("steps", None, ("int",))
BETAS = Parameter("betas", [1.0], ("list[float]",))
SEEDS = Parameter("seeds", 3, ("int", "list[int]"))
SCALE = Parameter("scale", None, ("str",))
SWITCH = Parameter("switch", True, ("bool",))
FREE = Parameter("free", None)


@pytest.mark.parametrize(
    ("one", "value", "expected"),
    [
        (STEPS, "500", 500),
        (STEPS, 500, 500),
        (STEPS, None, None),
        (STEPS, "None", None),
        (BETAS, "[1, 0.1]", [1.0, 0.1]),
        (BETAS, "1, 0.1", [1.0, 0.1]),
        (BETAS, (1, 0), [1.0, 0.0]),
        (SEEDS, "2", 2),
        (SEEDS, "[0, 7]", [0, 7]),
        (SCALE, "cpu", "cpu"),
        (SCALE, "'cpu'", "cpu"),
        (SCALE, "200", "200"),
        (SWITCH, "False", False),
        (FREE, "[1, 'a']", [1, "a"]),
        (FREE, "a word", "a word"),
    ],
)
def test_a_value_of_the_declared_type_is_taken(one: Parameter, value: Any, expected: Any) -> None:
    read = one.read(value)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    ("one", "value"),
    [
        *((STEPS, value) for value in ("abc", "1.5", True, [1], "")),
        *((BETAS, value) for value in ("abc", 1, ["a"], [True], [[1.0]], None)),
        *((SEEDS, value) for value in ([0.5], True, None, "0.5")),
        (SCALE, 3),
        *((SWITCH, value) for value in (1, "yes")),
    ],
)
def test_a_value_of_another_type_is_refused(one: Parameter, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{one.name} is .*; give {one.type.replace('[', '.')[:5]}"):
        one.read(value)


def test_the_type_of_an_undeclared_parameter_is_that_of_its_default(tmp_path: Path) -> None:
    cell = "number = 0.5\nword = 'a'\nshape = (3, 4)  # a comment\nfree = None\nannotated: int = 2"
    notebook = write_tiny(tmp_path, TINY.replace("slope = 1.0", f"{cell}\nslope = 1.0"))
    kinds = {name: one.kinds for name, one in parameters_of(notebook).items()}
    kinds = {name: kinds[name] for name in ("number", "word", "shape", "free", "annotated")}
    assert list(kinds.values()) == [("float",), ("str",), ("list",), (), ("int",)]
    assert checked(notebook, {"number": "1", "word": 200, "shape": "1, 2"} | {"word": "200"})["shape"] == [1, 2]
    with pytest.raises(ValueError, match=r"number is 'abc'; give float\."):
        checked(notebook, {"number": "abc"})


@pytest.mark.parametrize(
    ("wrong", "message"), [({"slop": 2}, "has no slop"), ({"names": [1]}, r"names is \[1\]; give list")]
)
def test_nothing_runs_and_all_parameters_are_listed_if_one_is_wrong(
    wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    # Were the notebook run, the failing cell would say so instead.
    notebook = write_tiny(tmp_path, TINY.replace("import time", "raise RuntimeError('it ran')"))
    with pytest.raises(ValueError, match=f"^parameters: .*{message}") as refusal:
        rerun(notebook, wrong, tmp_path / "out.ipynb")
    assert describe_parameters(notebook) in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.md"]


def test_each_parameter_is_described_by_its_default_types_and_meaning(tmp_path: Path) -> None:
    slope, _, names, _ = describe_parameters(write_tiny(tmp_path)).splitlines()
    assert slope == "slope = 1.0  # float: (above 0) how steep"
    assert names == "names = None  # list[str] or None: (each a or b, distinct) of what"


@pytest.mark.parametrize(
    ("cell", "message"),
    [("a = b", "a of .* is b; use a plain value"), ("a = (", "use a plain value"), ("print(1)", "has no cell tagged")],
)
def test_a_cell_of_parameters_without_plain_values_is_refused(cell: str, message: str, tmp_path: Path) -> None:
    head = TINY[: TINY.index("slope = 1.0")]
    with pytest.raises(ValueError, match=message):
        parameters_of(write_tiny(tmp_path, f"{head}{cell}\n```\n"))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_parameter_of_a_chapter_is_declared_and_its_default_has_that_type(chapter: Path) -> None:
    for name, one in parameters_of(chapter).items():
        assert one.kinds, name
        assert one.help, name
        assert one.read(one.default) == (list(one.default) if isinstance(one.default, tuple) else one.default)


def test_the_reduced_settings_of_each_chapter_have_the_declared_types() -> None:
    for name, settings in yaml.safe_load((NOTEBOOKS / "reduced.yaml").read_text()).items():
        values = checked(NOTEBOOKS / f"{name}.md", settings)
        assert {setting: values[setting] for setting in settings} == settings
