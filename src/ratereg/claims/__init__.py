"""Claims tested on results, and numbers in prose: every sentence is computed, and worded for either outcome.

Rates, distortions and information in nats.
"""

from ratereg.claims.contrasts import (
    contrast,
    contrast_by_distance,
    contrast_data_sets,
    contrast_table,
    count_verdicts,
    describe_contrasts,
)
from ratereg.claims.gather import gather, published_results
from ratereg.claims.ledger import (
    Finding,
    describe_claim,
    forest_rows,
    ledger,
    ledger_table,
    measures_table,
    settings_table,
    summarize,
    weights_table,
)
from ratereg.claims.measures import MEASURES
from ratereg.claims.paper import compare_with_paper, match_table, paper_points, shape_table, summarize_match
from ratereg.claims.records import describe_provenance, record
from ratereg.claims.saturation import (
    after_saturation,
    ceiling_table,
    contrast_fresh,
    describe_saturation,
    saturated,
)
from ratereg.claims.statements import CLAIMS, Claim, Verdict

__all__ = [
    "CLAIMS",
    "MEASURES",
    "Claim",
    "Finding",
    "Verdict",
    "after_saturation",
    "ceiling_table",
    "compare_with_paper",
    "contrast",
    "contrast_by_distance",
    "contrast_data_sets",
    "contrast_fresh",
    "contrast_table",
    "count_verdicts",
    "describe_claim",
    "describe_contrasts",
    "describe_provenance",
    "describe_saturation",
    "forest_rows",
    "gather",
    "ledger",
    "ledger_table",
    "match_table",
    "measures_table",
    "paper_points",
    "published_results",
    "record",
    "saturated",
    "settings_table",
    "shape_table",
    "summarize",
    "summarize_match",
    "weights_table",
]
