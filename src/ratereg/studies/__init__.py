"""What is asked: studies as frozen values, the paper's studies by name, and their results."""

from ratereg.models import MLP, Bernoulli, Convolutional, Gaussian
from ratereg.studies.catalog import CATALOG, published
from ratereg.studies.results import Results
from ratereg.studies.run import load_or_run
from ratereg.studies.study import Data, Member, Study

__all__ = [
    "CATALOG",
    "MLP",
    "Bernoulli",
    "Convolutional",
    "Data",
    "Gaussian",
    "Member",
    "Results",
    "Study",
    "load_or_run",
    "published",
]
