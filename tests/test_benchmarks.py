import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

# As where pythae is not installed.
RUN = """
import runpy, sys
sys.modules["pythae"] = None
sys.path.insert(0, sys.argv[1])
sys.argv = ["training.py", "--quick"]
runpy.run_path(sys.path[0] + "/training.py", run_name="__main__")
"""


def test_training_is_compared_with_the_plain_loop_and_its_parts_add_up_to_a_step() -> None:
    command = [sys.executable, "-c", RUN, str(BENCHMARKS)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "pythae is not installed" in printed
    (ratio,) = re.findall(r"is ([\d.]+) times as fast as the plain loop \(", printed)
    assert float(ratio) > 0
    ((whole, listed),) = re.findall(r"goes, one thread, profiled +([\d.]+) ms\n((?:  .*\n)+)", printed)
    parts = [float(part) for part in re.findall(r"^  \S.*?  +([\d.]+) +-?\d+%$", listed, re.MULTILINE)]
    assert sum(parts) == pytest.approx(float(whole), abs=0.001 * len(parts))
    assert len(parts) >= 4
