"""A training in the background of a real kernel: its interrupt, its restart, and a cell that is run again."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

BEGIN = """
import time
from ratereg import MLP, Data, Study
from ratereg.live import watch

def panel_of():
    return watch(Study(
        data=Data("tetrominoes", n_train=64, n_test=64), network=MLP(layers=1, width=16, latent_dim=2),
        betas=[1.0, 0.1], steps=10**6, batch_size=8,
    ))

def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it did not come about within two minutes"
        time.sleep(0.05)

def trains(panel):
    until(lambda: "Training: step" in panel.status.value and "Training: step 0" not in panel.status.value)
"""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = zmq.Context()
    manager = KernelManager(context=context)
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        context.destroy(linger=0)


def execute(client: BlockingKernelClient, code: str, cell: str = "a") -> None:
    """Execute a cell as JupyterLab does, which names it, wait until the kernel is idle, and fail if the cell does."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
    content |= {"allow_stdin": False, "stop_on_error": True}
    message = client.session.msg("execute_request", content, metadata={"cellId": cell})
    client.shell_channel.send(message)
    reply = answer(message, client.get_shell_msg, lambda content: True)
    assert reply["status"] == "ok", "\n".join(reply.get("traceback", []))
    # Until then an interrupt is the cell's, though it has replied.
    answer(message, client.get_iopub_msg, lambda content: content.get("execution_state") == "idle")


def answer(message: Any, receive: Callable[..., Any], is_it: Callable[[Any], bool]) -> Any:
    while True:
        got = receive(timeout=180)
        if got["parent_header"].get("msg_id") == message["header"]["msg_id"] and is_it(got["content"]):
            return got["content"]


def test_the_interrupt_of_an_idle_kernel_stops_the_training(kernel: tuple[KernelManager, BlockingKernelClient]) -> None:
    manager, client = kernel
    execute(client, f"{BEGIN}\npanel = panel_of(); panel.start(); trains(panel)")
    execute(client, "assert panel.running")
    manager.interrupt_kernel()
    execute(client, "until(lambda: not panel.running); assert 'Stopped: step' in panel.status.value")


def test_a_cell_that_is_run_again_closes_what_it_had_shown(kernel: tuple[KernelManager, BlockingKernelClient]) -> None:
    _, client = kernel
    execute(client, BEGIN)
    execute(client, "shown = [panel_of(), panel_of()]; [one.start() for one in shown]", cell="b")
    execute(client, "other = panel_of(); other.start(); before = shown", cell="c")
    execute(client, "assert all(one.running for one in shown)", cell="d")
    execute(client, "shown = [panel_of()]", cell="b")
    execute(client, "until(lambda: not any(one.running for one in before)); assert other.running", cell="d")


def test_a_kernel_that_trains_ends_when_it_is_asked_to(kernel: tuple[KernelManager, BlockingKernelClient]) -> None:
    # As at a restart, where it would be killed after some seconds.
    manager, client = kernel
    execute(client, f"{BEGIN}\npanel = panel_of(); panel.start(); trains(panel)")
    manager.request_shutdown(restart=True)
    end = time.monotonic() + 60
    while manager.is_alive():
        assert time.monotonic() < end, "the kernel did not end"
        time.sleep(0.1)
