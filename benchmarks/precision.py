"""What bfloat16 matrix products change in rate and distortion, paired over seeds, beside the spread over seeds.

The same studies are trained in float32 and in bfloat16: equal initial weights, batches and noise. What is found is
written to results/precision/cpu.csv. A stopped run resumes, and a finished run is not repeated.

Usage: python benchmarks/precision.py [--seeds N] [--steps FASHION-MNIST TETROMINOES] [--quick]
"""

import argparse
import math
from pathlib import Path

import pandas as pd
import torch
from scipy import stats

from ratereg import MLP, Data, Results, Study, load_or_run
from ratereg.training import best_precision

FILE = Path(__file__).resolve().parents[1] / "results" / "precision" / "cpu.csv"
SETTING = ["dataset", "split", "layers", "beta", "partition", "quantity"]


def studies(seeds: int, steps: tuple[int, int], quick: bool) -> list[Study]:
    """Return a shallow study of few images, which are memorized, and a deep one that has to extrapolate."""
    count = 256 if quick else 6_000
    data = [
        Data("fashion-mnist", n_train=count),
        Data("tetrominoes", split="checkerboard", n_train=2 * count, n_test=count),
    ]
    networks = [MLP(layers=1), MLP(layers=3)]
    pairs = list(zip(data, networks, steps, strict=True))[1 if quick else 0 :]
    return [
        Study(one, network, betas=(1, 0.1, 0.001), seeds=seeds, steps=last, records=1) for one, network, last in pairs
    ]


def differences(float32: Results, bfloat16: Results) -> pd.DataFrame:
    """Return a row for each setting, partition and quantity, in nats.

    `difference` is the mean over seeds of bfloat16 - float32 and `half_width` that of its 95% t interval; `seed_sd` is
    the standard deviation over seeds within float32.
    """
    columns = [*SETTING[:-1], "seed"]
    long = [
        one.final.melt(columns, ["rate", "distortion"], "quantity").set_index([*SETTING, "seed"])["value"]
        for one in (float32, bfloat16)
    ]
    paired = pd.DataFrame({"float32": long[0], "difference": long[1] - long[0]}).groupby(SETTING)
    seeds = len(float32.study.axis_seeds)
    width = float(stats.t.ppf(0.975, seeds - 1)) / math.sqrt(seeds)
    table = pd.DataFrame(
        {
            "difference": paired["difference"].mean(),
            "half_width": paired["difference"].std() * width,
            "seed_sd": paired["float32"].std(),
        }
    ).reset_index()
    provenance = bfloat16.provenance
    return table.assign(
        seeds=seeds,
        steps=float32.study.steps,
        torch=provenance["versions"]["torch"],
        processor=provenance["device"],
        date=provenance["date"],
    )


def show(table: pd.DataFrame) -> None:
    ratio = table["difference"].abs() / table["seed_sd"]
    shown = table[[*SETTING, "difference", "half_width", "seed_sd"]].assign(ratio=ratio)
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    larger = shown[~(ratio < 1)]
    if larger.empty:
        print(f"In all {len(table)} cases bfloat16 changes the mean by less than the standard deviation over seeds;")
    else:
        print(f"In {len(larger)} of {len(table)} cases bfloat16 changes the mean by MORE than one over seeds:")
        print(larger[SETTING].to_string(index=False))
    away = (table["difference"].abs() > table["half_width"]).sum()
    print(
        f"the largest ratio is {ratio.max():.2f}, the median {ratio.median():.2f}; in {away} cases the interval "
        f"leaves out 0 (of {len(table)} intervals of no effect 5% do, {0.05 * len(table):.1f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8, help="at least 2")
    parser.add_argument("--steps", type=int, nargs=2, default=(3_000, 1_000), metavar=("FASHION-MNIST", "TETROMINOES"))
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds, not written down")
    given = parser.parse_args()
    if best_precision(torch.device("cpu")) != "bfloat16" and not torch.cuda.is_available():
        print("This processor has no bfloat16 products of its own: they are emulated, and slow.")
    seeds, steps = (2, (20, 20)) if given.quick else (given.seeds, tuple(given.steps))
    tables = []
    for study in studies(seeds, steps, given.quick):
        pair = [load_or_run(study.replace(precision=one), progress=not given.quick) for one in ("float32", "bfloat16")]
        tables.append(differences(*pair))
    table = pd.concat(tables, ignore_index=True)
    show(table)
    if not given.quick:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(FILE, index=False, float_format="%.6g")
        print(f"written to {FILE}")


if __name__ == "__main__":
    main()
