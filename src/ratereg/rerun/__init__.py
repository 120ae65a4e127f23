"""Reruns of notebooks with other parameters, one set of them or a grid, and papermill's handler of text notebooks.

papermill, jupytext, nbformat and jinja2 come with the extra `book`.
"""

from ratereg.rerun.grid import grid, read_axes
from ratereg.rerun.parameters import Parameter, describe_parameters, parameters_of
from ratereg.rerun.run import rerun
from ratereg.rerun.text_notebooks import TextNotebookHandler

__all__ = ["Parameter", "TextNotebookHandler", "describe_parameters", "grid", "parameters_of", "read_axes", "rerun"]
