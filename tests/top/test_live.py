"""A training that is watched: its numbers, its stops, its errors, and its end."""

import asyncio
import dataclasses
import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import ratereg
from ratereg import MLP, Data, Study
from ratereg.live import Watch, replay, watch
from ratereg.live.picture import numbers_table
from ratereg.live.train import look_steps
from ratereg.measurements import Latents

SMALL = Study(
    data=Data("tetrominoes", n_train=64, n_test=64),
    network=MLP(layers=1, width=16, latent_dim=2),
    betas=[1.0, 0.1],
    steps=30,
    batch_size=8,
).measuring(Latents(8))
LONG = SMALL.replace(steps=10**6)


@contextmanager
def watched(study: Study) -> Iterator[Watch]:
    """Yield a widget, close it at the end, and wait for the end of its thread."""
    panel = watch(study)
    try:
        yield panel
    finally:
        panel.close()
        until(lambda: not any(thread.name == "ratereg.live" for thread in threading.enumerate()))


def until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("the condition did not hold within two minutes")


def trains(panel: Watch) -> bool:
    return "Training: step" in panel.status.value and "Training: step 0" not in panel.status.value


def same_numbers(panel: Watch) -> None:
    """Assert that the last rows and the arrays are those of the same study without a widget."""
    alone = ratereg.load_or_run(panel.results.study, device="cpu", progress=False)
    pd.testing.assert_frame_equal(panel.results.final[alone.final.columns], alone.final)
    assert set(panel.results.arrays) == set(alone.arrays)
    for name, values in alone.arrays.items():
        np.testing.assert_array_equal(panel.results.arrays[name], values, err_msg=name)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("steps", [1, 2, 7, 30, 1000])
def test_a_training_is_looked_at_from_its_first_step_to_its_last(steps: int) -> None:
    looks = look_steps(steps)
    assert looks == sorted(set(looks))
    assert (looks[0], looks[-1]) == (1, steps)


def test_a_watched_training_has_the_numbers_of_the_study_without_a_widget() -> None:
    with watched(SMALL) as panel:
        results = panel.run()
        assert results.study.steps == SMALL.steps
        assert sorted(results.table["step"].unique()) == look_steps(SMALL.steps)
        same_numbers(panel)
        assert "Finished: step 30 of 30, 2 networks" in panel.status.value
        assert (panel.start_button.disabled, panel.stop_button.disabled) == (False, True)


def test_a_stop_leaves_the_results_of_a_study_of_so_many_steps() -> None:
    with watched(LONG) as panel:
        panel.start_button.click()
        assert (panel.start_button.disabled, panel.stop_button.disabled) == (True, False)
        until(lambda: trains(panel))
        panel.stop_button.click()
        until(lambda: not panel.running)
        assert "Stopped: step" in panel.status.value
        assert 1 <= panel.results.study.steps < LONG.steps
        same_numbers(panel)
        assert (panel.start_button.disabled, panel.stop_button.disabled) == (False, True)


def test_a_control_moved_during_training_starts_it_again_and_at_rest_counts_at_the_next_start() -> None:
    with watched(LONG) as panel:
        panel.controls.sizes["layers"].value = 4
        assert not panel.running
        panel.start()
        until(lambda: trains(panel))
        panel.controls.steps.value = 100
        panel.controls.smallest_beta.value = -2.0
        until(lambda: not panel.running)
        study = panel.results.study
        assert (study.axis_networks[0].layers, study.steps, study.axis_betas) == (4, 100, (1.0, 0.01))
        assert "Finished" in panel.status.value


def numbers_of(picture: str) -> list[float]:
    """Return the numbers in the text alternative of a picture."""
    attributes = ET.fromstring(picture).attrib
    words = attributes.get("alt") or attributes["aria-label"]
    assert words.startswith("Distortion against rate in nats at step")
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d.,]*(?<![.,])", words)]


def test_the_picture_changes_during_training_and_the_replay_has_each_recorded_step() -> None:
    with watched(LONG) as panel:
        with pytest.raises(RuntimeError, match="press Start"):
            panel.replay()
        seen: list[str] = []
        panel.picture.observe(lambda change: seen.append(change["new"]), names="value")
        panel.start()
        until(lambda: len(seen) > 3)
        assert panel.running
        panel.stop()
        until(lambda: not panel.running)
        assert len(set(seen)) == len(seen)
        slider, shown = panel.replay().children
        frames = [frame.value for frame in shown.children[0].children]
        assert len(frames) == len(slider.options) == panel.results.table["step"].nunique()
        assert [numbers_of(frame)[0] for frame in frames] == sorted(set(panel.results.table["step"]))
        assert slider.index == len(frames) - 1
        assert numbers_of(frames[-1])[2:] == numbers_of(panel.picture.value)[2:]


def test_the_words_of_the_picture_and_the_table_have_each_number_in_its_place() -> None:
    results = ratereg.load_or_run(SMALL, device="cpu", progress=False)
    # No two numbers of this table are equal.
    places = results.table[["beta", "partition", "step"]].itertuples(index=False, name=None)
    values = [1000 * step + 10 * [1.0, 0.1].index(beta) + (partition == "test") for beta, partition, step in places]
    columns = ("rate", "mutual_information", "marginal_kl", "distortion")
    changed = results.table.assign(**{name: np.array(values) + 0.1 * place for place, name in enumerate(columns)})
    # In the book's style, which arranges other figures by itself.
    with plt.style.context(ratereg.plots.STYLE):
        slider, shown = replay(dataclasses.replace(results, table=changed)).children
    frames = [frame.value for frame in shown.children[0].children]
    assert [label for label, _ in slider.options] == [f"{step}" for step in SMALL.record_steps]
    for step, frame in zip(SMALL.record_steps, frames, strict=True):
        first = 1000 * step
        of_beta = [[first + 1, first + 1, first, first], [first + 11, first + 11, first + 10, first + 10]]
        assert numbers_of(frame) == [step, 30, 1, *of_beta[0], 0.1, *of_beta[1]]
    cells = re.findall(
        r"<t[hd]>(?:β)?([\d.]*)</t[hd]>", numbers_table(changed[changed["step"] == 30]).split("<tbody>")[1]
    )
    assert np.array(cells, dtype=float).reshape(2, 6).tolist() == [
        [1, 30000.0, 30000.1, 30000.2, 30000.3, 30001.3],
        [0.1, 30010.0, 30010.1, 30010.2, 30010.3, 30011.3],
    ]


def test_a_network_of_layers_of_different_widths_has_no_sliders_for_them() -> None:
    network = MLP(hidden=(16, 8), latent_dim=2)
    with watched(SMALL.replace(network=network)) as panel:
        assert not panel.controls.sizes
        panel.controls.steps.value = 100
        assert panel.controls.study() == SMALL.replace(network=network, steps=100)


def test_the_widget_says_why_a_setting_is_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((40, 8, 8))
    np.save(tmp_path / "mine.npy", images)
    own = SMALL.replace(data=Data(str(tmp_path / "mine.npy")))
    with watched(own) as panel:
        assert panel.controls.images.label == "all"
        panel.controls.images.value = 16384
        with pytest.raises(ValueError, match="n_train"):
            panel.run()
        assert "role='alert'" in panel.status.value
        assert "n_train" in panel.status.value
        assert (panel.start_button.disabled, panel.stop_button.disabled) == (False, True)
        panel.controls.images.label = "all"
        assert panel.run().study == panel.results.study
        same_numbers(panel)


def test_a_member_that_diverges_is_named_and_the_others_go_on() -> None:
    with watched(SMALL.replace(betas=[1e39, 1.0])) as panel:
        panel.run()
        assert "β = 1e+39 diverged at step" in panel.status.value
        assert "diverged" in panel.numbers.value
        assert ET.fromstring(panel.picture.value).attrib["alt"].count("diverged") == 1
        assert panel.results.final.groupby("beta")["rate"].count().to_dict() == {1.0: 2, 1e39: 0}


def test_if_all_diverge_it_ends_and_says_what_would_do() -> None:
    with watched(SMALL.replace(learning_rate=1e30, steps=1000)) as panel:
        with pytest.raises(FloatingPointError, match="smaller learning rate"):
            panel.run()
        assert "role='alert'" in panel.status.value


def test_two_widgets_take_turns() -> None:
    with watched(LONG) as one, watched(LONG.replace(seeds=[1])) as other:
        for panel in (one, other):
            panel.start()
        until(lambda: trains(one) and trains(other))
        assert one.running
        one.close()
        until(lambda: not one.running)
        before = other.status.value
        until(lambda: other.status.value != before)
        assert other.running


def test_an_interrupt_of_the_cell_that_waits_stops_the_training() -> None:
    with watched(LONG) as panel:
        waiting = threading.Thread(target=lambda: (until(lambda: trains(panel)), os.kill(os.getpid(), signal.SIGINT)))
        waiting.start()
        with pytest.raises(KeyboardInterrupt):
            panel.run()
        waiting.join()
        until(lambda: not panel.running)
        assert "Stopped" in panel.status.value


def test_a_cell_that_awaits_it_leaves_its_loop_free_for_the_buttons() -> None:
    async def cell(panel: Watch, last: Callable[[], None]) -> ratereg.Results:
        waiting = asyncio.ensure_future(panel.trained())
        while not trains(panel):
            await asyncio.sleep(0.05)
        last()
        return await waiting

    with watched(LONG) as panel:
        assert asyncio.run(cell(panel, panel.stop)).study.steps < LONG.steps
        # Moved, it is another training that is waited for.
        moved = functools.partial(setattr, panel.controls.steps, "value", 100)
        assert asyncio.run(cell(panel, moved)).study.steps == 100


def test_a_process_that_ends_while_it_trains_ends_at_once_and_silently() -> None:
    code = f"""
import time
from ratereg import MLP, Data, Study
from ratereg.live import watch
panel = watch(Study.from_settings({LONG.settings!r}))
panel.start()
while "Training: step" not in panel.status.value or "Training: step 0" in panel.status.value:
    time.sleep(0.05)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": [MLP(layers=1), MLP(layers=2)]}, "2 values of network"),
        ({"data": [Data("tetrominoes"), Data("mnist")]}, "2 values of data"),
        ({"schedule": "cosine"}, "schedule is 'cosine'"),
    ],
)
def test_studies_that_cannot_be_watched_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        watch(SMALL.replace(**change))
