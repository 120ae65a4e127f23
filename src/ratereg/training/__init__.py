"""How it is learned: an ensemble's training loop, its random streams and precision."""

from ratereg.training.interruption import Stopped
from ratereg.training.precision import Precision, best_precision
from ratereg.training.randomness import Streams
from ratereg.training.train import Trainer

__all__ = ["Precision", "Stopped", "Streams", "Trainer", "best_precision"]
