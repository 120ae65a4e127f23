"""Milliseconds a model-step of pythae's trainer, of a plain loop and of the ensemble, side by side; and the limit.

A model-step is one step of one model. All take turns in rounds, so that a busy moment of the machine hits all.

Usage: python benchmarks/training.py [--quick]
"""

import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from itertools import pairwise
from typing import Any
from unittest import mock

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler writes a line when it starts and stops

import torch
from rivals.training import BATCH, LATENT, LEARNING_RATE, WIDTH, Contestant, layer_sizes, plain, pythae
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from ratereg import data
from ratereg.models import MLP, VAE
from ratereg.studies import CATALOG
from ratereg.training import Precision, Trainer, best_precision
from ratereg.training.adam import Adam
from ratereg.training.feed import Feed

BETAS = CATALOG["capacity"]["full"].axis_betas
IMAGES = 60_000
# A parameter: weight and moments read and written, and the gradient read. A bfloat16 gradient is also rounded up, and
# the weight rounded down to its working copy.
ADAM_BYTES = {"float32": 28, "bfloat16": 40}

QUICK = "--quick" in sys.argv[1:]
# Steps a round of the rivals on the CPU, of those on a GPU, and of the ensemble, which draws noise for 64 at once.
ROUNDS, STEPS, GPU_STEPS, OUR_STEPS = (1, 4, 4, 2) if QUICK else (5, 120, 320, 64)


def ensemble(pixels: Tensor, depth: int, precision: Precision, *, seeds: int = 1) -> tuple[Contestant, Trainer]:
    """Return ours: all betas, and that many seeds of each."""
    members = [(beta, seed) for seed in range(seeds) for beta in BETAS]
    own_seeds = [seed for _, seed in members]
    vae = VAE(MLP(depth, WIDTH, LATENT), (1, 1, pixels.shape[1]), own_seeds).to(pixels.device)
    how: dict[str, Any] = {"batch_size": BATCH, "learning_rate": LEARNING_RATE, "precision": precision}
    betas = [beta for beta, _ in members]
    trainer = Trainer(vae, pixels, torch.arange(len(pixels)), betas=betas, seeds=own_seeds, **how)

    def advance(steps: int) -> None:
        trainer.advance(trainer.step + steps)

    return Contestant(len(members), GPU_STEPS if pixels.is_cuda else OUR_STEPS, advance), trainer


def seconds(work: Callable[[], object], device: torch.device) -> float:
    wait = torch.cuda.synchronize if device.type == "cuda" else bool
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def fastest(work: Callable[[], object], device: torch.device) -> float:
    work()
    return min(seconds(work, device) for _ in range(1 if QUICK else 5))


def race(contestants: dict[str, Contestant], device: torch.device) -> dict[str, float]:
    """Let all take turns, print their times, and return the best of each in milliseconds a model-step."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for one in contestants.values():
        one.advance(min(one.steps, 8))
    for _ in range(ROUNDS):
        for name, one in contestants.items():
            once = seconds(partial(one.advance, one.steps), device)
            taken[name].append(1e3 * once / one.steps / one.models)
    print(f"{f'ms a model-step, {ROUNDS} rounds':<40} {'best':>8} {'median':>8}")
    for name, times in taken.items():
        print(f"{name:<40} {min(times):>8.3f} {statistics.median(times):>8.3f}")
    # Ratios are those of the best rounds: other work on the machine only adds time.
    return {name: min(times) for name, times in taken.items()}


def compare(best: dict[str, float], subject: str, reference: str, wanted: float) -> None:
    for name, value in best.items():
        if name.startswith(reference):
            print(f"{subject} is {value / best[subject]:.2f} times as fast as {name} (wanted: {wanted})")


def counted(inputs: int, depth: int) -> tuple[int, int, int]:
    """Return a model's parameters, and of a model-step the multiply-adds and how many weights its products touch.

    Each layer takes three products, forward, for the weights' gradient and for the inputs'; for the first one's inputs,
    the images, nobody asks.
    """
    layers = [pair for sizes in layer_sizes(inputs, depth) for pair in pairwise(sizes)]
    weights = sum(ins * outs for ins, outs in layers)
    touched = 3 * weights - layers[0][0] * layers[0][1]
    return weights + sum(outs for _, outs in layers), BATCH * touched, touched


def step_products(
    inputs: int, depth: int, members: int, dtype: torch.dtype, device: torch.device
) -> Callable[[], None]:
    """Return a step's matrix products and nothing else."""
    pairs: list[tuple[Tensor, Tensor]] = []

    def random(*shape: int) -> Tensor:
        return torch.randn(members, *shape, device=device).to(dtype)

    for number, (ins, outs) in enumerate(pair for sizes in layer_sizes(inputs, depth) for pair in pairwise(sizes)):
        x, gradient, weight = random(BATCH, ins), random(BATCH, outs), random(ins, outs)
        pairs += [(x, weight), (x.mT, gradient), *([(gradient, weight.mT)] if number > 0 else [])]

    def work() -> None:
        for left, right in pairs:
            torch.bmm(left, right)

    return work


def show_bandwidth(what: str, moved: float, milliseconds: float, device: torch.device) -> None:
    """Print the bytes a second that some work moves, and their share of what copying and scaling in place reach.

    A processor's copy also fetches the lines that it writes, so work in place can move more than copying does.
    """
    source = torch.ones(2 ** (20 if QUICK else 26), device=device)
    target = torch.empty_like(source)
    copying = 2e-9 * source.nbytes / fastest(lambda: target.copy_(source), device)
    in_place = 2e-9 * source.nbytes / fastest(lambda: source.mul_(1.0001), device)
    reached = moved / milliseconds / 1e6
    print(
        f"{what} move {moved / 1e6:.0f} MB a model-step at {reached:.1f} GB/s: {reached / copying:.0%} of what ", end=""
    )
    print(f"copying reaches ({copying:.1f}), {reached / in_place:.0%} of scaling in place ({in_place:.1f})")


def show_arithmetic(inputs: int, depth: int, members: int, taken: dict[str, float], device: torch.device) -> None:
    """Print the rate of matrix products alone, and the share of it that a step of `taken` milliseconds reaches."""
    _, multiply_adds, _ = counted(inputs, depth)
    size = 256 if QUICK else 8192 if device.type == "cuda" else 2048
    print(f"a model-step's matrix products are {multiply_adds / 1e6:.0f} million multiply-adds; 10^9 of them a second:")
    print(f"{'':<12} {f'{size} x {size}':>14} {'shapes of a step':>18} {'training':>10} {'shares':>12}")
    for precision, milliseconds in taken.items():
        dtype = getattr(torch, precision)
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        square = size**3 / fastest(partial(torch.mm, left, right), device) / 1e9
        own = members * multiply_adds / fastest(step_products(inputs, depth, members, dtype, device), device) / 1e9
        reached = multiply_adds / milliseconds / 1e6
        shares = f"{reached / square:.0%}, {reached / own:.0%}"
        print(f"{precision:<12} {square:>14.0f} {own:>18.0f} {reached:>10.0f} {shares:>12}")


def parts_of_a_step(one: Contestant, trainer: Trainer) -> dict[str, float]:
    """Return milliseconds a model-step of each part of a step, from a profile; they add up to the profiled step."""
    labels = {
        "Adam and the working copies": (Adam, "step"),
        "likelihood": (type(trainer.vae.likelihood), "distortion"),
        "batches gathered": (Feed, "next"),
        "batches and noise drawn": (Feed, "provide"),
    }

    def labeled(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with record_function(label):
                return function(*args, **kwargs)

        return wrapper

    def part(event: Any) -> str:
        while event is not None:
            if event.name in ("aten::bmm", "aten::baddbmm"):
                return "matrix products"
            if event.name in labels:
                return str(event.name)
            if event.name.startswith("BinaryCrossEntropyWithLogits"):
                return "likelihood"
            event = event.cpu_parent
        return "activations, biases, latents, rate"

    one.advance(min(one.steps, 8))
    with ExitStack() as stack:
        for label, (owner, name) in labels.items():
            stack.enter_context(mock.patch.object(owner, name, labeled(label, getattr(owner, name))))
        recorded = stack.enter_context(profile(activities=[ProfilerActivity.CPU]))
        whole = seconds(partial(one.advance, one.steps), trainer.vae.device)
    spent: Counter[str] = Counter()
    for event in recorded.events():
        spent[part(event)] += event.self_cpu_time_total / 1e6
    spent["Python between the operations"] = whole - spent.total()
    return {name: 1e3 * value / one.steps / one.models for name, value in spent.most_common()}


def show_parts(inputs: int, depth: int, precision: str, parts: dict[str, float]) -> None:
    whole = sum(parts.values())
    print(f"{f'where a model-step in {precision} goes, one thread, profiled':<50} {whole:>8.3f} ms")
    for name, value in parts.items():
        print(f"  {name:<48} {value:>8.3f} {value / whole:>6.0%}")
    adam = "Adam and the working copies"
    show_bandwidth(adam, ADAM_BYTES[precision] * counted(inputs, depth)[0], parts[adam], torch.device("cpu"))


def show_traffic(inputs: int, depth: int, taken: dict[str, float], device: torch.device) -> None:
    """Print the share of the memory's bandwidth that the traffic of weights, their gradients and Adam reaches."""
    parameters, _, touched = counted(inputs, depth)
    for precision, milliseconds in taken.items():
        moved = ADAM_BYTES[precision] * parameters + getattr(torch, precision).itemsize * touched
        show_bandwidth(f"{precision}: weights, gradients and Adam", moved, milliseconds, device)


def measure(name: str, pixels: Tensor, depth: int, folder: str) -> None:
    """Race all that can run where `pixels` are, and print what bounds ours."""
    device, inputs = pixels.device, pixels.shape[1]
    on_gpu = device.type == "cuda"
    images, steps = pixels.float() / 255, GPU_STEPS if on_gpu else STEPS
    contestants: dict[str, Contestant] = {}
    if not on_gpu and find_spec("pythae"):
        for fused in (False, True):
            label = f"pythae {metadata.version('pythae')}{', fused Adam' if fused else ''}"
            contestants[label] = pythae(images, depth, steps, folder, fused=fused)
    contestants |= {
        "the plain loop": plain(images, depth, steps),
        "the plain loop, fused Adam": plain(images, depth, steps, fused=True),
        "plain, bfloat16 autocast, fused Adam": plain(images, depth, steps, fused=True, autocast=True),
    }
    precision = best_precision(device)
    precisions = sorted({precision, "float32"}, reverse=True)
    for one in precisions:
        contestants[f"ours, {one}"], _ = ensemble(pixels, depth, one, seeds=5 if on_gpu else 1)
    subject = f"ours, {precision}"
    members = contestants[subject].models
    print(f"\n{name}, {inputs}-512-...-10, depth {depth}, batches of {BATCH}, {members} members")
    best = race(contestants, device)
    compare(best, subject, "pythae", wanted=3)
    compare(best, subject, "the plain loop", wanted=1.5 if not on_gpu else 30 if depth == 1 else 15)
    taken = {one: best[f"ours, {one}"] for one in precisions}
    show_arithmetic(inputs, depth, members, taken, device)
    if on_gpu:
        show_traffic(inputs, depth, taken, device)
    else:
        threads = torch.get_num_threads()
        # A profile sees one thread only, and members are divided among all.
        torch.set_num_threads(1)
        show_parts(inputs, depth, precision, parts_of_a_step(*ensemble(pixels, depth, precision)))
        torch.set_num_threads(threads)


def fashion_mnist() -> tuple[str, Tensor]:
    try:
        if not QUICK:
            loaded = data.load("fashion-mnist")
            return "Fashion-MNIST", loaded.pixels[loaded.train].flatten(1)
    except FileNotFoundError as error:
        print(f"\nFashion-MNIST is not here ({error})")
    noise = torch.randint(-255, 256, (STEPS * BATCH if QUICK else IMAGES, 784))
    return "Images of noise in Fashion-MNIST's shape", noise.clamp_(min=0).byte()


def main() -> None:
    # Subnormal numbers slow the plain loops down, which do not ask for this by themselves.
    torch.set_flush_denormal(True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    if not find_spec("pythae"):
        print("pythae is not installed: pip install -r benchmarks/requirements.txt")
    name, pixels = fashion_mnist()
    with tempfile.TemporaryDirectory() as folder:
        if torch.cuda.is_available():
            print(f"\nGPU: {torch.cuda.get_device_name()}")
            measure(name, pixels.cuda(), 1, folder)
            loaded = data.load("tetrominoes", n_train=STEPS * BATCH if QUICK else IMAGES)
            measure("Tetrominoes", loaded.pixels[loaded.train].flatten(1).cuda(), 3, folder)
        else:
            print("GPU: not measured (none here)")
        for depth in (1,) if QUICK else (1, 3):
            measure(name, pixels, depth, folder)


if __name__ == "__main__":
    main()
