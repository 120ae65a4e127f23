"""What is asked: studies as frozen values, the published studies by name, and their results."""

from ratereg.data import Data
from ratereg.studies.catalog import CATALOG, published
from ratereg.studies.results import Results, ResultsError
from ratereg.studies.run import load_or_run
from ratereg.studies.study import Member, Study
from ratereg.training.key import Training

__all__ = ["CATALOG", "Data", "Member", "Results", "ResultsError", "Study", "Training", "load_or_run", "published"]
