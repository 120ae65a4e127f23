"""The members that have been trained and measured, each kept as a result of its own.

A member is found again by every study whose settings it has, so it is trained once.
"""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ratereg.storage import cache_directory, remove_checkpoint, writing, written_folder
from ratereg.studies.assemble import part_of
from ratereg.studies.results import Results, published_directory
from ratereg.studies.shard import Shard
from ratereg.studies.study import Study

__all__ = ["adopt_published", "keep", "keep_finished", "kept", "member_directory"]

_FINISHED = "finished"


def member_directory(digest: str) -> Path:
    """Return where the member with that digest of its own study is kept."""
    return cache_directory() / "members" / digest


def kept(digest: str) -> bool:
    """Return whether the member is there."""
    return (member_directory(digest) / "provenance.json").is_file()


def keep(shard: Shard, results: Results) -> None:
    """Keep the members of a finished shard, and remove its checkpoint.

    All are written beside the checkpoint first: killed when some are in place, the others would be another shard,
    without a checkpoint.
    """
    digests = shard.study.member_digests(shard.members)
    by_dataset = {"test_originals"}
    with written_folder(shard.directory / _FINISHED) as aside:
        for index, (member, digest) in enumerate(digests.items()):
            table = results.table[results.table["member"] == index].assign(member=0)
            arrays = {
                name: values if name in by_dataset else values[index : index + 1]
                for name, values in results.arrays.items()
            }
            provenance = dict(results.provenance) | {"seconds": results.provenance["seconds"] / len(shard)}
            alone = Results(shard.study.of(member), pd.DataFrame(table).reset_index(drop=True), arrays, provenance)
            alone.save(aside / digest)
    _put_in_place(shard.directory)


def adopt_published(digests: Iterable[str]) -> None:
    """Keep those of some members that committed results have, so that they are not trained again."""
    missing = {digest for digest in digests if not kept(digest)}
    for settings in sorted(published_directory().glob("*/*/study.json")) if missing else []:
        study = Study.from_settings(json.loads(settings.read_text()))
        there = [(index, digest) for index, digest in enumerate(study.member_digests().values()) if digest in missing]
        if there:
            results = Results.load(settings.parent)
            for index, digest in there:
                part_of(results, index).save(member_directory(digest))
                missing.discard(digest)


def keep_finished() -> None:
    """Keep the members of shards whose process was killed while it kept them."""
    for finished in (cache_directory() / "shards").glob(f"*/{_FINISHED}"):
        _put_in_place(finished.parent)


def _put_in_place(directory: Path) -> None:
    for member in (directory / _FINISHED).iterdir():
        place = member_directory(member.name)
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(member, place)
            except OSError:
                # Of another shard or by another process.
                if not kept(member.name):
                    raise
    # The checkpoint first, since without the finished members nobody would look for it.
    remove_checkpoint(directory / "checkpoint")
    shutil.rmtree(directory, ignore_errors=True)
