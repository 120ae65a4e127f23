"""A training step can be captured and replayed: no GPU is needed to see that it reads and writes only tensors."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ratereg.models import MLP, VAE, MixtureOfGaussians
from ratereg.training import Precision, Trainer
from ratereg.training.adam import Adam

HOST_WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class Recording(TorchDispatchMode):
    """The operations of a step with the very tensors they worked on, as a captured graph keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert function not in HOST_WAITS, f"{function} makes the host wait"
        result = function(*args, **(kwargs or {}))
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.operations.append((function, args, kwargs or {}, results))
        return result

    def replay(self) -> None:
        with torch._C._AutoDispatchBelowAutograd():
            for function, args, kwargs, results in self.operations:
                again = [leaf for leaf in tree_leaves(function(*args, **kwargs)) if isinstance(leaf, Tensor)]
                for kept, new in zip(results, again, strict=True):
                    # A view, or what an operation worked on in place, lies where it lay.
                    if kept.data_ptr() != new.data_ptr():
                        kept.copy_(new)


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Adam, "_together", property(lambda _: True, lambda *_: None), raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trainer(precision: Precision, binarize: bool) -> Trainer:
    pixels = torch.randint(256, (90, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    vae = VAE(MLP(2, 16, 3), (1, 4, 3), [0, 0, 1], prior=MixtureOfGaussians(5))
    return Trainer(
        vae,
        pixels,
        torch.arange(70),
        betas=[1.0, 1e39, 0.1],
        seeds=[0, 0, 1],
        batch_size=8,
        precision=precision,
        binarize=binarize,
        schedule="cosine",
        steps=200,
        warm_up=20,
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("binarize", [False, True])
def test_a_step_captured_once_and_replayed_trains_as_the_step_itself(precision: Precision, binarize: bool) -> None:
    straight, captured = trainer(precision, binarize), trainer(precision, binarize)
    straight.advance(100)
    captured.advance(3)
    recording = Recording()
    (step,) = captured._steps

    def record() -> None:
        with recording:
            step()
        captured._run = [recording.replay]

    captured._run = [record]
    captured.advance(4)
    captured.advance(100)
    for name, value in straight.state().items():
        assert torch.equal(value, captured.state()[name]), name
    assert captured.diverged_at.tolist() == [-1, 1, -1]
    assert torch.equal(straight.rate.nan_to_num(), captured.rate.nan_to_num())
