"""The key of a training: every setting that changes the weights, and nothing else."""

import hashlib
import json
import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from ratereg.data import Data
from ratereg.models import Likelihood, Network, Prior
from ratereg.models.settings import to_settings
from ratereg.training.precision import PRECISIONS
from ratereg.training.schedule import SCHEDULES

__all__ = ["NUMERICS_VERSION", "Training", "digest_of"]

NUMERICS_VERSION = 1
"""Part of every key, raised when a change of the code alters numbers by more than their errors."""


_RECORDS = 17
"""Points of a trajectory, the last step among them."""


@dataclass(frozen=True, eq=False)
class Training:
    """One member to train, or trained: two trainings are equal if their digests are.

    Arguments:
        data: the images. The pixels and the split count, not the path, nor how many test images there are.
        network: the architecture.
        likelihood: p(x|z), with its settings.
        prior: p(z), with its settings.
        beta: weight of the rate.
        seed: seed of the initial weights, the batches and the noise.
        steps: training steps.
        batch_size: images a step.
        learning_rate: Adam's.
        schedule: of the learning rate, "constant" or "cosine".
        warm_up: first steps over which the weight of the rate rises linearly from 0 to `beta`.
        precision: of the matrix products, "float32" or "bfloat16", never "auto".

    Raises:
        ValueError: a number is out of range, or a name is unknown.
    """

    data: Data
    network: Network
    likelihood: Likelihood
    prior: Prior
    beta: float
    seed: int
    steps: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warm_up: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("steps", 1), ("batch_size", 1), ("warm_up", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
                raise ValueError(f"Training: {name} is {value!r}; give an integer of at least {least}.")
        if not (_is_number(self.beta) and math.isfinite(self.beta) and self.beta >= 0):
            raise ValueError(f"Training: beta is {self.beta!r}; give a finite weight, not negative.")
        if not (_is_number(self.learning_rate) and 0 < self.learning_rate < math.inf):
            raise ValueError(f"Training: learning_rate is {self.learning_rate!r}; give a positive number.")
        for name, choices in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                given = ", ".join(map(repr, choices))
                raise ValueError(f"Training: {name} is {getattr(self, name)!r}; give one of {given}.")

    @property
    def record_steps(self) -> list[int]:
        """The steps at which rate, distortion and information are recorded, log-spaced from steps / 100 to the last."""
        first = max(1, self.steps // 100)
        span = math.log(self.steps / first)
        return sorted({round(first * math.exp(span * point / (_RECORDS - 1))) for point in range(_RECORDS)})

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All settings, ready for JSON; those that equal their defaults are left out, so that new ones orphan none."""
        settings: dict[str, Any] = {"data": self.data.training_settings}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "data" or value == field.default:
                continue
            plain = float(value) if field.name in ("beta", "learning_rate") else value
            settings[field.name] = to_settings(plain)
        # Without a default: the precision always counts.
        return settings | {"precision": self.precision}

    @cached_property
    def digest(self) -> str:
        """The key of the weights, 12 hexadecimal digits."""
        return digest_of(self.settings)

    @cached_property
    def setting(self) -> str:
        """The digest without beta and seed. Members of one setting are compared along beta, paired by seed."""
        return digest_of({name: value for name, value in self.settings.items() if name not in ("beta", "seed")})

    @cached_property
    def problem(self) -> str:
        """The digest of the setting without the number of steps."""
        return digest_of(
            {name: value for name, value in self.settings.items() if name not in ("beta", "seed", "steps")}
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Training) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def digest_of(settings: Any) -> str:
    """Return the digest of JSON-able settings, 12 hexadecimal digits."""
    text = json.dumps({"numerics": NUMERICS_VERSION, "settings": settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
