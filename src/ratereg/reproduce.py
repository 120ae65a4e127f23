"""Training one member of a committed result again, and its numbers beside the committed ones."""

import math

import numpy as np
import pandas as pd
import torch
from scipy import stats
from tqdm.auto import tqdm

from ratereg.storage import remove_checkpoint
from ratereg.studies import Results, published
from ratereg.studies.results import find_published
from ratereg.studies.run import checked_devices
from ratereg.studies.shard import Shard, run_shard
from ratereg.training.interruption import interruptible

__all__ = ["committed", "describe_members", "reproduce"]

_QUANTITIES = ("rate", "distortion", "mutual_information", "marginal_kl")


def committed(name: str, scale: str | None = None) -> Results:
    """Return the committed result of a published study.

    Raises:
        ValueError: there is no such study or scale, or it has no committed result.
    """
    study = published(name, scale)
    place = find_published(study.digest)
    if place is None:
        raise ValueError(f"reproduce: name is {name!r}, which has no committed result at that scale; give another one.")
    return Results.load(place)


def describe_members(results: Results) -> str:
    """Return a line for each member of a result, with its number."""
    lines = []
    for number, (data, network, seed, beta) in enumerate(results.study.members):
        counts = {"share": data.share, "n_train": data.n_train, "binarize": data.binarize}
        images = "".join(f", {name} {value}" for name, value in counts.items() if value)
        lines.append(f"{number:4}  {data.source} {data.split}{images}; {network}; seed {seed}; beta {beta:g}")
    return "\n".join(lines)


def reproduce(
    results: Results,
    member: int,
    *,
    seed: int | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 300,
) -> pd.DataFrame:
    """Train a member of a result again, whatever is cached, and return its last step beside the committed one.

    Where processor, versions and number of threads are those of the provenance, the same seed gives the same numbers.
    Elsewhere another rounding leads training along another path, as another seed does. So the interval is that of one
    more run: the mean over the committed seeds plus and minus t times their standard deviation times
    sqrt(1 + 1 / seeds), in which it lies in 95 of 100 cases.

    Arguments:
        results: the committed result.
        member: its number in the table's column of that name.
        seed: train this seed instead of the member's own.
        device: to train on; None for a GPU if there is one, else the CPU.
        progress: show a bar.
        checkpoint_seconds: how often the state is kept; a run that was stopped goes on.

    Returns:
        one row per partition and quantity, in nats, with `committed`, `rerun`, the interval's ends `low` and `high`
        (NaN for one seed), and `within`.

    Raises:
        Stopped: the run was interrupted; its state is kept.
        ValueError: there is no such member, or the device or the data are refused.
    """
    study = results.study
    if not 0 <= member < len(study):
        raise ValueError(f"reproduce: member is {member}; give a number from 0 to {len(study) - 1}.")
    chosen = study.members[member]
    trained = chosen if seed is None else chosen._replace(seed=seed)
    shard = Shard(study.of(trained), (trained,))
    chosen_device = checked_devices(device)[0]
    with interruptible() as stop, tqdm(total=study.steps, unit=" steps", disable=not progress) as bar:

        def report(made: int) -> None:
            bar.update(made)

        rerun = run_shard(
            shard,
            chosen_device,
            checkpoint_seconds=checkpoint_seconds,
            report=report,
            stop=stop,
        )
    remove_checkpoint(shard.directory / "checkpoint")
    final = results.final[results.final["partition"].isin(["train", "test"])]
    alike = [number for number, one in enumerate(study.members) if one._replace(seed=0) == chosen._replace(seed=0)]
    here = {str(partition): rows for partition, rows in rerun.final.groupby("partition")}
    rows = []
    for partition, of_seeds in final[final["member"].isin(alike)].groupby("partition", sort=False):
        own = of_seeds[of_seeds["member"] == member].iloc[0]
        for quantity in _QUANTITIES:
            low, high = _prediction_interval(of_seeds[quantity].to_numpy())
            value = here[str(partition)][quantity].iloc[0]
            row = {"partition": partition, "quantity": quantity, "committed": own[quantity], "rerun": value}
            rows.append(row | {"low": low, "high": high, "within": bool(low <= value <= high)})
    return pd.DataFrame(rows)


def _prediction_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95% interval of one more value of a normal sample; NaN for a single value."""
    count = len(values)
    if count < 2:
        return math.nan, math.nan
    half_width = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) * math.sqrt(1 + 1 / count)
    return float(values.mean() - half_width), float(values.mean() + half_width)
