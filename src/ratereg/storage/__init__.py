"""Files on this machine: the cache, atomic writes, checkpoints of long computations, and locks between processes."""

from ratereg.storage.atomic import StorageError, cache_directory, check_writable, writing, written_file, written_folder
from ratereg.storage.checkpoints import load_checkpoint, save_checkpoint, tensors_digest
from ratereg.storage.locks import Busy, locked

__all__ = ["Busy", "StorageError", "cache_directory", "check_writable", "load_checkpoint", "locked"]
__all__ += ["save_checkpoint", "tensors_digest", "writing", "written_file", "written_folder"]
