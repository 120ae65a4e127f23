"""A study: a product of trainings, and what is measured of each."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from dataclasses import replace as dataclass_replace
from functools import cache
from typing import Any, NamedTuple, Self, TypeVar

from ratereg.data import Data
from ratereg.measurements import KINDS, Information, Latents, Measurement, Pictures, RateDistortion
from ratereg.models import MLP, Bernoulli, Gaussian, Likelihood, Network, Prior, StandardGaussian
from ratereg.models.settings import from_settings, to_settings
from ratereg.training.key import Training, digest_of
from ratereg.training.precision import PRECISIONS, Precision

__all__ = ["Member", "Study"]

_Kind = TypeVar("_Kind", bound=Measurement)

_LIKELIHOODS: dict[str, Likelihood] = {"bernoulli": Bernoulli(), "gaussian": Gaussian()}

_SHARED = ("likelihood", "steps", "batch_size", "learning_rate", "schedule", "warm_up")
"""Settings that all trainings of a study have in common."""


class Member(NamedTuple):
    """One model of a study."""

    data: Data
    network: Network
    prior: Prior
    seed: int
    beta: float


@dataclass(frozen=True, eq=False)
class Study:
    """A product of axes, how each of its members is trained, and what is measured of it.

    The axes are data, network, prior, beta and seed; each takes one value or several.

    Arguments:
        data: one value or several.
        network: one architecture or several; any object that keeps the protocol `ratereg.models.Network`.
        betas: the weights of the rate, none negative.
        seeds: how many seeds, or the seeds themselves. A seed sets the initial weights, the batches and the noise, so
            members that differ in beta alone are paired.
        likelihood: p(x|z); "bernoulli" and "gaussian" stand for those with default settings.
        prior: p(z), one or several; "gaussian" stands for the standard Gaussian.
        steps: training steps; the last one counts, whatever the test score.
        batch_size: images a step.
        learning_rate: Adam's.
        schedule: of the learning rate: "constant", or "cosine" for half a cosine, from `learning_rate` down to 0.
        warm_up: first steps over which the weight of the rate rises linearly from 0.
        precision: of the matrix products in training: "float32", "bfloat16", or "auto" for the one in which the members
            are there already, else the fastest native one.
        measurements: what is measured after the last step, each kind once. Rate, distortion and information are
            recorded at 17 log-spaced steps in addition.

    Raises:
        ValueError: a setting is of the wrong kind, empty, repeated or out of range.
    """

    data: Data | Sequence[Data]
    network: Network | Sequence[Network] = field(default_factory=MLP)
    betas: float | Sequence[float] = 1.0
    seeds: int | Sequence[int] = 1
    likelihood: Likelihood | str = field(default_factory=Bernoulli)
    prior: Prior | str | Sequence[Prior] = field(default_factory=StandardGaussian)
    steps: int = 10_000
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warm_up: int = 0
    precision: str = "auto"
    measurements: Sequence[Measurement] = (RateDistortion(), Information(), Pictures(), Latents())

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("data", _axis("data", self.data, Data, "Data"))
        put("network", _axis("network", self.network, Network, "MLP, Convolutional or a network of one's own"))
        put("betas", tuple(map(float, _axis("betas", self.betas, int | float, "numbers"))))
        if isinstance(self.seeds, int) and not isinstance(self.seeds, bool):
            if self.seeds < 1:
                raise ValueError(f"Study: seeds is {self.seeds}; give how many (at least 1), or the seeds themselves.")
            put("seeds", tuple(range(self.seeds)))
        else:
            put("seeds", _axis("seeds", self.seeds, int, "integers"))
        if isinstance(self.likelihood, str):
            put("likelihood", _LIKELIHOODS.get(self.likelihood, self.likelihood))
        if not isinstance(self.likelihood, Likelihood):
            raise ValueError(f"Study: likelihood is {self.likelihood!r}; give 'bernoulli', 'gaussian' or a likelihood.")
        named: Any = {"gaussian": StandardGaussian()}
        prior: Any = named.get(self.prior, self.prior) if isinstance(self.prior, str) else self.prior
        if isinstance(prior, list | tuple):
            prior = [named.get(one, one) if isinstance(one, str) else one for one in prior]
        put("prior", _axis("prior", prior, Prior, "'gaussian', or priors such as MixtureOfGaussians()"))
        if self.precision not in ("auto", *PRECISIONS):
            raise ValueError(f"Study: precision is {self.precision!r}; give 'auto', 'float32' or 'bfloat16'.")
        if not isinstance(self.measurements, Sequence) or not all(
            isinstance(one, Measurement) for one in self.measurements
        ):
            raise ValueError(
                "Study: measurements is not a sequence of ratereg.measurements; give for example (Pictures(),)."
            )
        put("measurements", tuple(self.measurements))
        if len({type(one) for one in self.measurements}) < len(self.measurements):
            raise ValueError(f"Study: measurements is {self.measurements!r}; give each kind once.")
        # The settings of a training are checked where they are defined, for every beta and seed.
        for beta, seed in {(beta, 0) for beta in self.axis_betas} | {(1.0, seed) for seed in self.axis_seeds}:
            try:
                self._training(self.members[0]._replace(beta=beta, seed=seed), "float32")
            except ValueError as error:
                raise ValueError(str(error).replace("Training: ", "Study: ")) from None

    @property
    def axis_data(self) -> tuple[Data, ...]:
        """The data axis, always a tuple."""
        return self.data  # type: ignore[return-value]

    @property
    def axis_networks(self) -> tuple[Network, ...]:
        """The network axis, always a tuple."""
        return self.network  # type: ignore[return-value]

    @property
    def axis_priors(self) -> tuple[Prior, ...]:
        """The prior axis, always a tuple."""
        return self.prior  # type: ignore[return-value]

    @property
    def axis_betas(self) -> tuple[float, ...]:
        """The beta axis, always a tuple."""
        return self.betas  # type: ignore[return-value]

    @property
    def axis_seeds(self) -> tuple[int, ...]:
        """The seed axis, always a tuple."""
        return self.seeds  # type: ignore[return-value]

    @property
    def chosen_likelihood(self) -> Likelihood:
        """The likelihood itself, whichever way it was named."""
        return self.likelihood  # type: ignore[return-value]

    @property
    def members(self) -> list[Member]:
        """All members, in the order of the result's `member` column."""
        axes = (self.axis_data, self.axis_networks, self.axis_priors, self.axis_seeds, self.axis_betas)
        return [Member(*values) for values in itertools.product(*axes)]

    def __len__(self) -> int:
        return len(self.members)

    def trainings(self, precision: Precision) -> list[Training]:
        """Return the training of each member, in the order of `members`, at a precision that is not "auto"."""
        return [self._training(member, precision) for member in self.members]

    def _training(self, member: Member, precision: Precision) -> Training:
        shared = {name: getattr(self, name) for name in _SHARED}
        return Training(**member._asdict(), **shared, precision=precision)

    def replace(self, **settings: Any) -> Self:
        """Return the study with other settings; a setting that is None keeps its value.

        Raises:
            ValueError: there is no such setting.
        """
        names = [one.name for one in fields(self)]
        for name in settings:
            if name not in names:
                raise ValueError(f"Study: there is no setting {name!r}; there are {', '.join(names)}.")
        return dataclass_replace(self, **{name: value for name, value in settings.items() if value is not None})

    def measuring(self, *measurements: Measurement) -> Self:
        """Return the study with more measurements; one of a kind that it has takes that one's place."""
        kept = [one for one in self.measurements if type(one) not in {type(new) for new in measurements}]
        order = list(KINDS)
        together = sorted(
            [*kept, *measurements],
            key=lambda one: order.index(type(one).__name__) if type(one).__name__ in order else len(order),
        )
        return self.replace(measurements=tuple(together))

    def without(self, *kinds: type[Measurement]) -> Self:
        """Return the study without the measurements of some kinds."""
        return self.replace(measurements=tuple(one for one in self.measurements if not isinstance(one, kinds)))

    def with_images(self, kind: type[Measurement], images: int | None) -> Self:
        """Return the study with another number of images in a measurement: 0 leaves it out, None changes nothing."""
        if images is None:
            return self
        if images == 0:
            return self.without(kind)
        return self.measuring(dataclass_replace(self.measurement(kind) or kind(), images=images))  # type: ignore[call-arg]

    def measurement(self, kind: type[_Kind]) -> _Kind | None:
        """Return the study's measurement of a kind, or None."""
        return next((one for one in self.measurements if isinstance(one, kind)), None)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that differ from their defaults, ready for JSON; `from_settings` reads them."""
        data = [
            {one.name: getattr(data, one.name) for one in fields(data) if getattr(data, one.name) != one.default}
            for data in self.axis_data
        ]
        return self._differing | {"data": data}

    @property
    def _plain(self) -> dict[str, Any]:
        """All settings but the data, ready for JSON."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)[1:]}
        measurements = [one.settings for one in plain.pop("measurements")]
        return {name: to_settings(value) for name, value in plain.items()} | {"measurements": measurements}

    @property
    def _differing(self) -> dict[str, Any]:
        defaults = _defaults()
        return {name: value for name, value in self._plain.items() if value != defaults[name]}

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """Return the study whose `settings` these are.

        Raises:
            ValueError: a name is unknown, or a value is refused.
        """
        try:
            arguments = {
                name: from_settings(value) for name, value in settings.items() if name not in ("data", "measurements")
            }
            if "measurements" in settings:
                arguments["measurements"] = tuple(
                    KINDS[one["type"]](**{name: value for name, value in one.items() if name != "type"})
                    for one in settings["measurements"]
                )
            return cls(data=tuple(Data(**one) for one in settings["data"]), **arguments)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"Study: settings can't be read ({type(error).__name__}: {error}).") from error

    @property
    def digest(self) -> str:
        """The key of the study's result, 12 hexadecimal digits; the content of the user's own data counts."""
        return digest_of(self._differing | {"data": [one.settings for one in self.axis_data]})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Study) and json.dumps(self.settings) == json.dumps(other.settings)

    def __hash__(self) -> int:
        return hash(json.dumps(self.settings))

    @property
    def record_steps(self) -> list[int]:
        """The steps at which the members are measured, log-spaced from steps / 100 to the last one."""
        return self._training(self.members[0], "float32").record_steps


@cache
def _defaults() -> dict[str, Any]:
    return Study(Data("tetrominoes"))._plain


def _axis(name: str, value: Any, kind: Any, expected: str) -> tuple[Any, ...]:
    """Return the values of an axis, given one value or several of a kind."""

    def fits(one: Any) -> bool:
        return isinstance(one, kind) and not isinstance(one, bool | type)

    if fits(value):
        return (value,)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"Study: {name} is {value!r}; give {expected}, one value or a sequence of them.")
    values = tuple(value)
    if not values:
        raise ValueError(f"Study: {name} is empty; give at least one value.")
    for one in values:
        if not fits(one):
            raise ValueError(f"Study: {name} holds {one!r}; give {expected}.")
    distinct = {json.dumps(to_settings(one)) if isinstance(one, Prior) else one for one in values}
    if len(distinct) != len(values):
        raise ValueError(f"Study: {name} is {values!r}; give each value once.")
    return values
