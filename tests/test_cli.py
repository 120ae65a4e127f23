from pathlib import Path

import pytest

from ratereg import CATALOG, cli


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    return tmp_path


def ratereg_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["ratereg", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_studies_are_listed_with_their_scales(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg_command(monkeypatch, "studies") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[name, scale] for name in CATALOG for scale in CATALOG[name]]


def test_run_trains_a_variant_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    command = ["run", "plane", "--scale", "cpu", "--set", "steps=3", "--set", "betas=1,0.1", "--set", "latents=4"]
    command += ["--set", "seeds=1"]
    assert ratereg_command(monkeypatch, *command) == 0
    shown = capsys.readouterr().out
    assert "step 3" in shown
    (kept,) = (cache / "studies").iterdir()
    assert str(kept) in shown
    assert (kept / "provenance.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "plain"], "give one of 'capacity'"),
        (["run", "plane", "--scale", "tiny"], "scale is 'tiny'"),
        (["run", "plane", "--set", "step=3"], "no setting 'step'"),
        (["run", "plane", "--set", "steps"], "give NAME=VALUE"),
        (["run", "plane", "--set", "steps=many"], "steps is 'many'"),
        (["run", "plane", "--set", "network=3"], "cannot change 'network'"),
        (["run", "plane", "--set", "steps=3", "--device", "gpu"], "device is 'gpu', which is not here; give 'cpu'"),
        (["run", "plane", "--set", "likelihood=3"], "likelihood is 3"),
        (["run", "plane", "--set", "precision=[1]"], "precision is [1]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_in_one_line_without_a_traceback(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ratereg_command(monkeypatch, *arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_papermills_pairs_are_understood() -> None:
    joined = cli._join_pairs(["rerun", "-p", "steps", "200", "a.md", "-p", "betas=[1]", "-o", "b.ipynb"])
    assert joined == ["rerun", "-p", "steps=200", "a.md", "-p", "betas=[1]", "-o", "b.ipynb"]
