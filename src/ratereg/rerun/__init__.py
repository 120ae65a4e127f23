"""Run a notebook again with other parameters, one set of them or a grid, and let papermill open text notebooks.

papermill, jupytext and nbformat come with the extra `book`.
"""

from ratereg.rerun.declarations import Parameter
from ratereg.rerun.grid import Grid, grid
from ratereg.rerun.parameters import describe_parameters, parameters_of
from ratereg.rerun.run import rerun
from ratereg.rerun.text_notebooks import TextNotebookHandler

__all__ = ["Grid", "Parameter", "TextNotebookHandler", "describe_parameters", "grid", "parameters_of", "rerun"]
