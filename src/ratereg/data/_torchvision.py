"""Importing torchvision's data sets, also beside a torch that its compiled operators are not built for."""

import functools
import importlib.machinery
import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import library as torch_library

__all__ = ["torchvision_datasets"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@functools.cache
def torchvision_datasets() -> ModuleType:
    """Import torchvision.datasets.

    torchvision of PyPI is built for CUDA. Beside a torch for the CPU its compiled operators do not load, and its import
    then fails for want of two operators that no data set uses: declaring them is enough.
    """
    if not _operators_load():
        _declared()
    return importlib.import_module("torchvision.datasets")


def _operators_load() -> bool:
    package = importlib.util.find_spec("torchvision")
    if package is None or package.submodule_search_locations is None:
        return True  # the import itself says best what is missing
    extension = importlib.machinery.PathFinder.find_spec("_C", list(package.submodule_search_locations))
    if extension is None or extension.origin is None:
        return False
    operators: Any = torch.ops
    try:
        operators.load_library(extension.origin)
    except OSError:
        return False
    return True


@functools.cache  # a library forgets its operators when it is collected
def _declared() -> object:
    library = torch_library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + _SCHEMA)
    return library
