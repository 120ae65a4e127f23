"""Seconds of training steps and of measuring, by members, width, depth, pixels and images; and the machine's rates.

Writes results/cost/NAME.csv, which the chapter "Scaling out" reads. All points and the machine's rates take turns in
rounds of random order until the time is up, and the fastest of a point counts: other work on the machine only adds.

Usage: python benchmarks/cost.py [--minutes M] [--name NAME]
"""

import argparse
import itertools
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ratereg.training.machine import Machine, measure_machine

from ratereg.evaluation import decompose_rate, distortion, encode
from ratereg.models import MLP, VAE
from ratereg.studies.provenance import environment
from ratereg.training import Precision, Trainer

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "cost"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHAPES = {784: (1, 28, 28), 3072: (3, 32, 32)}
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
MEMBERS = (1, 2, 4, 8, 12, 16, 24) if DEVICE.type == "cpu" else (1, 4, 12, 24, 60, 120)
WIDTHS, LAYERS = (64, 128, 256, 512, 1024), (1, 2, 3)
MIDDLE = {"members": 12, "width": 512, "layers": 1}
MIXED, BATCH, TRAINING_IMAGES = 24, 128, 4096
IMAGES, QUERIES = (1024, 4096, 16_384, 65_536), (256, 2048, 8192)
RUNS, SECONDS_A_RUN, STEPS_A_RUN = 5, 0.1, 64
POINTS_A_MACHINE = 12
"""Points after which the machine is measured again."""


@dataclass(frozen=True)
class Point:
    """What is timed: a training step of some members, or measuring one member on some images."""

    what: str
    precision: Precision
    members: int
    width: int
    layers: int
    pixels: int
    images: int = 0
    queries: int = 0

    @property
    def network(self) -> MLP:
        return MLP(self.layers, self.width)


def points() -> list[Point]:
    """Return lines through a middle, one setting varied at a time; combinations drawn at random; and the measuring."""
    lines = {"members": MEMBERS, "width": WIDTHS, "layers": LAYERS}
    settings = [MIDDLE | {name: value} for name, values in lines.items() for value in values]
    combinations = [dict(zip(lines, values, strict=True)) for values in itertools.product(*lines.values())]
    settings += random.Random(0).sample(combinations, MIXED)
    steps = {
        Point("step", precision, pixels=pixels, **one)
        for one in settings
        for precision in PRECISIONS
        for pixels in SHAPES
        # An ensemble of 24 deep networks 1,024 wide would take as long as all others together.
        if one["members"] * one["width"] * one["layers"] <= (24_000 if DEVICE.type == "cpu" else math.inf)
    }
    sizes = {(images, min(images, 2048)) for images in IMAGES} | {(16_384, queries) for queries in QUERIES}
    measuring = {
        Point("measuring", "float32", 1, MIDDLE["width"], layers, pixels, *size)
        for size in sizes
        for layers in (1, 3)
        for pixels in SHAPES
    }
    return sorted(steps | measuring, key=repr)


def drawn(images: int, pixels: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (images, pixels), dtype=torch.uint8, generator=generator).to(DEVICE)


def seconds(work: Callable[[], object]) -> float:
    def now() -> float:
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    start = now()
    work()
    return now() - start


def step_seconds(point: Point) -> float:
    """Return the seconds of a step, in the fastest of several runs of some steps."""
    vae = VAE(point.network, SHAPES[point.pixels], range(point.members)).to(DEVICE)
    trainer = Trainer(
        vae,
        drawn(TRAINING_IMAGES, point.pixels),
        torch.arange(TRAINING_IMAGES),
        betas=[1.0] * point.members,
        seeds=range(point.members),
        batch_size=BATCH,
        precision=point.precision,
    )
    trainer.advance(5)  # kernels are compiled, and on a GPU the step is captured
    once = seconds(lambda: trainer.advance(trainer.step + 1))
    steps = max(1, min(STEPS_A_RUN, int(SECONDS_A_RUN / once)))
    return min(seconds(lambda: trainer.advance(trainer.step + steps)) for _ in range(RUNS)) / steps


def measuring_seconds(point: Point) -> float:
    vae = VAE(point.network, SHAPES[point.pixels], [0]).to(DEVICE)
    pixels, rows = drawn(point.images, point.pixels), torch.arange(point.images, device=DEVICE)

    def measure() -> None:
        generator = torch.Generator().manual_seed(0)
        encodings = encode(vae, pixels, rows)
        distortion(vae, pixels, rows, encodings, generator, population=point.images)
        queries = torch.randperm(point.images, generator=generator)[: point.queries]
        decompose_rate(encodings.mean, encodings.log_var, generator, queries=queries)

    return min(seconds(measure) for _ in range(2))


def rates(machine: Machine) -> dict[tuple[str, str], float]:
    """Return a machine's rates by name and precision."""
    others = {(name, ""): getattr(machine, name) for name in ("bandwidth", "passing", "overhead")}
    return {("multiply_adds", precision): rate for precision, rate in machine.multiply_adds.items()} | others


def main(minutes: float, name: str) -> None:
    end = time.monotonic() + 60 * minutes
    order, left = random.Random(1), points()
    found: dict[Point, float] = {}
    machine: dict[tuple[str, str], float] = {}
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        order.shuffle(left)
        for number, point in enumerate(left):
            if number % POINTS_A_MACHINE == 0:
                for key, value in rates(measure_machine(DEVICE, "bfloat16")).items():
                    better = min if key[0] == "overhead" else max
                    machine[key] = better(value, machine.get(key, value))
            # Some points are always there, so that a short run writes a whole file.
            if number >= POINTS_A_MACHINE and time.monotonic() > end:
                break
            timed = step_seconds(point) if point.what == "step" else measuring_seconds(point)
            found[point] = min(timed, found.get(point, math.inf))
        rounds += 1
    rows: list[dict[str, Any]] = [
        {"what": what, "precision": precision, "value": value} for (what, precision), value in machine.items()
    ]
    rows += [asdict(point) | {"value": value} for point, value in sorted(found.items(), key=repr)]
    facts = environment(DEVICE)
    provenance = {
        "device": facts["device"],
        "threads": facts["threads"],
        "torch": facts["versions"]["torch"],
        "date": facts["date"],
        "rounds": rounds,
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows).assign(**provenance).convert_dtypes()
    table.to_csv(OUTPUT / f"{name}.csv", index=False, float_format="%.6g")
    print(f"{len(found)} points in {rounds} rounds: {OUTPUT / name}.csv")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--name", default=DEVICE.type, help="of the file that is written")
    main(**vars(parser.parse_args()))
