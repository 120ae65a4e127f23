"""The C library's allocator, told to keep the memory that a training step frees for the next one."""

import ctypes
import sys
from functools import cache

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Return whether glibc was told to serve large tensors from its heap and never to shrink that.

    By default glibc maps every large tensor afresh and unmaps it when freed. A step frees and asks for the same
    hundreds of megabytes, so the kernel clears their pages again at each step: a third of a step's time.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
