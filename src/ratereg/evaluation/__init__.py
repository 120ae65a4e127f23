"""What is measured: rate and distortion, the parts of the rate, the likelihood, and memorization. All in nats."""

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
