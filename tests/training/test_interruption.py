"""The first signal is a wish to stop, the second Ctrl-C is obeyed at once, and nothing stays changed."""

import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from queue import Empty

import pytest

from ratereg.training.interruption import SIGNALS, Stopped, interruptible


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        assert signal.getsignal(number) is handler
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_wish_and_says_what_follows(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with interruptible() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop()
    assert "Stopping after this step, and saving. Ctrl-C again" in capsys.readouterr().err


@pytest.mark.parametrize("first", SIGNALS)
def test_ctrl_c_after_a_wish_stops_at_once(first: signal.Signals) -> None:
    with interruptible():
        os.kill(os.getpid(), first)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_in_work_that_has_nothing_to_save_the_first_signal_stops_at_once(number: signal.Signals) -> None:
    reached = []

    def work() -> None:
        os.kill(os.getpid(), number)
        reached.append("after the signal")

    with interruptible() as stop:
        with pytest.raises(Stopped) as stopped, stop.at_once(30, 100):
            work()
        assert stop()
        # Once asked to stop, such work does not begin.
        with pytest.raises(Stopped), stop.at_once(30, 100):
            work()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert not reached
    assert (stopped.value.step, stopped.value.steps) == (30, 100)


def test_after_such_work_a_signal_is_a_wish_again(capsys: pytest.CaptureFixture[str]) -> None:
    with interruptible() as outer, interruptible() as inner:
        with inner.at_once(1, 2):
            pass
        with pytest.raises(ZeroDivisionError), inner.at_once(1, 2):
            raise ZeroDivisionError
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer()
        assert inner()
    assert "Stopping after this step" in capsys.readouterr().err


def test_a_scheduler_that_asks_twice_does_not_cut_the_saving_short() -> None:
    with interruptible() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()


def test_afterwards_signals_do_what_they_did_before() -> None:
    with pytest.raises(ZeroDivisionError), interruptible():
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    with interruptible() as stop:
        assert not stop()


def test_inside_another_one_the_wish_is_the_same() -> None:
    with interruptible() as outer:
        with interruptible() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            assert inner()
        assert outer()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_in_another_thread_nobody_asks() -> None:
    answers = []

    def work() -> None:
        with interruptible() as stop, stop.at_once(1, 2):
            answers.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]


def test_what_the_process_ignores_it_goes_on_ignoring() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_while_the_progress_bar_writes_is_a_wish_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        def write(self, _: str) -> None:
            raise RuntimeError("reentrant call")

        flush = write

    with interruptible() as stop, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", Busy())
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()


def test_a_stopped_run_says_how_to_go_on_from_another_process_too() -> None:
    stopped = pickle.loads(pickle.dumps(Stopped(3, 10)))
    assert (stopped.step, stopped.steps) == (3, 10)
    assert str(stopped) == "stopped after step 3 of 10, and saved; start the same run again to resume"


def test_in_a_notebook_the_interrupt_button_is_a_wish() -> None:
    manager = pytest.importorskip("jupyter_client.manager", reason="without Jupyter there is no notebook")
    kernel, client = manager.start_new_kernel(kernel_name="python3")
    try:
        client.execute(
            "import signal, time\n"
            "from ratereg.training.interruption import interruptible\n"
            "before = signal.getsignal(signal.SIGINT)\n"
            "with interruptible() as stop:\n"
            "    print('begins', flush=True)\n"
            "    while not stop(): time.sleep(0.01)\n"
            "print('has saved', signal.getsignal(signal.SIGINT) is before)\n"
        )
        written = ""
        try:
            while "has saved" not in written:
                message = client.get_iopub_msg(timeout=60)
                written += message["content"].get("text", "") + "".join(message["content"].get("traceback", []))
                if message["content"].get("text", "").startswith("begins"):
                    kernel.interrupt_kernel()
        except Empty:
            pytest.fail(f"the kernel wrote only {written!r}")
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    assert "has saved True" in written
    assert "Stopping after this step, and saving." in written
