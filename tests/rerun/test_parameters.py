"""What a notebook's parameters may be is declared there, and all else is refused before anything runs."""

import warnings
from pathlib import Path
from typing import Any

import papermill
import pytest
import yaml

from ratereg import CATALOG, published
from ratereg.rerun import Parameter, describe_parameters, parameters_of, rerun
from ratereg.rerun.declarations import declared
from ratereg.rerun.parameters import checked
from ratereg.studies.catalog import SCALES
from tiny_notebook import TINY, write_tiny

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("*.md"))
STEPS = declared("steps", None, "# type: int (at least 1) training steps")
BETAS = declared("betas", [1.0], "# type: list[float] (each at least 0, distinct) weights")
SEEDS = declared("seeds", 3, "# type: int|list[int] (at least 1, each at least 0, distinct) how many, or which")
SCALE = declared("scale", None, "# type: str (full or cpu)")
FRESH = declared("fresh", 0, "# type: int (0 or at least 256)")
SHAPE = declared("shape", (3, 32, 32), "# type: list[int] (3 items, each at least 1)")
SWITCH = declared("switch", True, "# type: bool")


def taken(one: Parameter, value: Any) -> Any:
    read = one.read(value)
    one.check(read, {one.name: read})
    return read


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
        (FRESH, 0, 0),
        (FRESH, 256, 256),
        (SHAPE, "[1, 28, 28]", [1, 28, 28]),
        (SWITCH, "False", False),
        (Parameter("free", None), "[1, 'a']", [1, "a"]),
        (Parameter("number", 0.5), "1", 1.0),
        (Parameter("word", "a"), "200", "200"),
        (Parameter("table", {}), "{'a': 1}", {"a": 1}),
    ],
)
def test_a_value_of_the_declared_type_is_taken(one: Parameter, value: Any, expected: Any) -> None:
    read = taken(one, value)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    ("one", "value"),
    [
        *((STEPS, value) for value in ("abc", "0", "1.5", True, [1], "")),
        *((BETAS, value) for value in ("abc", 1, [], [-1], ["a"], [1, 1.0], None, [float("inf")], [float("nan")])),
        *((SEEDS, value) for value in (0, "[]", [-1], [0, 0], [0.5], True, None)),
        *((SCALE, value) for value in ("tiny", 3)),
        *((FRESH, value) for value in (1, 255, -1)),
        *((SHAPE, value) for value in ([1, 2], [1, 2, 0], 3)),
        *((SWITCH, value) for value in (1, "yes")),
        (Parameter("free", None), "abc"),
        (Parameter("number", 0.5), "abc"),
        (Parameter("flag", False), "1"),
        (Parameter("table", {}), "[1]"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused(one: Parameter, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{one.name} is .*; give "):
        taken(one, value)


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("# type: number", "declared as 'number'"),
        ("# type: list[list[int]]", r"declared as 'list\[list\[int\]\]'"),
        ("# type: int (distinct)", "'distinct', which is for lists"),
        ("# type: int (each at least 1)", "'each at least 1', which is for lists"),
        ("# type: list[int] (at least 1)", "write 'each at least 1'"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(comment: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        declared("steps", 1, comment)


def test_a_limit_may_be_another_parameter() -> None:
    low = declared("low", 0.1, "# type: float (above 0 and below high) the smaller one")
    low.check(0.5, {"low": 0.5, "high": 1.0})
    low.check(0.5, {"low": 0.5, "high": None})
    with pytest.raises(ValueError, match=r"low is 1\.0; give float \(above 0 and below high\)"):
        low.check(1.0, {"low": 1.0, "high": 1.0})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slop": 2}, "has no slop"),
        ({"slope": "steep"}, "slope is 'steep'; give float"),
        ({"slope": 0}, r"slope is 0\.0; give float \(above 0\)"),
        ({"points": 2.5}, "points is 2.5; give int"),
        ({"names": ["c"]}, "names is .*; give list"),
    ],
)
def test_nothing_runs_and_all_parameters_are_named_if_one_is_wrong(
    wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    # Were the notebook run, the failing cell would say so instead.
    notebook = write_tiny(tmp_path, TINY.replace("import time", "raise RuntimeError('it ran')"))
    with pytest.raises(ValueError, match=f"^parameters: .*{message}") as refusal:
        rerun(notebook, wrong, tmp_path / "out.ipynb")
    assert describe_parameters(notebook) in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.md"]


def test_the_table_has_each_parameter_with_default_type_range_and_meaning(tmp_path: Path) -> None:
    lines = describe_parameters(write_tiny(tmp_path)).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["parameter", "slope", "points", "names", "waits"]
    assert lines[1].split() == ["slope", "1.0", "float", "above", "0", "how", "steep"]
    assert "list[str] or None  each a or b, distinct  of what" in lines[3]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("a, b = 1, 2", "one name a line"),
        ("print(1)", "it may only assign"),
        ("a = b", "use a plain value"),
        ("a = (", "is no Python"),
        ("a = 1  # type: int (each at least 1)", "which is for lists"),
    ],
)
def test_a_cell_of_parameters_that_can_not_be_read_is_refused(cell: str, message: str, tmp_path: Path) -> None:
    notebook = write_tiny(tmp_path, f"```{{code-cell}} ipython3\n:tags: [parameters]\n\n{cell}\n```\n")
    with pytest.raises(ValueError, match=message):
        parameters_of(notebook)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_parameter_of_a_chapter_is_declared_and_its_default_is_in_range(chapter: Path) -> None:
    parameters = parameters_of(chapter)
    checked(chapter, {})
    for one in parameters.values():
        assert one.kinds, one.name
        assert one.limits or one.kinds == ("bool",), one.name
        assert one.help, one.name


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_papermill_reads_the_same_parameters_and_types(chapter: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The specified file .* does not end in", UserWarning)
        seen = papermill.inspect_notebook(f"jupytext:{chapter}")
    own = {name: "|".join(one.kinds) for name, one in parameters_of(chapter).items()}
    assert {name: one["inferred_type_name"] for name, one in seen.items()} == own


def test_the_settings_that_are_turned_down_are_in_range() -> None:
    for name, settings in yaml.safe_load((NOTEBOOKS / "reduced.yaml").read_text()).items():
        checked(NOTEBOOKS / f"{name}.md", settings)


OF_A_STUDY = {"capacity", "difficulty", "dynamics", "images", "saturation"}
OF_THE_PLANE = {"aggregate_posterior", "mutual_information"}
CANDIDATES = [-1, 0, 1, 2, 255, 256, 0.5, "a", [], [0], [0.0], [-1], [1, 1], [0.1, 1.0], True, float("nan")]


@pytest.mark.parametrize("name", sorted(OF_A_STUDY | OF_THE_PLANE))
def test_what_a_chapter_declares_fits_its_study_takes(name: str) -> None:
    study = published(name if name in OF_A_STUDY else "plane", "full").replace(bound_images=1000)
    settings = {"steps", "betas", "seeds", "batch_size", "records", "bound_images", "fresh_images", "temperatures"}
    tried = 0
    for one in parameters_of(NOTEBOOKS / f"{name}.md").values():
        for value in CANDIDATES if one.name in settings else []:
            try:
                read = taken(one, value)
            except ValueError:
                continue
            study.replace(**({"annealed_images": 0} | {one.name: read}))
            tried += 1
    assert tried > 5


def test_choices_of_the_chapters_are_those_of_the_catalog() -> None:
    (studies,) = parameters_of(NOTEBOOKS / "status.md").values()
    for name in CATALOG:
        assert taken(studies, [name]) == [name]
    assert len(studies.limits[0].split(" or ")) == len(CATALOG)
    scale = parameters_of(NOTEBOOKS / "capacity.md")["scale"]
    assert set(scale.limits[0].split(" or ")) == set(SCALES)
