"""From members to the result of a study."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ratereg.studies.catalog import identify
from ratereg.studies.provenance import joined
from ratereg.studies.results import Results
from ratereg.studies.study import Member, Study

__all__ = ["assemble"]


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


def _concatenate(stacks: list[np.ndarray]) -> np.ndarray:
    """Join stacks of (member, image, ...), cut to the fewest images, latents filled up with NaN to the most."""
    images, last = min(stack.shape[1] for stack in stacks), max(stack.shape[-1] for stack in stacks)
    fills = [[(0, 0)] * (stack.ndim - 1) + [(0, last - stack.shape[-1])] for stack in stacks]
    filled = [
        np.pad(stack, fill, constant_values=np.nan) if fill[-1][1] else stack
        for stack, fill in zip(stacks, fills, strict=True)
    ]
    return np.concatenate([stack[:, :images] for stack in filled])
