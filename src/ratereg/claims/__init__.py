"""Claims tested on results, and numbers in prose: every sentence is computed, and worded for either outcome.

Rates, distortions and information in nats.
"""

from ratereg.claims.contrasts import contrast, contrast_table, describe_contrasts
from ratereg.claims.paper import (
    compare_with_paper,
    describe_match,
    distance_to_paper,
    paper_points,
    shape_table,
    summarize_match,
    u_shape,
)
from ratereg.claims.records import describe_provenance, record

__all__ = [
    "compare_with_paper",
    "contrast",
    "contrast_table",
    "describe_contrasts",
    "describe_match",
    "describe_provenance",
    "distance_to_paper",
    "paper_points",
    "record",
    "shape_table",
    "summarize_match",
    "u_shape",
]
