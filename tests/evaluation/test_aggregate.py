"""The density of the aggregate posterior against brute force in float64: by both programs, and in blocks."""

import inspect
import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ratereg import native
from ratereg.evaluation import (
    aggregate_log_prob,
    block_log_prob,
    component_log_prob,
    decompose_rate,
    decompose_rate_under,
    kernel,
    merge_aggregate_log_probs,
)


def brute_table(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    z, mean, log_var = z.double(), mean.double(), log_var.double()
    components = torch.distributions.Normal(mean, (log_var / 2).exp())
    return torch.stack([components.log_prob(one).sum(-1) for one in z])


def brute_force(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return brute_table(z, mean, log_var).logsumexp(1) - math.log(len(mean))


def posteriors(
    seed: int, components: int, latent: int, sigma: float, spread: float = 0.1
) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(components, latent, generator=generator)
    return mean, 2 * math.log(sigma) + spread * torch.randn(components, latent, generator=generator), generator


def drawn(mean: Tensor, log_var: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    return mean.double() + (log_var.double() / 2).exp() * noise


def assert_close(value: Tensor, truth: Tensor) -> None:
    assert ((value - truth).abs() <= torch.where(truth.abs() > 1000, 1e-6 * truth.abs(), 1e-4)).all()


def assert_accurate(z: Tensor, mean: Tensor, log_var: Tensor) -> None:
    assert_close(aggregate_log_prob(z, mean, log_var), brute_force(z, mean, log_var))


def use(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_KERNEL", "1" if program == "kernel" else "0")
    if program == "kernel" and not kernel.available():
        pytest.skip("there is no C compiler here")
    assert kernel.available() == (program == "kernel")


@pytest.fixture(params=["kernel", "torch"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use(request.param, monkeypatch)
    return request.param


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("sigma", [1.0, 0.1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("latent", [1, 10, 64])
def test_the_density_is_that_of_brute_force_near_the_components_and_far(sigma: float, latent: int) -> None:
    mean, log_var, generator = posteriors(latent, 2500, latent, sigma)
    assert_accurate(drawn(mean[:200], log_var[:200], generator), mean, log_var)
    assert_accurate(3 * torch.randn(100, latent, generator=generator), mean, log_var)
    assert_accurate(1e4 * torch.randn(20, latent, generator=generator), mean, log_var)


def every_third_narrow(log_sigma: float) -> Callable[[Tensor], Tensor]:
    return lambda uniform: torch.where(uniform[:, :1] < 0.3, 2 * log_sigma, -2.0).expand_as(uniform)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    "widths",
    [
        lambda uniform: 2 * math.log(1e-4) * uniform,
        lambda uniform: 2 * math.log(1e-4) * uniform[:, :1].expand_as(uniform),
        every_third_narrow(-12.0),
        every_third_narrow(-28.0),
        every_third_narrow(-340.0),
    ],
)
@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_widths_may_differ_and_vanish_and_the_origin_be_far(widths: Callable[[Tensor], Tensor], shift: float) -> None:
    mean, _, generator = posteriors(3, 2500, 10, 1.0)
    mean, log_var = 5 * mean.double() + shift, widths(torch.rand(2500, 10, generator=generator)).contiguous()
    assert_accurate(drawn(mean[:300], log_var[:300], generator), mean, log_var)


@pytest.mark.usefixtures("program")
@given(seed=st.integers(0, 10**6), components=st.integers(1, 700), latent=st.integers(1, 9), log_sigma=st.floats(-9, 1))
@settings(max_examples=25, deadline=None)
def test_any_number_of_components_and_queries_is_summed(
    seed: int, components: int, latent: int, log_sigma: float
) -> None:
    mean, log_var, generator = posteriors(seed, components, latent, math.exp(log_sigma), 1.0)
    assert_accurate(drawn(mean, log_var, generator)[:37], mean, log_var)


@given(seed=st.integers(0, 10**6), components=st.integers(2, 2000), log_sigma=st.floats(-9.5, 1))
@settings(max_examples=25, deadline=None)
def test_no_term_of_the_information_exceeds_log_n(seed: int, components: int, log_sigma: float) -> None:
    mean, log_var, generator = posteriors(seed, components, 5, math.exp(log_sigma), 0.5)
    z = drawn(mean, log_var, generator)
    standardized = (z - mean.double()) * (-log_var.double() / 2).exp()
    own = -(standardized.square() + log_var.double() + math.log(2 * math.pi)).sum(1) / 2
    # The expanded square of the PyTorch fallback rounds more.
    slack = 1e-9 if kernel.available() else 1e-6
    assert (own - aggregate_log_prob(z, mean, log_var)).max() <= math.log(components) + slack


@pytest.mark.parametrize("sigma", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("left_out", [False, True])
def test_both_programs_agree(sigma: float, left_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    mean, log_var, generator = posteriors(5, 3000, 8, sigma, 1.0)
    z = drawn(mean[:500], log_var[:500], generator)
    rows = torch.arange(500) if left_out else None
    values = {}
    for program in ("kernel", "torch"):
        use(program, monkeypatch)
        values[program] = aggregate_log_prob(z, mean, log_var, left_out=rows)
    torch.testing.assert_close(values["kernel"], values["torch"], rtol=1e-9, atol=5e-6)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("sigma", [0.5, 1e-3])
def test_a_component_left_out_is_not_in_the_mixture(sigma: float) -> None:
    mean, _, generator = posteriors(7, 3000, 3, 1.0)
    # Some components narrow, some wide, so that the PyTorch fallback sums them apart.
    log_var = 2 * torch.where(torch.arange(3000)[:, None] % 2 == 0, math.log(sigma), -11.0).expand(3000, 3)
    rows = torch.randint(3000, (150,), generator=generator)
    rows[:3] = torch.tensor([0, 2999, 2048])
    z = drawn(mean[rows], log_var[rows], generator)
    table = brute_table(z, mean, log_var)
    table[torch.arange(150), rows] = -math.inf
    truth = table.logsumexp(1) - math.log(2999)
    assert_close(aggregate_log_prob(z, mean, log_var, left_out=rows), truth)


@pytest.mark.usefixtures("program")
def test_no_query_has_no_density() -> None:
    mean = torch.randn(4, 9, 2)
    assert aggregate_log_prob(mean[:, :0], mean, mean).shape == (4, 0)
    assert aggregate_log_prob(mean[:0], mean[:0], mean[:0]).shape == (0, 9)
    assert component_log_prob(mean[:, :0], mean, mean).shape == (4, 0, 9)


@pytest.mark.usefixtures("program")
def test_the_order_of_components_changes_only_rounding_and_that_of_queries_only_theirs() -> None:
    mean, log_var, generator = posteriors(9, 1500, 4, 0.3, 1.0)
    z = drawn(mean[:300], log_var[:300], generator)
    value = aggregate_log_prob(z, mean, log_var)
    order, queries = torch.randperm(1500, generator=generator), torch.randperm(300, generator=generator)
    torch.testing.assert_close(aggregate_log_prob(z, mean[order], log_var[order]), value, rtol=0, atol=5e-6)
    torch.testing.assert_close(aggregate_log_prob(z[queries], mean, log_var), value[queries], rtol=0, atol=1e-12)


@pytest.mark.usefixtures("program")
def test_leading_axes_are_mixtures_of_their_own() -> None:
    z, mean, log_var = torch.randn(2, 3, 7, 4), torch.randn(2, 3, 9, 4), torch.randn(2, 3, 9, 4)
    left_out = torch.arange(7)
    together = aggregate_log_prob(z, mean, log_var, left_out=left_out)
    assert together.shape == (2, 3, 7)
    assert together.dtype == torch.float64
    alone = aggregate_log_prob(z[1, 2], mean[1, 2], log_var[1, 2], left_out=left_out)
    torch.testing.assert_close(together[1, 2], alone, rtol=0, atol=1e-12)
    table = component_log_prob(z, mean, log_var)
    torch.testing.assert_close(table[1, 2], component_log_prob(z[1, 2], mean[1, 2], log_var[1, 2]))


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strides_and_types_do_not_matter(dtype: torch.dtype) -> None:
    mean = torch.randn(6, 400).to(dtype).T
    log_var, z = torch.randn(400, 1).to(dtype).expand(400, 6), torch.randn(90, 12, dtype=torch.float64)[::2, ::2]
    left_out = torch.arange(90)[::2]
    plain = [tensor.double().contiguous() for tensor in (z, mean, log_var)]
    value = aggregate_log_prob(z, mean, log_var, left_out=left_out)
    torch.testing.assert_close(value, aggregate_log_prob(*plain, left_out=left_out.clone()), rtol=0, atol=0)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("sigma", [1.0, 1e-2, 1e-5])
def test_the_table_is_that_of_brute_force(sigma: float) -> None:
    mean, log_var, generator = posteriors(4, 2600, 5, sigma, 2.0)
    z = drawn(mean[:40], log_var[:40], generator)
    table, truth = component_log_prob(z, mean, log_var), brute_table(z, mean, log_var)
    torch.testing.assert_close(table, truth, rtol=1e-9, atol=1e-5)


def test_the_number_of_threads_changes_nothing() -> None:
    if not kernel.available():
        pytest.skip("there is no C compiler here")
    mean, log_var, generator = posteriors(6, 1000, 4, 0.3)
    z = drawn(mean, log_var, generator)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = aggregate_log_prob(z, mean, log_var)
        torch.set_num_threads(3)
        assert torch.equal(aggregate_log_prob(z, mean, log_var), alone)
    finally:
        torch.set_num_threads(threads)


def test_where_nothing_compiles_torch_sums_and_that_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("RATEREG_KERNEL", "1")
    native._loaded.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=r"mixture\.c was not compiled.*Install gcc or clang.*no-such-compiler"):
            assert not kernel.available()
        mean, log_var, generator = posteriors(1, 50, 3, 0.1)
        assert_accurate(drawn(mean, log_var, generator), mean, log_var)
        assert kernel.program("cpu") == kernel.program("cuda") == "torch"
        with pytest.raises(RuntimeError, match="not compiled here"):
            kernel.log_sum_of_densities(mean, mean, log_var)
    finally:
        native._loaded.cache_clear()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("z", lambda z: z.to("meta")),
        ("z", lambda z: z[:, :2]),
        ("mean", lambda mean: mean[:4].to("meta")),
        ("log_var", lambda log_var: log_var[:4]),
        ("log_var", lambda log_var: log_var.to("meta")),
        ("left_out", lambda rows: rows.int()),
        ("left_out", lambda rows: rows.to("meta")),
        ("left_out", lambda rows: rows[:4]),
        ("left_out", lambda rows: rows.double()),
    ],
)
def test_no_tensor_that_is_not_what_the_kernel_reads_reaches_it(name: str, change: Callable[[Tensor], Tensor]) -> None:
    if not kernel.available():
        pytest.skip("there is no C compiler here")
    given = {"z": torch.zeros(5, 3), "mean": torch.zeros(6, 3), "log_var": torch.zeros(6, 3)}
    given["left_out"] = torch.zeros(5, dtype=torch.int64)
    with pytest.raises((ValueError, RuntimeError)):
        inspect.unwrap(kernel.log_sum_of_densities)(**given | {name: change(given[name])})


# The peak of this process alone: what getrusage tells begins with the parent's.
MEMORY = """
import os, re, torch
from ratereg.evaluation import aggregate_log_prob
def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
mean = torch.randn(40000, 10)
log_var = torch.full_like(mean, -2.0)
for kernel in "10":
    os.environ["RATEREG_KERNEL"] = kernel
    aggregate_log_prob(mean[:8], mean[:8], log_var[:8])
    before = kilobytes("VmRSS")
    aggregate_log_prob(mean[:10000], mean, log_var)
    print(kilobytes("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell the peak of memory")
def test_memory_does_not_grow_with_the_table() -> None:
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    # In kB; the table would be 3.2 million.
    first, second = map(int, run.stdout.split())
    assert first < 100_000
    assert second < 100_000


# Blocks of components


def mixture(seed: int, components: int, queries: int = 40, latent: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(2, components, latent, generator=generator)
    log_var = torch.randn(2, components, latent, generator=generator) - 2
    return torch.randn(2, queries, latent, generator=generator), mean, log_var


@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_merged_blocks_are_the_whole_to_the_rounding_of_float64(seed: int, sizes: list[int]) -> None:
    z, mean, log_var = mixture(seed, sum(sizes))
    by_component = torch.stack([brute_table(*member) for member in zip(z, mean, log_var, strict=True)])
    blocks = torch.stack([part.logsumexp(-1) - math.log(part.shape[-1]) for part in by_component.split(sizes, -1)])
    whole = by_component.logsumexp(-1) - math.log(sum(sizes))
    torch.testing.assert_close(merge_aggregate_log_probs(blocks, sizes), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("program", ["1", "0"])
@pytest.mark.parametrize("sizes", [[700], [1, 699], [350, 350], [699, 1], [100] * 7])
@pytest.mark.parametrize("leave", [False, True])
def test_merged_blocks_are_the_single_process_result(
    program: str, sizes: list[int], leave: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATEREG_KERNEL", program)
    z, mean, log_var = mixture(3, 700)
    left_out = torch.randint(700, (40,), generator=torch.Generator().manual_seed(4))
    left_out[:2] = torch.tensor([0, 699])
    values, counts, first = [], [], 0
    for part_mean, part_log_var in zip(mean.split(sizes, 1), log_var.split(sizes, 1), strict=True):
        value, count = block_log_prob(z, part_mean, part_log_var, left_out=left_out - first if leave else None)
        values.append(value)
        counts.append(count)
        first += part_mean.shape[1]
    merged = merge_aggregate_log_probs(torch.stack(values), torch.stack(counts))
    whole = aggregate_log_prob(z, mean, log_var, left_out=left_out if leave else None)
    torch.testing.assert_close(merged, whole, rtol=0, atol=5e-6)
    if len(sizes) == 1:
        torch.testing.assert_close(merged, whole, rtol=1e-12, atol=1e-12)


def test_a_block_whose_only_component_is_left_out_adds_nothing() -> None:
    z, mean, log_var = mixture(5, 1)
    value, counts = block_log_prob(z, mean, log_var, left_out=torch.arange(40) - 20)
    assert torch.equal(counts == 0, torch.arange(40) == 20)
    assert torch.equal(value == -math.inf, (counts == 0).expand(2, 40))
    other = torch.randn(2, 40, dtype=torch.float64)
    merged = merge_aggregate_log_probs(torch.stack([value, other]), torch.stack([counts, torch.full((40,), 9)]))
    torch.testing.assert_close(merged[:, 20], other[:, 20])


def test_an_information_estimate_may_take_its_densities_from_blocks() -> None:
    _, mean, log_var = mixture(7, 300)

    def by_blocks(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        blocks = [block_log_prob(z, *part) for part in zip(mean.split(90, 1), log_var.split(90, 1), strict=True)]
        return merge_aggregate_log_probs(*map(torch.stack, zip(*blocks, strict=True)))

    def noise() -> torch.Generator:
        return torch.Generator().manual_seed(8)

    for name, function, sets in (
        ("marginal_kl", decompose_rate, (mean, log_var)),
        ("aggregate_divergence", decompose_rate_under, (mean[:, :100], log_var[:, :100], mean, log_var)),
    ):
        whole = getattr(function(*sets, noise()), name)
        torch.testing.assert_close(
            getattr(function(*sets, noise(), aggregate=by_blocks), name), whole, rtol=0, atol=5e-6
        )
        # The densities are those that are given: another one shifts the estimate.
        shifted = getattr(function(*sets, noise(), aggregate=lambda *given: 2 * by_blocks(*given)), name)
        assert ((shifted - whole).abs() > 0.01).all()


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": torch.zeros(3, 3)}, "does not fit"),
        ({"z": torch.zeros(3, 2, dtype=torch.int64)}, r"z is torch\.int64"),
        ({"z": torch.zeros(3, 2, device="meta")}, "on one device"),
        ({"log_var": torch.zeros(5, 2)}, "of one shape"),
        ({"mean": torch.zeros(4, 2).int()}, r"mean is torch\.int32"),
        ({"mean": torch.zeros(0, 2), "log_var": torch.zeros(0, 2)}, "at least 1 images"),
        ({"left_out": torch.zeros(2, dtype=torch.int64)}, "2 rows for 3 queries"),
        ({"left_out": torch.tensor([0, 1, 4])}, "holds 0 to 4; give rows from 0 to 3"),
        ({"left_out": torch.tensor([0, -1, 2])}, "holds -1 to 2"),
        ({"left_out": torch.tensor([0, 1, 2]).int()}, r"left_out is torch\.int32"),
        (
            {"left_out": torch.zeros(3).long(), "mean": torch.zeros(1, 2), "log_var": torch.zeros(1, 2)},
            "at least 2 components",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_refused(change: dict[str, object], message: str) -> None:
    # Unwrapped, since the tests' own check of shapes comes first.
    given = {"z": torch.zeros(3, 2), "mean": torch.zeros(4, 2), "log_var": torch.zeros(4, 2)} | change
    functions = [aggregate_log_prob] if "left_out" in change else [aggregate_log_prob, component_log_prob]
    for function in functions:
        with pytest.raises(ValueError, match=message):
            inspect.unwrap(function)(**given)


@pytest.mark.parametrize(
    ("blocks", "counts", "message"),
    [
        (2, [1, 2, 3], "for 2 blocks"),
        (0, [], "least one block"),
        (2, [3, -1], "negative"),
        (2, torch.tensor([[1, 0, 1], [1, 0, 1]]), "0 in all blocks"),
    ],
    ids=str,
)
def test_counts_that_do_not_fit_are_refused(blocks: int, counts: list[int] | Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(merge_aggregate_log_probs)(torch.zeros(blocks, 3, dtype=torch.float64), counts)
