"""Estimators of rate and distortion, the parts of the rate, the likelihood, and memorization. All in nats.

All functions share these conventions:

- Tensors have an image (or query, or component) axis and a latent axis. Leading axes, such as the member, are optional.
- `model` is the ensemble, and `x` images (image, pixels) or (image, channel, height, width), uint8 or floats in [0, 1];
  a further leading axis gives each member images of its own. `pixels` are all images of a set, flattened, of which
  `rows` selects some.
- `generator` is the source of the noise, on the CPU; None takes torch's global one. The noise of an image is the same
  for all members, so that contrasts between them are paired.
- `population` is the number of images that the given ones were drawn from at random, without replacement; None if the
  given ones are all there are. Then standard errors are conditional on the images, else they include the spread between
  images, with the finite-population correction.
- `batch_size`, `block_size`, `chunk` and `decodes` bound the memory, and change results by rounding only.
- A member with a value that is NaN, infinite or absurd (a log-variance below -700 or above 88, a mean beyond 1e18) gets
  NaN, and the other members keep their numbers.
- A ValueError names the argument where types, devices or shapes do not agree, or a number is out of range.
"""

from ratereg.evaluation.aggregate import (
    aggregate_log_prob,
    block_log_prob,
    component_log_prob,
    merge_aggregate_log_probs,
)
from ratereg.evaluation.annealing import (
    AnnealedEvidence,
    BidirectionalGap,
    Simulation,
    annealed_importance_sampling,
    bidirectional_monte_carlo,
    sigmoid_schedule,
    simulate,
)
from ratereg.evaluation.factor_bound import FactorRegression, factor_bound, fit_factors
from ratereg.evaluation.importance import ImportanceWeightedBound, importance_weighted_bound
from ratereg.evaluation.information import (
    RateDecomposition,
    ReferenceDecomposition,
    decompose_rate,
    decompose_rate_under,
)
from ratereg.evaluation.latents import MarginalKLSplit, active_units, rate_per_dimension, split_marginal_kl
from ratereg.evaluation.linear_vae import LinearVAE, spiked_limit
from ratereg.evaluation.memorization import Memorization, distances_to_training, memorization, optimal_decoder
from ratereg.evaluation.minibatch import minibatch_log_prob
from ratereg.evaluation.optimal_rd import OptimalCurve, geometric_schedule, optimal_rate_distortion
from ratereg.evaluation.population import (
    FittedMarginal,
    InformationBound,
    fit_marginal,
    marginal_bound,
    population_information,
)
from ratereg.evaluation.quadrature import EvidenceByQuadrature, evidence_by_quadrature
from ratereg.evaluation.rate_distortion import Encodings, distortion, distortion_per_draw, encode, mean_over_images

__all__ = [
    "AnnealedEvidence",
    "BidirectionalGap",
    "Encodings",
    "EvidenceByQuadrature",
    "FactorRegression",
    "FittedMarginal",
    "ImportanceWeightedBound",
    "InformationBound",
    "LinearVAE",
    "MarginalKLSplit",
    "Memorization",
    "OptimalCurve",
    "RateDecomposition",
    "ReferenceDecomposition",
    "Simulation",
    "active_units",
    "aggregate_log_prob",
    "annealed_importance_sampling",
    "bidirectional_monte_carlo",
    "block_log_prob",
    "component_log_prob",
    "decompose_rate",
    "decompose_rate_under",
    "distances_to_training",
    "distortion",
    "distortion_per_draw",
    "encode",
    "evidence_by_quadrature",
    "factor_bound",
    "fit_factors",
    "fit_marginal",
    "geometric_schedule",
    "importance_weighted_bound",
    "marginal_bound",
    "mean_over_images",
    "memorization",
    "merge_aggregate_log_probs",
    "minibatch_log_prob",
    "optimal_decoder",
    "optimal_rate_distortion",
    "population_information",
    "rate_per_dimension",
    "sigmoid_schedule",
    "simulate",
    "spiked_limit",
    "split_marginal_kl",
]
