"""A study: every setting that changes a number, in one frozen value.

Each axis (data, network, beta, seed) takes one value or several, and the study is their product. The digest of the
settings that differ from their defaults is the key of the study's result.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from dataclasses import replace as dataclass_replace
from typing import Any, NamedTuple, Self

from ratereg.models import MLP, Bernoulli, Gaussian
from ratereg.models.networks import Convolutional
from ratereg.studies.chosen_data import Data
from ratereg.training.schedule import SCHEDULES

__all__ = ["NUMERICS_VERSION", "Data", "Member", "Study"]

NUMERICS_VERSION = 1
"""Raised when a change of the code alters the numbers of an unchanged study, so that old results are not found."""

LEAST_FRESH = 256
"""Images in the smallest aggregate posterior of fresh images."""

_LIKELIHOODS: dict[str, Bernoulli | Gaussian] = {"bernoulli": Bernoulli(), "gaussian": Gaussian()}


class Member(NamedTuple):
    """One model of a study."""

    data: Data
    network: MLP | Convolutional
    seed: int
    beta: float


@dataclass(frozen=True)
class Study:
    """A product of axes, and how each of its members is trained and evaluated.

    Arguments:
        data, network: one value or several.
        betas: the weights of the rate; one value or several, none negative.
        seeds: how many seeds, or the seeds themselves. A seed sets the initial weights, the batches and the noise, so
            members that differ in beta alone are paired.
        likelihood: p(x|z); "bernoulli" and "gaussian" stand for those with default settings.
        prior: p(z); "gaussian" is the only one.
        steps: training steps; the last one counts, whatever the test score.
        batch_size, learning_rate: of Adam.
        schedule: of the learning rate: "constant", or "cosine" for half a cosine, from `learning_rate` down to 0.
        precision: of the matrix products in training: "float32", "bfloat16", or "auto" for the fastest native one.
        records: how many points of the trajectory are recorded, log-spaced from steps / 100 to the last step.
        trajectory_images: images of each partition that rate and distortion are measured on before the last step, a
            random subset; at the last step all are.
        queries, final_queries: images that z is sampled for in the information terms, before and at the last step; the
            aggregate posterior has all images measured on as components.
        pictures: test images whose reconstructions are kept.
        latents: posteriors of each partition that are kept.
        bound_images: images of each partition that the importance-weighted bound is estimated on at the last step.
        bound_samples: its K.
        annealed_images: images of each partition, the first of those, that annealed importance sampling is done on.
        temperatures: its steps.
        fresh_images: of Tetrominoes, images drawn anew that the information terms are measured on at the last step, for
            powers of 4 up to that many in the aggregate posterior, with bounds that do not saturate.
        distances: of Tetrominoes, classes of equally many test images by the distance of their factors to the nearest
            training image's, for each of which the distortion is kept.

    Raises:
        ValueError: a setting is of the wrong kind, empty, repeated or out of range.
    """

    data: Data | Sequence[Data]
    network: MLP | Convolutional | Sequence[MLP | Convolutional] = field(default_factory=MLP)
    betas: float | Sequence[float] = 1.0
    seeds: int | Sequence[int] = 1
    likelihood: Bernoulli | Gaussian | str = field(default_factory=Bernoulli)
    prior: str = "gaussian"
    steps: int = 10_000
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "constant"
    precision: str = "auto"
    records: int = 5
    trajectory_images: int = 8192
    queries: int = 2048
    final_queries: int = 8192
    pictures: int = 8
    latents: int = 64
    bound_images: int = 0
    bound_samples: int = 256
    annealed_images: int = 0
    temperatures: int = 100
    fresh_images: int = 0
    distances: int = 0

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("data", _axis("data", self.data, Data))
        put("network", _axis("network", self.network, (MLP, Convolutional)))
        put("betas", tuple(float(beta) for beta in _axis("betas", self.betas, (int, float))))
        if isinstance(self.seeds, int) and not isinstance(self.seeds, bool):
            if self.seeds < 1:
                raise ValueError(f"Study: seeds is {self.seeds}; give how many (at least 1), or the seeds themselves.")
            put("seeds", tuple(range(self.seeds)))
        else:
            put("seeds", _axis("seeds", self.seeds, int))
        if isinstance(self.likelihood, str):
            put("likelihood", _choose("likelihood", self.likelihood, _LIKELIHOODS))
        elif not isinstance(self.likelihood, Bernoulli | Gaussian):
            raise ValueError(f"Study: likelihood is {self.likelihood!r}; give 'bernoulli', 'gaussian' or one of those.")
        _choose("prior", self.prior, {"gaussian": None})
        _choose("schedule", self.schedule, dict.fromkeys(SCHEDULES))
        _choose("precision", self.precision, {"auto": None, "float32": None, "bfloat16": None})
        for name in ("steps", "batch_size", "records", "trajectory_images", "queries", "final_queries"):
            _at_least(name, getattr(self, name), 1)
        for name in ("pictures", "latents", "bound_images", "annealed_images", "fresh_images", "distances"):
            _at_least(name, getattr(self, name), 0)
        for name in ("bound_samples", "temperatures"):
            _at_least(name, getattr(self, name), 2)
        self._check_estimates()
        if not (isinstance(self.learning_rate, int | float) and 0 < self.learning_rate < math.inf):
            raise ValueError(f"Study: learning_rate is {self.learning_rate!r}; give a positive number.")
        for beta in self.axis_betas:
            if not (math.isfinite(beta) and beta >= 0):
                raise ValueError(f"Study: betas holds {beta}; give finite weights, none negative.")
        for seed in self.axis_seeds:
            if not 0 <= seed < 2**63:
                raise ValueError(f"Study: seeds holds {seed}; give integers from 0 to 2**63 - 1.")

    def _check_estimates(self) -> None:
        """Refuse estimates that are not possible on all of the data."""
        if self.annealed_images > self.bound_images:
            raise ValueError(
                f"Study: annealed_images is {self.annealed_images}, more than bound_images, {self.bound_images}; give "
                "at most as many."
            )
        if 0 < self.fresh_images < LEAST_FRESH:
            raise ValueError(f"Study: fresh_images is {self.fresh_images}; give 0, or at least {LEAST_FRESH}.")
        for name in ("fresh_images", "distances"):
            without = [one.source for one in self.axis_data if one.source != "tetrominoes"]
            if getattr(self, name) and without:
                raise ValueError(
                    f"Study: {name} is {getattr(self, name)}, and the factors of {without[0]!r} are not known; give 0, "
                    "or tetrominoes alone."
                )

    @property
    def axis_data(self) -> tuple[Data, ...]:
        """The data axis, always a tuple."""
        return self.data  # type: ignore[return-value]

    @property
    def axis_networks(self) -> tuple[MLP | Convolutional, ...]:
        """The network axis, always a tuple."""
        return self.network  # type: ignore[return-value]

    @property
    def axis_betas(self) -> tuple[float, ...]:
        """The beta axis, always a tuple."""
        return self.betas  # type: ignore[return-value]

    @property
    def axis_seeds(self) -> tuple[int, ...]:
        """The seed axis, always a tuple."""
        return self.seeds  # type: ignore[return-value]

    @property
    def chosen_likelihood(self) -> Bernoulli | Gaussian:
        """The likelihood itself, whichever way it was named."""
        return self.likelihood  # type: ignore[return-value]

    @property
    def members(self) -> list[Member]:
        """All members, in the order of the result's `member` column."""
        axes = (self.axis_data, self.axis_networks, self.axis_seeds, self.axis_betas)
        return [Member(*values) for values in itertools.product(*axes)]

    def __len__(self) -> int:
        return len(self.members)

    def replace(self, **settings: Any) -> Self:
        """Return the study with other settings; a setting that is None keeps its value.

        Raises:
            ValueError: there is no such setting.
        """
        names = [f.name for f in fields(self)]
        for name in settings:
            if name not in names:
                raise ValueError(f"Study: there is no setting {name!r}; there are {', '.join(names)}.")
        return dataclass_replace(self, **{name: value for name, value in settings.items() if value is not None})

    def of(self, member: Member) -> Self:
        """Return the study of one member alone."""
        return dataclass_replace(
            self, data=member.data, network=member.network, seeds=(member.seed,), betas=(member.beta,)
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that differ from their defaults, ready for JSON."""
        settings: dict[str, Any] = _differing(self)
        return settings

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """Return the study whose `settings` these are."""
        return cls(**{name: _rebuilt(value) for name, value in settings.items()})

    @property
    def digest(self) -> str:
        """The key of the study's result, 12 hexadecimal digits.

        The content of the user's own data counts, not only its path.
        """
        return _digest(self.settings, {one.source: one.content_digest for one in self.axis_data})

    def member_digests(self, members: Sequence[Member] | None = None) -> dict[Member, str]:
        """Return for each member, or each of some, the digest of the study of that member alone."""
        contents = {one: {one.source: one.content_digest} for one in self.axis_data}
        chosen = self.members if members is None else members
        return {member: _digest(self.of(member).settings, contents[member.data]) for member in chosen}

    @property
    def record_steps(self) -> list[int]:
        """The steps at which the members are measured, the last one included."""
        first = max(1, self.steps // 100)
        span = math.log(self.steps / first)
        positions = [k / (self.records - 1) for k in range(self.records - 1)] if self.records > 1 else []
        return sorted({round(first * math.exp(span * position)) for position in positions} | {self.steps})


def _digest(settings: dict[str, Any], contents: dict[str, str | None]) -> str:
    identity: dict[str, Any] = {"numerics": NUMERICS_VERSION, "settings": settings}
    if own := {source: content for source, content in contents.items() if content is not None}:
        identity["contents"] = own
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def _axis(name: str, value: Any, kind: type | tuple[type, ...]) -> tuple[Any, ...]:
    values = (value,) if isinstance(value, kind) else value
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"Study: {name} is {value!r}; give one value or a sequence of them.")
    values = tuple(values)
    if not values:
        raise ValueError(f"Study: {name} is empty; give at least one value.")
    for one in values:
        if not isinstance(one, kind) or isinstance(one, bool):
            expected = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise ValueError(f"Study: {name} holds {one!r}; give values of type {expected}.")
    if len(set(values)) != len(values):
        raise ValueError(f"Study: {name} is {values!r}; give each value once.")
    return values


def _choose(name: str, value: Any, choices: dict[str, Any]) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"Study: {name} is {value!r}; give one of {', '.join(map(repr, choices))}.")
    return choices[value]


def _at_least(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"Study: {name} is {value!r}; give an integer of at least {least}.")


def _differing(value: Any) -> Any:
    """Reduce dataclasses to their class and the fields that differ from the defaults."""
    if isinstance(value, tuple):
        return [_differing(one) for one in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    settings: dict[str, Any] = {} if isinstance(value, Study) else {"type": type(value).__name__}
    for f in fields(value):
        here = getattr(value, f.name)
        default = f.default_factory() if callable(f.default_factory) else f.default
        if isinstance(value, Study) and f.name in ("network", "betas", "seeds"):
            default = {"network": (MLP(),), "betas": (1.0,), "seeds": (0,)}[f.name]
        if here != default:
            settings[f.name] = _differing(here)
    return settings


def _rebuilt(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_rebuilt(one) for one in value)
    if isinstance(value, dict):
        kinds = {kind.__name__: kind for kind in (Data, MLP, Convolutional, Bernoulli, Gaussian)}
        arguments = dict(value)
        return kinds[arguments.pop("type")](**arguments)
    return value
