"""The members that have been trained and measured, each kept as a result of its own.

A member is found again by every study whose settings it has, so it is trained once.
"""

from pathlib import Path

import pandas as pd

from ratereg.storage import cache_directory
from ratereg.studies.results import Results
from ratereg.studies.shard import Shard

__all__ = ["keep", "kept", "member_directory"]


def member_directory(digest: str) -> Path:
    """Return where the member with that digest of its own study is kept."""
    return cache_directory() / "members" / digest


def kept(digest: str) -> bool:
    """Return whether the member is there."""
    return (member_directory(digest) / "provenance.json").is_file()


def keep(shard: Shard, results: Results) -> None:
    """Keep the members of a finished shard."""
    digests = shard.study.member_digests(shard.members)
    by_dataset = {"test_originals"}
    for index, (member, digest) in enumerate(digests.items()):
        table = results.table[results.table["member"] == index].assign(member=0)
        arrays = {
            name: values if name in by_dataset else values[index : index + 1] for name, values in results.arrays.items()
        }
        provenance = dict(results.provenance) | {"seconds": results.provenance["seconds"] / len(shard)}
        alone = Results(shard.study.of(member), pd.DataFrame(table).reset_index(drop=True), arrays, provenance)
        alone.save(member_directory(digest))
