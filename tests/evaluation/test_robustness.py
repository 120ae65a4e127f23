"""What has become of one member harms no other; and default types, devices and threads change nothing.

Every estimator is called with an ensemble of three, of which the second has diverged or is absurd.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass

import pytest
import torch
from torch import Tensor

from ratereg import evaluation
from ratereg.models import MLP, VAE

ROWS = torch.arange(12)
PIXELS = torch.randint(0, 256, (40, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
X = PIXELS[:5].float() / 255
FACTORS = torch.rand(40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

Estimate = Callable[[VAE], object]


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def posteriors(vae: VAE) -> tuple[Tensor, Tensor]:
    """Return the posteriors as the model gives them, however absurd."""
    with torch.no_grad():
        return vae.encode(PIXELS.to(vae.device))


def at_zero(vae: VAE) -> tuple[Tensor, Tensor, Tensor]:
    mean, log_var = posteriors(vae)
    return torch.zeros_like(mean[:, :2]), mean, log_var


def decomposed_by_sets(vae: VAE) -> object:
    mean, log_var = posteriors(vae)
    return evaluation.decompose_rate_under(mean[:, :10], log_var[:, :10], mean[:, 10:], log_var[:, 10:], noise())


def fitted(vae: VAE) -> object:
    mean, log_var = posteriors(vae)
    marginal = evaluation.fit_marginal(mean[:, :20], log_var[:, :20], noise())
    return evaluation.marginal_bound(mean[:, 20:], log_var[:, 20:], marginal, noise(), sizes=[20]).value[0]


def by_factors(vae: VAE) -> object:
    mean, log_var = posteriors(vae)
    regression = evaluation.fit_factors(mean, log_var, FACTORS, steps=3, width=4)
    return evaluation.factor_bound(mean, log_var, FACTORS, regression, noise(), sizes=[40]).value[0]


def of_population(vae: VAE) -> object:
    lower, upper = evaluation.population_information(*posteriors(vae), noise(), sizes=[40])
    return torch.stack([lower.value[0], upper.value[0], upper.standard_error[0]], -1)


def memorized(vae: VAE) -> object:
    pixels, train, test = (tensor.to(vae.device) for tensor in (PIXELS, ROWS, ROWS + 20))
    encodings = (evaluation.encode(vae, pixels, rows) for rows in (train, test))
    return evaluation.memorization(vae, pixels, train, test, *encodings, noise()).output_to_optimum


def distorted(vae: VAE) -> object:
    encodings = evaluation.encode(vae, PIXELS, ROWS)
    return torch.stack(evaluation.distortion(vae, PIXELS, ROWS, encodings, noise(), population=40), -1)


def simulated(vae: VAE) -> object:
    return evaluation.bidirectional_monte_carlo(vae, evaluation.simulate(vae, 3, 2), chains=2, temperatures=3)


ENCODER: dict[str, Estimate] = {
    "encode": lambda vae: evaluation.encode(vae, PIXELS, ROWS),
    "distortion": distorted,
    "decompose_rate": lambda vae: evaluation.decompose_rate(*posteriors(vae), noise()),
    "decompose_rate_under": decomposed_by_sets,
    "split_marginal_kl": lambda vae: evaluation.split_marginal_kl(*posteriors(vae), noise()),
    "rate_per_dimension": lambda vae: evaluation.rate_per_dimension(*posteriors(vae)),
    "aggregate_log_prob": lambda vae: evaluation.aggregate_log_prob(*at_zero(vae)),
    "component_log_prob": lambda vae: evaluation.component_log_prob(*at_zero(vae)),
    "population_information": of_population,
    "fit_marginal": fitted,
    "fit_factors": by_factors,
    "memorization": memorized,
    "importance": lambda vae: evaluation.importance_weighted_bound(vae, X, 3, noise()),
    "annealing": lambda vae: evaluation.annealed_importance_sampling(vae, X, chains=2, temperatures=3, widen=2.0),
    "quadrature": lambda vae: evaluation.evidence_by_quadrature(vae, X).per_image,
}
DECODER: dict[str, Estimate] = {
    name: ENCODER[name] for name in ("distortion", "memorization", "importance", "annealing", "quadrature")
} | {
    "optimal_rate_distortion": lambda vae: evaluation.optimal_rate_distortion(vae, X, chains=2, temperatures=3),
    "bidirectional": simulated,
}


def healthy() -> VAE:
    return VAE(MLP(1, 8, 2), (1, 4, 4), seeds=[0, 1, 2])


def spoil(vae: VAE, fault: str) -> VAE:
    part = vae.decoder if "decod" in fault else vae.encoder
    bias = part.layers[-1].bias
    with torch.no_grad():
        if fault == "encodes to a mean of 1e30":
            bias[1, :, :2] = 1e30
        elif fault == "encodes to a log-variance of -236,000":
            bias[1, :, 2:] = -236_000.0
        elif fault == "encodes to a log-variance of 1e4":
            bias[1, :, 2:] = 1e4
        else:
            bias[1] = math.inf if "infinity" in fault else math.nan
    return vae


def floats(result: object, members: int = 3) -> dict[str, Tensor]:
    """Return what is estimated, each with the member first."""
    found = {f.name: getattr(result, f.name) for f in fields(result)} if is_dataclass(result) else {"": result}
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    # Probabilities to accept, and how many chains count, are numbers for a member whose chains stand still, too.
    return {
        name: value
        for name, value in tensors.items()
        if value.is_floating_point() and len(value) == members and not name.endswith(("acceptance", "size"))
    }


def assert_lost_alone(estimate: Estimate, fault: str) -> None:
    before, after = floats(estimate(healthy())), floats(estimate(spoil(healthy(), fault)))
    assert before
    assert before.keys() == after.keys()
    for name, value in after.items():
        assert value[1].isnan().all(), name
        # Cells of a quadrature are halved where any member needs it.
        tolerance = 2e-3 if estimate is ENCODER["quadrature"] else 1e-9
        torch.testing.assert_close(value[[0, 2]], before[name][[0, 2]], rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize(
    "fault",
    [
        "encodes to NaN",
        "encodes to infinity",
        "encodes to a mean of 1e30",
        "encodes to a log-variance of -236,000",
        "encodes to a log-variance of 1e4",
    ],
)
@pytest.mark.parametrize("estimate", ENCODER.values(), ids=ENCODER)
def test_a_member_with_an_absurd_encoder_is_nan_and_harms_no_other(estimate: Estimate, fault: str) -> None:
    assert_lost_alone(estimate, fault)


@pytest.mark.parametrize("fault", ["decodes to NaN", "decodes to infinity"])
@pytest.mark.parametrize("estimate", DECODER.values(), ids=DECODER)
def test_a_member_with_an_absurd_decoder_is_nan_and_harms_no_other(estimate: Estimate, fault: str) -> None:
    # The mean image of infinite logits is one of zeros and ones.
    if estimate is not memorized or "NaN" in fault:
        assert_lost_alone(estimate, fault)


def test_no_unit_of_an_absurd_member_is_active() -> None:
    mean, _ = posteriors(spoil(healthy(), "encodes to a mean of 1e30"))
    active = evaluation.active_units(mean, threshold=0.0)
    assert active.tolist() == [[True, True], [False, False], [True, True]]


def test_a_query_that_is_not_finite_is_nan_and_harms_no_other() -> None:
    z, mean = torch.randn(6, 3), torch.randn(40, 3)
    before = evaluation.aggregate_log_prob(z, mean, mean), evaluation.component_log_prob(z, mean, mean)
    z[2, 1], z[4, 0] = math.nan, math.inf
    after = evaluation.aggregate_log_prob(z, mean, mean), evaluation.component_log_prob(z, mean, mean)
    rest = [0, 1, 3, 5]
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other[rest], one[rest], rtol=1e-9, atol=1e-9)
        assert other[[2, 4]].isnan().all()


# Default types, devices and threads


@pytest.fixture(params=["float64", "bfloat16", "threads", "meta"])
def surroundings(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set another default type, number of threads, or a default device that no computation can take place on."""
    dtype, threads, device = torch.get_default_dtype(), torch.get_num_threads(), torch.get_default_device()
    try:
        if request.param == "threads":
            torch.set_num_threads(3)
        elif request.param == "meta":
            torch.set_default_device("meta")
        else:
            torch.set_default_dtype(getattr(torch, request.param))
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_default_device(device)


EVERY = ENCODER | DECODER
# Made before the surroundings change: what may fail in them is the estimators.
VAE_BEFORE, EXPECTED = healthy(), {name: floats(estimate(healthy())) for name, estimate in EVERY.items()}


@pytest.mark.parametrize("name", EVERY)
def test_a_member_is_measured_as_it_would_be_alone(name: str) -> None:
    alone = floats(EVERY[name](healthy().only([1])), members=1)
    tolerance = 2e-3 if name == "quadrature" else 1e-6
    together = {key: value[1:2] for key, value in EXPECTED[name].items()}
    torch.testing.assert_close(alone, together, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("name", EVERY)
def test_default_types_devices_and_threads_change_nothing(name: str) -> None:
    torch.testing.assert_close(floats(EVERY[name](VAE_BEFORE)), EXPECTED[name], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no CUDA device.")
@pytest.mark.parametrize("name", EVERY)
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    found = floats(EVERY[name](healthy().double().to("cuda")))
    assert all(value.is_cuda for value in found.values())
    expected = floats(EVERY[name](healthy().double()))
    torch.testing.assert_close({key: value.cpu() for key, value in found.items()}, expected, rtol=1e-4, atol=1e-4)


# Numbers and types that no estimator takes


@pytest.mark.parametrize("value", [0, -5, True], ids=repr)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("batch_size", lambda n: evaluation.encode(VAE_BEFORE, PIXELS, ROWS, n)),
        ("chunk", lambda n: evaluation.importance_weighted_bound(VAE_BEFORE, X, 3, chunk=n)),
        ("batch_size", lambda n: evaluation.importance_weighted_bound(VAE_BEFORE, X, 3, batch_size=n)),
        ("decodes", lambda n: evaluation.annealed_importance_sampling(VAE_BEFORE, X, decodes=n)),
        ("decodes", lambda n: evaluation.optimal_rate_distortion(VAE_BEFORE, X, decodes=n)),
        ("leapfrog", lambda n: evaluation.annealed_importance_sampling(VAE_BEFORE, X, leapfrog=n)),
        ("batch_size", lambda n: evaluation.evidence_by_quadrature(VAE_BEFORE, X, batch_size=n)),
        ("draws", lambda n: evaluation.decompose_rate(*posteriors(VAE_BEFORE), draws=n)),
        ("steps", lambda n: evaluation.fit_factors(*posteriors(VAE_BEFORE), FACTORS, steps=n)),
    ],
)
def test_numbers_that_are_no_positive_integers_are_refused_by_name(
    name: str, call: Callable[[object], object], value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in evaluation.__all__:
        monkeypatch.setattr(evaluation, function, inspect.unwrap(getattr(evaluation, function)))
    with pytest.raises(ValueError, match=rf"{name} is {value!r}; give"):
        call(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ROWS.int()}, r"rows is torch\.int32"),
        ({"rows": ROWS.double()}, r"rows is torch\.float64"),
        ({"rows": ROWS + 30}, "rows holds 30 to 41; give rows from 0 to 39"),
        ({"rows": ROWS - 1}, "rows holds -1 to 10"),
        ({"rows": ROWS[:0]}, "rows is empty"),
        ({"rows": ROWS[:, None]}, r"rows is torch\.int64 \(12, 1\)"),
        ({"pixels": PIXELS.int()}, r"pixels is torch\.int32"),
        ({"pixels": PIXELS.float()}, "give floats in .0, 1., or uint8"),
        ({"pixels": PIXELS * math.nan}, "pixels holds NaN"),
        ({"pixels": PIXELS.unflatten(1, (1, 4, 4))}, "give flattened images"),
    ],
)
def test_rows_and_pixels_that_do_not_fit_are_refused_by_name(change: dict[str, Tensor], message: str) -> None:
    given = {"pixels": PIXELS, "rows": ROWS} | change
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(evaluation.encode)(VAE_BEFORE, **given)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.full((2, 16), math.nan), "x holds NaN"),
        (X * 255, r"x is from .* to 2..; give floats in \[0, 1\], or uint8"),
        (X[:, :15], r"x has shape \(1, 1, 15\)"),
        (X[:0], "x is empty"),
        (X[0], r"x has shape \(16,\)"),
        (X.expand(2, -1, -1), "x has shape .* of each of 3 members or of all alike"),
    ],
    ids=["NaN", "bytes", "pixels", "none", "one", "members"],
)
@pytest.mark.parametrize(
    "estimate",
    [
        lambda vae, x: evaluation.importance_weighted_bound(vae, x, 3),
        lambda vae, x: evaluation.annealed_importance_sampling(vae, x, chains=2, temperatures=2),
        lambda vae, x: evaluation.optimal_rate_distortion(vae, x, chains=2, temperatures=2),
        lambda vae, x: evaluation.evidence_by_quadrature(vae, x),
    ],
    ids=["importance", "annealing", "optimal", "quadrature"],
)
def test_images_that_do_not_fit_the_model_are_refused(
    estimate: Callable[[VAE, Tensor], object], x: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        estimate(VAE_BEFORE, x)


def test_encodings_of_other_images_are_refused() -> None:
    encodings = evaluation.encode(VAE_BEFORE, PIXELS, ROWS)
    with pytest.raises(ValueError, match=r"encodings\.mean has shape \(3, 12, 2\) for 3 members and 4 rows"):
        inspect.unwrap(evaluation.distortion_per_draw)(VAE_BEFORE, PIXELS, ROWS[:4], encodings)
