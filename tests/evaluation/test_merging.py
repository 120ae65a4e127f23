"""A mixture's density merged from those of blocks of its components."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ratereg.evaluation.aggregate import aggregate_log_prob
from ratereg.evaluation.information import decompose_rate, decompose_rate_under
from ratereg.evaluation.merging import block_log_prob, merge_aggregate_log_probs


def table(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    components = torch.distributions.Normal(mean.double(), (log_var.double() / 2).exp())
    return components.log_prob(z.double().unsqueeze(-2)).sum(-1)


def mixture(seed: int, components: int, queries: int = 40, latent: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(2, components, latent, generator=generator)
    log_var = torch.randn(2, components, latent, generator=generator) - 2
    return torch.randn(2, queries, latent, generator=generator), mean, log_var


@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_merged_blocks_are_the_whole_to_the_rounding_of_float64(seed: int, sizes: list[int]) -> None:
    z, mean, log_var = mixture(seed, sum(sizes))
    by_component = table(z.unsqueeze(-3).squeeze(-3), mean.unsqueeze(1), log_var.unsqueeze(1))
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


def test_left_out_has_a_row_for_each_query() -> None:
    with pytest.raises(ValueError, match="each of 40 queries"):
        inspect.unwrap(block_log_prob)(*mixture(1, 5), left_out=torch.arange(3))


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
