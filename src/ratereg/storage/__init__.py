"""What is kept on this machine: the cache, checkpoints of long computations, and locks on what one process works on."""

from ratereg.storage.checkpoints import load_checkpoint, remove_checkpoint, save_checkpoint
from ratereg.storage.folders import StorageError, cache_directory, check_writable, writing, written_aside
from ratereg.storage.locks import Busy, locked

__all__ = [
    "Busy",
    "StorageError",
    "cache_directory",
    "check_writable",
    "load_checkpoint",
    "locked",
    "remove_checkpoint",
    "save_checkpoint",
    "writing",
    "written_aside",
]
