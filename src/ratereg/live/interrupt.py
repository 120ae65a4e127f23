"""A kernel and a training in the background: the kernel's interrupt stops it, and its cell run again replaces it."""

import signal
import threading
import weakref
from types import FrameType
from typing import Any

import ipywidgets

__all__ = ["interrupts", "replaced_by_its_cell"]

_stopping: "weakref.WeakSet[threading.Event]" = weakref.WeakSet()
# For each cell its last execution, and the widgets shown by it.
_of_cell: dict[str, tuple[str, "weakref.WeakSet[Any]"]] = {}


def interrupts(stopping: threading.Event) -> None:
    """Let the kernel's interrupt set an event while no cell is executed; without a kernel do nothing.

    While a cell is executed, the interrupt is that cell's.
    """
    if kernel := _kernel():
        _stopping.add(stopping)
        # Only the main thread may set a handler, and a message's handling ends with setting the one from before.
        kernel.io_loop.add_callback(_listen)


def replaced_by_its_cell(widget: ipywidgets.Widget) -> None:
    """Close the widgets of the cell's last execution when it is executed again: nobody could stop them any more."""
    kernel = _kernel()
    request = kernel.get_parent("shell") if kernel else {}
    cell, execution = request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id")
    if cell is None or execution is None:
        return
    last, shown = _of_cell.get(cell, ("", weakref.WeakSet()))
    if last != execution:
        for before in list(shown):
            before.close()
        shown = weakref.WeakSet()
    shown.add(widget)
    _of_cell[cell] = execution, shown


def _kernel() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return getattr(get_ipython(), "kernel", None)


def _listen() -> None:
    # Between messages a kernel ignores the signal; any other handler is somebody's own.
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop_all)


def _stop_all(number: int, frame: FrameType | None) -> None:
    for stopping in list(_stopping):
        stopping.set()
