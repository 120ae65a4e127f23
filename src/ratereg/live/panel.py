"""The widget: controls, buttons, a line on progress, and the curve, redrawn while the ensemble trains."""

import asyncio
import html
import threading

import ipywidgets
import pandas as pd

from ratereg.live.controls import Controls
from ratereg.live.interrupt import interrupts, replaced_by_its_cell
from ratereg.live.picture import curve_picture, numbers_table
from ratereg.live.run import Run
from ratereg.studies import Results, Study
from ratereg.summary import groups
from ratereg.widgets.frames import Framed, slider

__all__ = ["Watch", "replay", "watch"]

_WIDE = ipywidgets.Layout(width="100%", max_width="38em")
_STATES = {"finished": "Finished", "stopped": "Stopped", "measuring": "Measuring all images", "training": "Training"}


def watch(study: Study) -> "Watch":
    """Return a widget that trains a small ensemble, with controls, and redraws its rate-distortion curve meanwhile.

    Start trains with the chosen settings. Stop ends after the step that is under way, and what has been trained by then
    is measured. A control that is moved while it trains starts it again with the new setting; moved at another time,
    it counts at the next start. The notebook's interrupt button stops it too. Several widgets take turns.

    The training is that of `ratereg.load_or_run`, on the CPU, and has the same numbers. Nothing is written to the disk.

    Arguments:
        study: study of one data set and one network, with a constant learning rate; a few members of small networks.

    Raises:
        ValueError: the study has several data sets, networks or priors, or another schedule.
    """
    return Watch(study)


def replay(results: Results) -> Framed:
    """Return a slider over the recorded steps of a training and its rate-distortion curve; it needs no kernel.

    Arguments:
        results: of one data set, network and prior.
    """
    rows = results.table[results.table["partition"].isin(["train", "test"])]
    looks = groups(rows, ["step"])
    looks.sort(key=lambda look: int(look["step"].iloc[0]))
    frames = [curve_picture(looks[: place + 1], results.study.steps) for place in range(len(looks))]
    steps = [f"{look['step'].iloc[0]:,}" for look in looks]
    return Framed([slider("step", steps, len(steps) - 1)], frames)


class Watch(ipywidgets.VBox):  # type: ignore[misc]
    """A widget that trains an ensemble and shows it; made by `watch`.

    Attributes:
        controls: its sliders.
        start_button, stop_button, status, picture, numbers: its other parts.
        error: exception that ended the last training, or None.
    """

    def __init__(self, study: Study) -> None:
        # Clicks, and what a training shows, come in threads of their own.
        self._lock = threading.RLock()
        self._run: Run | None = None
        # Refuses the studies that can't be watched.
        Run(study, self._show)
        self._drawn: pd.DataFrame | None = None
        self.error: Exception | None = None
        self.controls = Controls(study)
        self.start_button = ipywidgets.Button(description="Start", icon="play", button_style="primary")
        self.stop_button = ipywidgets.Button(description="Stop", icon="stop")
        self.status, self.picture, self.numbers = (ipywidgets.HTML(layout=_WIDE) for _ in range(3))
        self._say("Not started. Press Start.")
        self._training(False)
        self.start_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stop())
        self.controls.on_change(self._moved)
        buttons = ipywidgets.HBox([self.start_button, self.stop_button])
        super().__init__([self.controls, buttons, self.status, self.picture, self.numbers])
        replaced_by_its_cell(self)

    @property
    def running(self) -> bool:
        """Whether it trains, or measures what it has trained."""
        run = self._run
        return run is not None and not run.join(0)

    @property
    def results(self) -> Results:
        """Results of the last training, as `ratereg.load_or_run` would return them; after a stop, of so many steps.

        The table has rows for each step looked at.

        Raises:
            RuntimeError: there has been no training, it is under way, or it was stopped before its first step.
        """
        if self._run is None or self._run.results is None:
            raise RuntimeError("watch: there are no results yet; press Start and wait for the end, or call run().")
        return self._run.results

    def start(self) -> None:
        """Train with the settings of the controls, in the background; drop the training under way."""
        with self._lock:
            if self._run is not None:
                self._run.stop(drop=True)
            self._run, self.error = None, None
            try:
                run = Run(self.controls.study(), self._show)
            except ValueError as error:
                self._fail(error)
                return
            self._run = run
            self._training(True)
            self._say("Reading the images.")
            interrupts(run)
            run.start()

    def stop(self) -> None:
        """Ask the training to end after the step that is under way, and measure what has been trained."""
        with self._lock:
            if self._run is not None:
                self._run.stop()

    def run(self) -> Results:
        """Train to the end, and return the results; in a notebook rather use `await panel.trained()`.

        An interrupt stops the training, as Stop does. A kernel does not listen to Stop while a cell is executed.

        Raises:
            ValueError: a setting is refused.
            FloatingPointError: all networks have diverged.
        """
        self.start()
        run = self._run
        try:
            while run is not None and not run.join(0.1):
                pass
        except KeyboardInterrupt:
            self.stop()
            raise
        return self._outcome()

    async def trained(self) -> Results:
        """Train to the end or to a stop, and return the results: `results = await panel.trained()`.

        While a cell awaits, the kernel listens to the buttons and the sliders. A cell's interrupt stops the training.

        Raises:
            ValueError, FloatingPointError: as in `run`.
            RuntimeError: the training was stopped before its first step.
        """
        self.start()
        try:
            # A slider that is moved meanwhile makes it another run.
            while self.running:
                await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            self.stop()
            raise
        return self._outcome()

    def replay(self) -> Framed:
        """Return the recording of the last training; see `replay`.

        Raises:
            RuntimeError: as of `results`.
        """
        return replay(self.results)

    def close(self) -> None:
        """Stop training, and take the widget away."""
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.stop(drop=True)
        super().close()

    def _outcome(self) -> Results:
        if self.error is not None:
            raise self.error
        return self.results

    def _moved(self) -> None:
        with self._lock:
            if self.running:
                self.start()

    def _show(self, run: Run) -> None:
        """Show the state of a run, in its thread."""
        # Drawn before the lock is taken, as a click waits for the lock.
        last = run.looks[-1] if run.looks else None
        frame = "" if last is None or last is self._drawn else curve_picture(run.looks, run.study.steps)
        with self._lock:
            if run is not self._run:
                return
            if run.error is not None:
                self._fail(run.error)
                return
            if frame:
                self._drawn, self.picture.value, self.numbers.value = last, frame, numbers_table(last)
            words = f"{_STATES[run.state]}: step {run.step:,} of {run.study.steps:,}, {len(run.study)} networks"
            if run.step:
                words += f", {run.speed:,.0f} member-steps a second"
            for beta, step in run.lost.items():
                words += f". β = {beta:g} diverged at step {step:,}: its loss is no longer finite, and the others go on"
            self._say(f"{words}.")
            self._training(run.state in ("training", "measuring"))

    def _fail(self, error: Exception) -> None:
        self.error = error
        words = html.escape(f"{type(error).__name__}: {error}")
        self.status.value = f"<div role='alert'><strong>It went wrong, and nothing trains.</strong> {words}</div>"
        self._training(False)

    def _say(self, words: str) -> None:
        self.status.value = f"<div role='status'>{html.escape(words)}</div>"

    def _training(self, under_way: bool) -> None:
        self.start_button.disabled, self.stop_button.disabled = under_way, not under_way
