"""The rate-distortion report of a data set: from the user's own images, or from any results, to one HTML page."""

from ratereg.report.page import checked_output, write_report
from ratereg.report.planning import plan_study
from ratereg.report.resizing import resized

__all__ = ["checked_output", "plan_study", "resized", "write_report"]
