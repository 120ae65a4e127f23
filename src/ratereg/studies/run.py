"""From a study to its results: found if they are there, else trained, measured and kept."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from ratereg.data import ImageSet
from ratereg.storage import cache_directory
from ratereg.studies.catalog import identify
from ratereg.studies.provenance import joined
from ratereg.studies.results import Results, find_published
from ratereg.studies.shard import run_shard
from ratereg.studies.study import Data, Study

__all__ = ["find", "load_or_run", "run"]


def load_or_run(
    study: Study,
    *,
    device: str | torch.device | None = None,
    progress: bool = True,
    max_members: int | None = None,
    checkpoint_seconds: float = 300,
) -> Results:
    """Return the results of a study: committed ones, else cached ones, else it is trained and then cached.

    Arguments:
        study: what to look for or to run.
        device: to train on; None for the GPU if there is one, else the CPU.
        progress: show a bar with speed, time left and losses.
        max_members: train at most that many members at once; None for all of one data set and network.
        checkpoint_seconds: how often the state of training is kept, so that a stopped run goes on.

    Raises:
        LookupError: the site is being built, and the study is a published one without a result.
        ValueError: the data or a setting is refused.
    """
    found = find(study)
    if found is not None:
        return found
    name = identify(study)
    if name is not None and os.environ.get("RATEREG_BUILDING_SITE"):
        raise LookupError(
            f"The published study {name[0]!r} has no result at scale {name[1]!r}, and the site does not train it. "
            "Run `make results` first, or change a setting of the study."
        )
    return run(
        study,
        cache_directory() / "studies" / study.digest,
        device=device,
        progress=progress,
        max_members=max_members,
        checkpoint_seconds=checkpoint_seconds,
    )


def find(study: Study) -> Results | None:
    """Return the committed or cached results of a study, or None."""
    digest = study.digest
    published = find_published(digest)
    if published is not None:
        return Results.load(published)
    cached = cache_directory() / "studies" / digest
    return Results.load(cached) if (cached / "provenance.json").is_file() else None


def run(
    study: Study,
    directory: Path,
    *,
    device: str | torch.device | None = None,
    progress: bool = True,
    max_members: int | None = None,
    checkpoint_seconds: float = 300,
) -> Results:
    """Train and measure all members of a study, shard by shard; finished shards of a stopped run are not run again.

    The results are saved to `directory`; the other arguments are those of `load_or_run`.
    """
    target = _checked_device(device)
    visible = progress and not os.environ.get("RATEREG_BUILDING_SITE")
    images = {one: one.load() for one in study.axis_data}
    _check_images(images)
    shards = study.shards(max_members)
    places = [cache_directory() / "shards" / shard.digest for shard in shards]
    parts = []
    with tqdm(total=len(study) * study.steps, unit=" member-steps", unit_scale=True, disable=not visible) as bar:
        for number, (shard, place) in enumerate(zip(shards, places, strict=True), 1):
            bar.set_description(f"{_describe(shard)} [{number}/{len(shards)}]")
            if (place / "provenance.json").is_file():
                parts.append(Results.load(place))
                bar.update(len(shard) * shard.steps)
            else:
                checkpoint = place.with_suffix(".checkpoint")
                part = run_shard(shard, images[shard.axis_data[0]], target, checkpoint, bar, checkpoint_seconds)
                parts.append(part.save(place))
                checkpoint.unlink(missing_ok=True)
    results = _assemble(study, parts).save(directory)
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
    return results


def _assemble(study: Study, parts: Sequence[Results]) -> Results:
    """Put the results of all shards together, in the order of the study's members."""
    position = {member: index for index, member in enumerate(study.members)}
    tables, stacks, places, originals = [], [], [], {}
    for part in parts:
        order = np.array([position[member] for member in part.study.members])
        tables.append(part.table.assign(member=order[part.table["member"].to_numpy()]))
        stacks.append({name: values for name, values in part.arrays.items() if name != "test_originals"})
        places.append(order)
        originals[part.study.axis_data[0]] = part.arrays["test_originals"]
    by_member = np.argsort(np.concatenate(places))
    arrays = {name: _concatenate([stack[name] for stack in stacks])[by_member] for name in stacks[0]}
    arrays["test_originals"] = _concatenate([originals[one] for one in study.axis_data])
    arrays["member_dataset"] = np.array([study.axis_data.index(member.data) for member in study.members])
    table = pd.concat(tables).sort_values(["member", "step", "partition"], ascending=[True, True, False])
    provenance = joined([part.provenance for part in parts]) | {
        "seconds": sum(part.provenance["seconds"] for part in parts),
        "steps": study.steps,
        "members": len(study),
    }
    name = identify(study)
    if name is not None:
        provenance |= {"study": name[0], "scale": name[1]}
    return Results(study, table.reset_index(drop=True), arrays, provenance)


def _concatenate(stacks: list[np.ndarray]) -> np.ndarray:
    """Join stacks of (member, image, ...), cut to the fewest images, latents filled up with NaN to the most."""
    images, last = min(stack.shape[1] for stack in stacks), max(stack.shape[-1] for stack in stacks)
    fills = [[(0, 0)] * (stack.ndim - 1) + [(0, last - stack.shape[-1])] for stack in stacks]
    filled = [
        np.pad(stack, fill, constant_values=np.nan) if fill[-1][1] else stack
        for stack, fill in zip(stacks, fills, strict=True)
    ]
    return np.concatenate([stack[:, :images] for stack in filled])


def _checked_device(device: str | torch.device | None) -> torch.device:
    try:
        target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError):
        there = ["'cpu'", *(["'cuda'"] if torch.cuda.is_available() else [])]
        raise ValueError(f"device is {str(device)!r}, which is not here; give {' or '.join(there)}.") from None
    return target


def _check_images(images: dict[Data, ImageSet]) -> None:
    """Refuse what one table cannot hold: images of several shapes, and data that its columns do not tell apart."""
    shapes = {one.source: image_set.image_shape for one, image_set in images.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"Study: data has images of different shapes, {shapes}; give them studies of their own.")
    alike: dict[tuple[object, ...], Data] = {}
    for one, image_set in images.items():
        columns = (image_set.name, one.split, one.share, len(image_set.train), len(image_set.test))
        if columns in alike:
            raise ValueError(
                f"Study: data holds {alike[columns]} and {one}, which have the same name, split and numbers of images, "
                "so that a table would mix them up; give them studies of their own."
            )
        alike[columns] = one


def _describe(shard: Study) -> str:
    one, network = shard.axis_data[0], shard.axis_networks[0]
    return f"{Path(one.source).name} {one.split}, {network.layers} x {network.width}"
