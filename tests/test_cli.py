"""`ratereg`, as it is typed."""

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ratereg import CATALOG, MLP, Bernoulli, Data
from ratereg.cli import _value
from ratereg.data.known import variable
from ratereg.studies.results import find_published

SOURCES = Path(__file__).parents[1] / "src"
TINY = [
    "--set",
    "network=MLP(layers=1, width=8, latent_dim=2)",
    "--set",
    "data=Data('tetrominoes', n_train=64, n_test=64)",
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def ratereg(typed: Callable[..., int]) -> Callable[..., int]:
    return typed


def test_studies_are_listed_with_their_scales(ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert ratereg("studies") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[name, scale] for name in CATALOG for scale in CATALOG[name]]


def test_run_trains_a_variant_and_keeps_it(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    command = ["run", "plane", "--scale", "cpu", "--set", "steps=3", "--set", "betas=1,0.1", "--set", "seeds=1"]
    assert ratereg(*command, *TINY, "--device", "cpu", "--max-members", "1") == 0
    shown = capsys.readouterr().out
    assert "step 3" in shown
    (kept,) = (path.parent for path in (cache / "studies").glob("*/provenance.json"))
    assert str(kept) in shown
    study = json.loads((kept / "study.json").read_text())
    assert study["steps"] == 3
    assert (kept / "table.csv").read_text().count(",0.1,") >= 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2000", 2000),
        ("1,0.1", (1, 0.1)),
        ("[1, -0.5]", (1, -0.5)),
        ("None", None),
        ("cosine", "cosine"),
        ("search-cosine", "search-cosine"),
        ("a path/with blanks", "a path/with blanks"),
        ("MLP(layers=2)", MLP(layers=2)),
        ("MLP(1), MLP(3, width=64)", (MLP(1), MLP(3, width=64))),
        ("Data('mnist-10k', n_train=100)", Data("mnist-10k", n_train=100)),
        ("Bernoulli()", Bernoulli()),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
    ],
)
def test_a_setting_is_a_literal_a_value_of_the_package_or_text(text: str, value: object) -> None:
    read = _value(text)
    assert type(read) is type(value)
    assert read == value or repr(read) == repr(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "plain"], "give one of 'capacity'"),
        (["run", "plane", "--scale", "tiny"], "scale is 'tiny'"),
        (["run", "plane", "--set", "step=3"], "no setting 'step'"),
        (["run", "plane", "--set", "steps"], "give NAME=VALUE"),
        (["run", "plane", "--set", "steps=0"], "steps is 0"),
        (["run", "plane", "--set", "network=3"], "network"),
        (["run", "plane", "--set", "network=MLP(layers=-1)"], "layers is -1"),
        (["run", "plane", "--set", "steps=3", "--device", "gpu"], "device is 'gpu', which is not here; give 'cpu'"),
        (["run", "plane", "--set", "steps=3", "--device", "cpu,gpu"], "device is 'gpu', which is not here"),
        (["run", "plane", "--set", "steps=3", "--max-members", "0"], "max_members is 0"),
        (["run", "plane", "--set", "steps=3", "--max-members", "many"], "--max-members: invalid int value: 'many'"),
        (["run", "plane", "--set", "likelihood=3"], "likelihood is 3"),
        (["run", "plane", "--data", "fashion-mnist"], "--data is 'fashion-mnist'; give NAME=FILE"),
        (["run", "plane", "--data", "tetrominoes=x.npz"], "with the name fashion-mnist or mnist"),
        (["results", "plain"], "give one of 'capacity'"),
        (["results", "--unpack"], "give --archive FILE.tar.gz"),
        (["results", "--unpack", "--archive", "no.tar.gz"], "no.tar.gz"),
        (["results", "--minutes", "0"], "give a positive number"),
        (["reproduce", "plain"], "give one of 'capacity'"),
        (["data", "cifar"], "name is 'cifar'; give one of fashion-mnist"),
        (["rerun", "no.md"], "notebook is no.md, which is no file"),
        (["rum"], "invalid choice: 'rum'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_shown_without_a_traceback(
    arguments: list[str], message: str, ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg(*arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert shown.splitlines()[-1].startswith("ratereg")


def test_a_cache_that_can_not_be_written_to_and_a_missing_package_are_told_in_one_line(
    ratereg: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert ratereg("run", "plane", "--set", "steps=3", *TINY, "--scheduler", "tcp://127.0.0.1:1") == 2
    assert "ratereg[cluster]" in capsys.readouterr().err.splitlines()[-1]
    (tmp_path / "file").touch()
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "file"))
    assert ratereg("run", "plane", "--set", "steps=3", *TINY) == 2
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err.splitlines()[-1]


def test_an_interrupted_run_is_saved_and_its_command_shown(tmp_path: Path) -> None:
    command = ["run", "plane", "--set", "steps=1000000", "--set", "betas=1", "--set", "seeds=1", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "ratereg", *command, "--device", "cpu"],
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(SOURCES), "RATEREG_CACHE": str(tmp_path)},
    )
    with process:
        assert process.stderr
        seen = b""
        # The bar's first word about its speed comes with a first step.
        while b"step/s" not in seen and b"steps/s" not in seen:
            byte = process.stderr.read(1)
            assert byte, seen.decode()
            seen += byte
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate()
    assert process.returncode == 130
    shown = rest.decode().splitlines()[-1]
    assert "of 1,000,000, and all is saved. To resume, run the same command again: python -m ratereg run plane" in shown
    assert list(tmp_path.rglob("*checkpoint*"))


def test_studies_with_a_result_are_not_run_again_and_given_data_reach_the_processes_of_a_run(
    ratereg: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv(variable("fashion-mnist"), "before")
    monkeypatch.chdir(tmp_path)
    assert ratereg("results", "plane", "--scale", "cpu", "--data", "fashion-mnist=there.npz") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing is left."
    assert os.environ[variable("fashion-mnist")] == str(tmp_path / "there.npz")


def test_an_archive_carries_results_to_another_machine_and_replaces_none_there(
    ratereg: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    archive, here = tmp_path / "carried.tar.gz", tmp_path / "elsewhere"
    assert ratereg("results", "plane", "--scale", "cpu", "--archive", str(archive)) == 0
    source = find_published(CATALOG["plane"]["cpu"].digest)
    assert source is not None
    (there := here / "plane" / source.name).mkdir(parents=True)
    (there / "table.csv").write_text("its own")
    monkeypatch.setattr("ratereg.studies.campaign.published_directory", lambda: here)
    unpack = ["results", "--unpack", "--archive"]
    assert ratereg(*unpack, str(archive)) == 0
    assert (there / "table.csv").read_text() == "its own"
    assert (there / "arrays.npz").read_bytes() == (source / "arrays.npz").read_bytes()
    capsys.readouterr()
    assert ratereg(*unpack, str(archive)) == 0
    assert capsys.readouterr().out.startswith("unpacked: 0 files")
    with tarfile.open(tmp_path / "outside.tar", "w") as tar:
        tar.add(source / "table.csv", "results/../../outside.csv")
    (tmp_path / "damaged.tar.gz").write_bytes(archive.read_bytes()[:5000])
    for name in ("outside.tar", "damaged.tar.gz"):
        assert ratereg(*unpack, str(tmp_path / name)) == 2
        assert f"{name} can't be read" in capsys.readouterr().err
    assert not list(tmp_path.rglob("outside.csv"))


def test_the_members_of_a_committed_result_are_listed_with_their_numbers(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("reproduce", "plane", "--scale", "cpu") == 0
    _, *members, last = (line.split() for line in capsys.readouterr().out.splitlines())
    assert last[-1] == "--member."
    study = CATALOG["plane"]["cpu"]
    assert [member[0] for member in members] == [str(number) for number in range(len(study))]
    assert [(int(member[-2]), float(member[-1])) for member in members] == [
        (one.seed, one.beta) for one in study.members
    ]


def test_help_imports_no_torch_and_a_reader_who_stops_reading_sees_no_traceback(tmp_path: Path) -> None:
    def sh(command: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(SOURCES), "PYTHONUNBUFFERED": "1"}
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment, cwd=tmp_path)

    done = sh(f"{sys.executable} -X importtime -m ratereg --help")
    assert "ratereg.cli" in done.stderr
    assert not {"torch", "numpy"} & {line.split()[-1] for line in done.stderr.splitlines()}
    done = sh(f"{sys.executable} -m ratereg studies | head -n 1")
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_without_a_command_all_are_listed_and_the_help_of_each_shows_examples(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg() == 2
    listed = capsys.readouterr().out
    for command in ("studies", "run", "reproduce", "results", "data", "rerun", "report"):
        assert f"\n    {command}" in listed
        assert ratereg(command, "--help") == 0
        assert f"\nexamples:\n  ratereg {command}" in capsys.readouterr().out
