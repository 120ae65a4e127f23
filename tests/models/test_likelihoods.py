"""The Bernoulli distortion and its gradient against float64, by the kernel and by the program in torch."""

import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ratereg.models import bernoulli
from ratereg.models.likelihoods import Bernoulli
from ratereg.native import load

NARROW = [torch.bfloat16, torch.float32]


def use(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_KERNEL", "1" if program == "kernel" else "0")
    if program == "kernel" and load(bernoulli._SOURCE, bernoulli._declare) is None:
        pytest.skip("there is no C compiler here")


@pytest.fixture(params=["kernel", "torch"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use(request.param, monkeypatch)
    return request.param


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    use("kernel", monkeypatch)


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def draw(*shape: int, dtype: torch.dtype = torch.float32, size: float = 4.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw logits of a type, and pixels of which some are 0, some 1 and the others in between."""
    generator = torch.Generator().manual_seed(seed)
    x = (3 * torch.rand(shape, generator=generator) - 1).clamp(0, 1)
    return (size * torch.randn(shape, generator=generator)).to(dtype), x


def distortion(logits: Tensor, x: Tensor) -> Tensor:
    return Bernoulli().distortion(logits, x)


def exact(logits: Tensor, x: Tensor) -> Tensor:
    """Return the sum of |l| (x or 1 - x) + log(1 + e^-|l|), where torch's own cross-entropy cancels."""
    logits, x = logits.detach().double(), x.double()
    large = logits.abs() * torch.where(logits < 0, x, 1 - x)
    return (large + torch.log1p(torch.exp(-logits.abs()))).sum(-1)


def exact_slope(logits: Tensor, x: Tensor) -> Tensor:
    """Return sigmoid(l) - x without cancellation where x is 1."""
    logits, x = logits.detach().double(), x.double()
    return torch.where(logits < 0, torch.sigmoid(logits) - x, (1 - x) - torch.sigmoid(-logits))


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("pixels", [1, 15, 64, 65, 784, 3072])
@pytest.mark.parametrize("size", [0.1, 4.0, 1e4])
def test_the_distortion_is_that_of_float64_to_a_millionth(
    program: str, dtype: torch.dtype, pixels: int, size: float
) -> None:
    logits, x = draw(3, 20, pixels, dtype=dtype, size=size)
    value, truth = distortion(logits, x), exact(logits, x)
    assert value.dtype == torch.float32
    # The program in torch takes x l from softplus(l), and loses what is small beside both.
    torch.testing.assert_close(value.double(), truth, rtol=1e-6, atol=1e-37 if program == "kernel" else 1e-6 * size)
    cross_entropy = F.binary_cross_entropy_with_logits(logits.double(), x.double(), reduction="none").sum(-1)
    torch.testing.assert_close(cross_entropy, truth, rtol=1e-9, atol=1e-11 * size)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("dtype", NARROW)
def test_the_distortion_of_certain_and_right_pixels_keeps_its_relative_accuracy(dtype: torch.dtype) -> None:
    logits = torch.linspace(-85, 85, 4001).to(dtype)[:, None].requires_grad_()
    x = (logits.detach() > 0).float()
    value = distortion(logits, x)
    torch.testing.assert_close(value.double(), exact(logits, x), rtol=1e-6, atol=0)
    (slope,) = torch.autograd.grad(value.sum(), logits)
    epsilon = 2**-8 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(slope.double(), exact_slope(logits, x), rtol=epsilon, atol=0)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("pixels", [1, 15, 64, 65, 784])
def test_the_gradient_is_that_of_float64_to_the_rounding_of_its_type(dtype: torch.dtype, pixels: int) -> None:
    logits, x = draw(3, 20, pixels, dtype=dtype)
    logits.requires_grad_()
    weights = torch.randn(3, 20, generator=torch.Generator().manual_seed(5))
    (gradient,) = torch.autograd.grad((distortion(logits, x) * weights).sum(), logits)
    assert gradient.dtype == dtype
    truth = exact_slope(logits, x) * weights[..., None].double()
    # In bfloat16 the slope and then its product are rounded, by up to 2^-8 each.
    epsilon = 2**-7 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(gradient.double(), truth, rtol=epsilon * 1.01, atol=3e-7)


@pytest.mark.usefixtures("kernel")
def test_the_gradient_of_a_mean_over_a_power_of_two_is_rounded_once() -> None:
    logits, x = draw(2, 128, 100, dtype=torch.bfloat16)
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(distortion(logits, x).mean(1).sum(), logits)
    truth = exact_slope(logits, x) / 128
    # Half a unit in the last place, but for the float32 before it.
    assert ((gradient.double() - truth).abs() <= 2**-8 * 1.001 * truth.abs() + 1e-9).all()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("scale", [1 / 100, 1 / 3, 0.77])
def test_rounding_twice_does_not_weight_the_distortion_anew(scale: float) -> None:
    logits, x = draw(4, 100, 784, dtype=torch.bfloat16)
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(scale * distortion(logits, x).sum(), logits)
    truth = scale * exact_slope(logits, x)
    # The share of the true gradient in the rounded one; a scale rounded to bfloat16 would change it by 6e-4 to 2e-3.
    twice, once = ((rounded.double() * truth).sum() / truth.square().sum() for rounded in (gradient, truth.bfloat16()))
    assert abs(twice - once) < 3e-4


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("dtype", [*NARROW, torch.float64])
@pytest.mark.parametrize("large", [100.0, 1e4, 1e30])
def test_large_logits_cost_what_they_are(dtype: torch.dtype, large: float) -> None:
    logits = torch.tensor([[large], [large], [-large], [-large]], dtype=dtype, requires_grad=True)
    x = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    value = distortion(logits, x)
    torch.testing.assert_close(value.double(), exact(logits, x), rtol=1e-6, atol=1e-30)
    value.sum().backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([0, 1, -1, 0], abs=1e-30)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("pixels", [1, 64, 70])
def test_what_is_no_number_stays_so_and_in_its_row(dtype: torch.dtype, pixels: int) -> None:
    logits, x = draw(5, pixels, dtype=dtype)
    clean = distortion(logits, x)
    logits[1, -1], logits[2, 0], logits[3, -1] = math.nan, math.inf, -math.inf
    x[2, 0], x[3, -1] = 0.5, 0.25
    logits.requires_grad_()
    value = distortion(logits, x)
    assert torch.equal(value[[0, 4]], clean[[0, 4]])
    assert not value[1:3].isfinite().any()
    assert value[1].isnan()
    assert value[3] == math.inf
    (slope,) = torch.autograd.grad(value.sum(), logits)
    assert slope[1, -1].isnan()
    assert slope[2, 0] == 0.5
    assert slope[3, -1] == -0.25
    assert slope.isnan().sum() == 1


@pytest.mark.usefixtures("kernel")
@given(logit=st.floats(width=32, allow_subnormal=False), x=st.floats(0, 1, width=32, allow_subnormal=False))
@settings(max_examples=500, deadline=None)
def test_any_logit_costs_what_it_does_in_float64_where_that_is_a_number(logit: float, x: float) -> None:
    logits, pixels = torch.tensor([[logit]]), torch.tensor([[x]])
    value, truth = distortion(logits, pixels).double(), exact(logits, pixels)
    # Subnormal numbers count as nothing, and what float32 cannot hold is infinite.
    if truth.isfinite() and truth < 3e38:
        torch.testing.assert_close(value, truth, rtol=1e-6, atol=2e-38)
    assert value.isfinite() or not truth.isfinite() or truth >= 3e38


@pytest.mark.usefixtures("kernel", "three_threads")
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("pixels", [61, 784])
def test_neither_the_place_of_a_row_nor_the_number_of_threads_changes_a_bit(dtype: torch.dtype, pixels: int) -> None:
    logits, x = draw(6, 50, pixels, dtype=dtype)
    scale = torch.randn(6, 50, generator=torch.Generator().manual_seed(3))

    def both(logits: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits.detach().requires_grad_()
        value = distortion(logits, x)
        return value, torch.autograd.grad((value * scale).sum(), logits)[0]

    value, gradient = both(logits, x, scale)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(4))
    moved = both(*(tensor.flatten(0, 1)[order][3:] for tensor in (logits, x, scale)))
    assert torch.equal(moved[0], value.flatten()[order][3:])
    assert torch.equal(moved[1], gradient.flatten(0, 1)[order][3:])
    torch.set_num_threads(1)
    alone = both(logits, x, scale)
    assert torch.equal(alone[0], value)
    assert torch.equal(alone[1], gradient)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("dtype", NARROW)
def test_images_may_be_the_same_for_all_members_and_lie_anyhow(dtype: torch.dtype) -> None:
    logits, x = draw(3, 8, 70, dtype=dtype)
    for images in (
        x[:1],
        x[:, :1],
        x[0],
        x[0, 0],
        x[:1].expand(3, 8, 70),
        x.permute(2, 0, 1).contiguous().movedim(0, 2),
    ):
        full = images.expand(3, 8, 70).contiguous()
        mine, copied = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        value = distortion(mine, images)
        assert torch.equal(value, distortion(copied, full))
        value.sum().backward()
        distortion(copied, full).sum().backward()
        assert torch.equal(mine.grad, copied.grad)


@pytest.mark.parametrize("dtype", NARROW)
def test_logits_may_lie_anyhow(program: str, dtype: torch.dtype) -> None:
    logits, x = draw(6, 4, 2 * 33, dtype=dtype)
    for view, images in (
        (logits.transpose(0, 1), x.transpose(0, 1)),
        (logits[::2, 1:], x[::2, 1:]),
        (logits[..., ::2], x[..., 1::2]),
        (logits[:1].expand(5, 4, 66), x[:1]),
    ):
        view = view.detach().requires_grad_()
        plain = view.detach().contiguous().requires_grad_()
        values = distortion(view, images), distortion(plain, images.contiguous())
        assert torch.equal(*values)
        gradients = [
            torch.autograd.grad(value.sum(), logit)[0] for value, logit in zip(values, (view, plain), strict=True)
        ]
        # Torch's own sigmoid is rounded otherwise where memory is not contiguous.
        assert torch.equal(*gradients) or program == "torch"
        torch.testing.assert_close(*gradients)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("shape", [(7,), (2, 3, 4, 7), (0, 7), (3, 0, 7)])
def test_any_axes_may_lead_to_the_pixels(shape: tuple[int, ...]) -> None:
    logits, x = draw(*shape)
    logits.requires_grad_()
    value = distortion(logits, x)
    assert value.shape == shape[:-1]
    torch.testing.assert_close(value.double(), exact(logits, x), rtol=1e-6, atol=0)
    value.sum().backward()
    assert logits.grad is not None
    assert logits.grad.shape == shape


@pytest.mark.usefixtures("program")
def test_the_gradient_flows_on_and_may_be_taken_twice() -> None:
    z = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    decoder, x = torch.randn(3, 40, generator=torch.Generator().manual_seed(2)), draw(2, 9, 40)[1]
    value = distortion(z @ decoder, x)
    first = torch.autograd.grad(value.sum(), z, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(value.sum(), z)[0], first)
    wide = z.detach().double().requires_grad_()
    truth = torch.autograd.grad(distortion(wide @ decoder.double(), x.double()).sum(), wide)[0]
    torch.testing.assert_close(first.double(), truth, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(distortion(z @ decoder, x), value)


@pytest.mark.usefixtures("program")
def test_in_float64_the_gradient_is_that_of_differences() -> None:
    logits, x = draw(2, 3, 5)
    assert torch.autograd.gradcheck(lambda logits: distortion(logits, x.double()), logits.double().requires_grad_())


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_of_another_type_count_as_float32(dtype: torch.dtype) -> None:
    logits, x = draw(4, 70)
    assert torch.equal(distortion(logits, x.to(dtype)), distortion(logits, x.to(dtype).float()))
