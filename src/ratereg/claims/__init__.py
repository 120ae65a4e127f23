"""Claims tested on results, and numbers in prose: every sentence is computed, and worded for either outcome.

Rates, distortions and information in nats.
"""

from ratereg.claims.answers import describe_claim, summarize
from ratereg.claims.contrasts import contrast, contrast_table, count_verdicts, describe_contrasts
from ratereg.claims.difficulty import (
    contrast_by_distance,
    contrast_data_sets,
    contrast_depths,
    describe_data_sets,
    describe_depths,
    describe_distances,
)
from ratereg.claims.gather import gather, published_results
from ratereg.claims.ledger import (
    Finding,
    forest_rows,
    ledger,
    ledger_table,
    measures_table,
    settings_table,
    weights_table,
)
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
from ratereg.claims.saturation import (
    after_saturation,
    after_table,
    ceiling_table,
    describe_after,
    describe_ceiling,
    describe_saturation,
    saturated_betas,
)
from ratereg.claims.statements import CLAIMS, Claim
from ratereg.claims.training_size import (
    contrast_fresh,
    contrast_training_sizes,
    describe_fresh,
    training_size_table,
)
from ratereg.claims.verdicts import Verdict
from ratereg.claims.width import contrast_widths, describe_widths

__all__ = [
    "CLAIMS",
    "Claim",
    "Finding",
    "Verdict",
    "after_saturation",
    "after_table",
    "ceiling_table",
    "compare_with_paper",
    "contrast",
    "contrast_by_distance",
    "contrast_data_sets",
    "contrast_depths",
    "contrast_fresh",
    "contrast_table",
    "contrast_training_sizes",
    "contrast_widths",
    "count_verdicts",
    "describe_after",
    "describe_ceiling",
    "describe_claim",
    "describe_contrasts",
    "describe_data_sets",
    "describe_depths",
    "describe_distances",
    "describe_fresh",
    "describe_match",
    "describe_provenance",
    "describe_saturation",
    "describe_widths",
    "distance_to_paper",
    "forest_rows",
    "gather",
    "ledger",
    "ledger_table",
    "measures_table",
    "paper_points",
    "published_results",
    "record",
    "saturated_betas",
    "settings_table",
    "shape_table",
    "summarize",
    "summarize_match",
    "training_size_table",
    "u_shape",
    "weights_table",
]
