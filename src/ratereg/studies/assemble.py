"""From members to the result of a study."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ratereg.studies.catalog import identify
from ratereg.studies.provenance import joined
from ratereg.studies.results import Results
from ratereg.studies.study import Member, Study

__all__ = ["assemble", "part_of"]

_OF_THE_STUDY = ("test_originals", "member_dataset")
"""Arrays without a member axis, and the one that only a whole study has."""


def assemble(study: Study, members: Mapping[Member, Results]) -> Results:
    """Put the results of a study's members together, in the order of the study."""
    parts = [members[member] for member in study.members]
    table = pd.concat([part.table.assign(member=index) for index, part in enumerate(parts)])
    by_member = [name for name in parts[0].arrays if name != "test_originals"]
    arrays = {name: _concatenate([part.arrays[name] for part in parts]) for name in by_member}
    of_data = {member.data: part for member, part in members.items()}
    arrays["test_originals"] = _concatenate([of_data[one].arrays["test_originals"] for one in study.axis_data])
    arrays["member_dataset"] = np.array([study.axis_data.index(member.data) for member in study.members])
    provenance = joined([part.provenance for part in parts]) | {
        "seconds": round(sum(part.provenance["seconds"] for part in parts)),
        "steps": study.steps,
        "members": len(study),
    }
    name = identify(study)
    if name is not None:
        provenance |= {"study": name[0], "scale": name[1]}
    table = table.sort_values(["member", "step", "partition"], ascending=[True, True, False])
    return Results(study, table.reset_index(drop=True), arrays, provenance)


def part_of(results: Results, index: int) -> Results:
    """Return what `assemble` took from one member, with at most as many pictures as all members had."""
    member = results.study.members[index]
    table = results.table[results.table["member"] == index].assign(member=0).reset_index(drop=True)
    arrays = {name: values[index : index + 1] for name, values in results.arrays.items() if name not in _OF_THE_STUDY}
    for name, values in arrays.items():
        if name.endswith(("_mean", "_log_var")):
            arrays[name] = values[..., : member.network.latent_dim]
    dataset = results.arrays["member_dataset"][index]
    arrays["test_originals"] = results.arrays["test_originals"][dataset : dataset + 1]
    facts = {name: value for name, value in results.provenance.items() if name not in ("study", "scale", "members")}
    facts["seconds"] = results.provenance["seconds"] / len(results.study)
    return Results(results.study.of(member), table, arrays, facts)


def _concatenate(stacks: list[np.ndarray]) -> np.ndarray:
    """Join stacks of (member, image, ...), cut to the fewest images, latents filled up with NaN to the most."""
    images, last = min(stack.shape[1] for stack in stacks), max(stack.shape[-1] for stack in stacks)
    fills = [[(0, 0)] * (stack.ndim - 1) + [(0, last - stack.shape[-1])] for stack in stacks]
    filled = [
        np.pad(stack, fill, constant_values=np.nan) if fill[-1][1] else stack
        for stack, fill in zip(stacks, fills, strict=True)
    ]
    return np.concatenate([stack[:, :images] for stack in filled])
