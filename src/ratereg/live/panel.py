"""The widget: controls, buttons, a line on progress, and the curve, redrawn while the ensemble trains."""

import asyncio
import contextvars
import html
import threading
import time
from concurrent.futures import Future

import ipywidgets

from ratereg.live.controls import Controls
from ratereg.live.interrupt import interrupts, replaced_by_its_cell
from ratereg.live.picture import curve, curve_picture, numbers_table
from ratereg.live.train import Progress, check_watchable, train
from ratereg.studies import Results, Study
from ratereg.summary import groups
from ratereg.widgets.drawing import in_style, svg
from ratereg.widgets.frames import Framed, slider

__all__ = ["Watch", "replay", "watch"]

_WIDE = ipywidgets.Layout(width="100%", max_width="38em")
_STATES = {"finished": "Finished", "stopped": "Stopped", "measuring": "Measuring all images", "training": "Training"}


def watch(study: Study) -> "Watch":
    """Return a widget that trains a small ensemble, with controls, and redraws its rate-distortion curve meanwhile.

    Start trains with the chosen settings. Stop ends after the step that is under way, and what has been trained by then
    is measured. A control that is moved during training starts it again with the new setting; moved at another time, it
    counts at the next start. The notebook's interrupt button stops it too. Several widgets take turns.

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
        results: results of one data set, network and prior.
    """
    rows = results.table[results.table["partition"].isin(["train", "test"])]
    looks = groups(rows.sort_values("step", kind="stable"), ["step"])

    @in_style
    def frame(place: int) -> str:
        return svg(*curve(looks[: place + 1], results.study.steps))

    frames = [frame(place) for place in range(len(looks))]
    steps = [f"{look['step'].iloc[0]:,}" for look in looks]
    return Framed([slider("step", steps, len(steps) - 1)], frames)


class Watch(ipywidgets.VBox):  # type: ignore[misc]
    """A widget that trains an ensemble and shows it; made by `watch`.

    Its parts are `controls`, `start_button`, `stop_button`, `status`, `picture` and `numbers`.
    """

    def __init__(self, study: Study) -> None:
        # Clicks, and what a training shows, come in threads of their own.
        self._lock = threading.RLock()
        # Set to stop the training under way; the training that is shown has the last one.
        self._stopping = threading.Event()
        # After what `close` needs, which ipywidgets calls of a refused widget too.
        check_watchable(study)
        self._outcome: Future[Results | None] | None = None
        self.controls = Controls(study)
        self.start_button = ipywidgets.Button(description="Start", icon="play", button_style="primary")
        self.stop_button = ipywidgets.Button(description="Stop", icon="stop")
        self.status, self.picture, self.numbers = (ipywidgets.HTML(layout=_WIDE) for _ in range(3))
        self._say("Not started. Press Start.", training=False)
        self.start_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stop())
        self.controls.on_change(self._moved)
        buttons = ipywidgets.HBox([self.start_button, self.stop_button])
        super().__init__([self.controls, buttons, self.status, self.picture, self.numbers])
        replaced_by_its_cell(self)

    @property
    def running(self) -> bool:
        """Whether it trains, or measures what it has trained."""
        return self._outcome is not None and not self._outcome.done()

    @property
    def results(self) -> Results:
        """Results of the last training, as `ratereg.load_or_run` would return them; after a stop, of so many steps.

        The table has rows for each step looked at.

        Raises:
            RuntimeError: there has been no training, it is under way, or it was stopped before its first step.
            ValueError: a setting was refused.
            FloatingPointError: all networks have diverged.
        """
        results = self._outcome.result() if self._outcome is not None and self._outcome.done() else None
        if results is None:
            raise RuntimeError("watch: there are no results yet; press Start and wait for the end, or call run().")
        return results

    def start(self) -> None:
        """Train with the settings of the controls, in the background; drop the training under way."""
        with self._lock:
            self._stopping.set()
            self._stopping, self._outcome = threading.Event(), Future()
            self._say("Reading the images.", training=True)
            interrupts(self._stopping)
            # A front end knows by the context which cell or click a message belongs to.
            context = contextvars.copy_context()
            work = (self._work, self._stopping, self._outcome)
            threading.Thread(target=context.run, args=work, name="ratereg.live").start()

    def stop(self) -> None:
        """Ask the training to end after the step that is under way, and measure what has been trained."""
        self._stopping.set()

    def run(self) -> Results:
        """Train to the end, and return the results, or raise as `results` does; an interrupt stops it, as Stop does.

        A kernel does not listen to Stop while a cell is executed: in a notebook rather use `await panel.trained()`.
        """
        self.start()
        try:
            while self.running:
                time.sleep(0.1)
        except KeyboardInterrupt:
            self.stop()
            raise
        return self.results

    async def trained(self) -> Results:
        """Train to the end or to a stop, and return the results: `results = await panel.trained()`.

        While a cell awaits, the kernel listens to the buttons and the sliders. A cell's interrupt stops the training.
        It raises as `results` does.
        """
        self.start()
        try:
            # A slider that is moved meanwhile makes it another training.
            while self.running:
                await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            self.stop()
            raise
        return self.results

    def replay(self) -> Framed:
        """Return the recording of the last training; see `ratereg.live.replay`."""
        return replay(self.results)

    def close(self) -> None:
        """Stop training, and take the widget away."""
        with self._lock:
            self._stopping.set()
            self._stopping = threading.Event()
        super().close()

    def _moved(self) -> None:
        with self._lock:
            if self.running:
                self.start()

    def _work(self, stopping: threading.Event, outcome: "Future[Results | None]") -> None:
        """Train and show it, in a thread, until another training takes its place."""

        def asked() -> bool:
            # The pools of threads that trainers use refuse to begin in a process that ends.
            return stopping.is_set() or not threading.main_thread().is_alive()

        drawn = picture = results = None
        try:
            for progress in train(self.controls.study(), asked):
                if progress.looks and progress.looks[-1] is not drawn:
                    drawn = progress.looks[-1]
                    # Drawn before the lock is taken, since a click waits for the lock.
                    picture = curve_picture(progress.looks, progress.study.steps), numbers_table(drawn)
                with self._lock:
                    if stopping is not self._stopping or not threading.main_thread().is_alive():
                        break
                    if picture:
                        self.picture.value, self.numbers.value = picture
                    results = progress.results
                    self._say(_in_words(progress), training=progress.state in ("training", "measuring"))
        except Exception as error:
            with self._lock:
                if stopping is self._stopping:
                    words = f"It went wrong, and nothing trains. {type(error).__name__}: {error}"
                    self._say(words, "alert", training=False)
            outcome.set_exception(error)
        else:
            outcome.set_result(results)

    def _say(self, words: str, role: str = "status", *, training: bool) -> None:
        self.status.value = f"<div role='{role}'>{html.escape(words)}</div>"
        self.start_button.disabled, self.stop_button.disabled = training, not training


def _in_words(progress: Progress) -> str:
    words = (
        f"{_STATES[progress.state]}: step {progress.step:,} of {progress.study.steps:,}, {len(progress.study)} networks"
    )
    if progress.step:
        words += f", {progress.speed:,.0f} member-steps a second"
    for look in progress.looks[-1:]:
        for beta, step in look.groupby("beta")["diverged_at"].min().dropna().items():
            words += f". β = {beta:g} diverged at step {step:,.0f}, where its loss was not finite; the others continue"
    return f"{words}."
