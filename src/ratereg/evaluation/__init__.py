"""What is measured: rate and distortion, and the information terms of the aggregate posterior. All in nats."""

from ratereg.evaluation.information import RateDecomposition, aggregate_log_prob, decompose_rate
from ratereg.evaluation.rate_distortion import Encodings, distortion, encode

__all__ = ["Encodings", "RateDecomposition", "aggregate_log_prob", "decompose_rate", "distortion", "encode"]
