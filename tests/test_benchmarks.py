import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ratereg.models import MLP
from ratereg.training.cost import step_cost

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

# As where pythae is not installed.
RUN = """
import runpy, sys
sys.modules["pythae"] = None
sys.path.insert(0, sys.argv[1])
sys.argv = ["training.py", "--quick"]
runpy.run_path(sys.path[0] + "/training.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def printed():
    command = [sys.executable, "-c", RUN, str(BENCHMARKS)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_training_is_compared_with_the_plain_loop_alone_where_pythae_is_not_installed(printed):
    assert "pythae is not installed" in printed
    assert float(re.search(r"is ([\d.]+) times as fast as the plain loop \(", printed)[1]) > 0
    assert "times as fast as pythae" not in printed


def test_the_arithmetic_that_the_benchmark_states_is_that_of_a_step(printed):
    counted = step_cost(MLP(layers=1), (1, 28, 28), members=1, batch_size=128, precision="float32").multiply_adds
    assert f"matrix products are {counted / 1e6:.0f} million multiply-adds" in printed


def test_the_parts_of_a_step_are_all_there_and_add_up_to_it(printed):
    whole, listed = re.search(r"goes, one thread, profiled +([\d.]+) ms\n((?:  .*\n)+)", printed).groups()
    parts = {name: float(value) for name, value in re.findall(r"^  (\S.*?)  +([\d.]+) +-?\d+%$", listed, re.MULTILINE)}
    assert sum(parts.values()) == pytest.approx(float(whole), abs=0.001 * len(parts))
    for name in ("matrix products", "Adam and the working copies", "likelihood", "batches gathered"):
        assert parts[name] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_benchmark_says_that_none_was_measured(printed):
    assert "GPU: not measured (none here)" in printed
