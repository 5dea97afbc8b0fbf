"""``mini``: 60 patches of each class, to try things on; about 40 MB.

The rule is fixed: in each class and split the patches whose ids have the smallest hashes, 40 of train, 10 of
validation, 10 of test; where a split has too few of a class, more of the others.
"""

import numpy as np
import xxhash
from numpy.typing import NDArray

from so2sat_hf.convert.blueprint import Blueprint, CompanionPlan, PlannedFile, pick
from so2sat_hf.convert.encode import DataEncoder
from so2sat_hf.convert.patches import FILE_OF_SPLIT, row_id
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.table import features
from so2sat_hf.facts import NUM_CLASSES

PER_CLASS = 60
PER_SPLIT = {"train": 40, "validation": 10, "test": 10}


def plan_mini(blueprint: Blueprint) -> CompanionPlan:
    """Choose the patches of ``mini``; its files have the columns of the data files."""
    kinds = features(blueprint.columns, sen2_dtype=blueprint.sen2_dtype)
    encoder = DataEncoder(kinds.arrow_schema.serialize().to_pybytes())
    chosen = choose(blueprint)
    files = [
        PlannedFile(
            f"mini/{split}{SUFFIX[blueprint.file_format]}",
            split,
            pick(blueprint.parts_of(split), positions),
            encoder,
        )
        for split, positions in chosen.items()
        if len(positions)
    ]
    return CompanionPlan("mini", kinds.to_dict(), tuple(files))


def choose(blueprint: Blueprint) -> dict[str, NDArray[np.int64]]:
    """Split -> positions in the order of the data files, increasing."""
    queues: dict[tuple[str, int], NDArray[np.int64]] = {}
    for split in blueprint.splits:
        stored = np.concatenate([np.asarray(rows) for rows in blueprint.parts_of(split)])
        labels = blueprint.source.labels(split)[stored]
        ranks = _ranks(FILE_OF_SPLIT[split], blueprint.source.hdf5_rows(split)[stored])
        for index in range(NUM_CLASSES):
            inside = np.flatnonzero(labels == index)
            queues[split, index] = inside[np.argsort(ranks[inside], kind="stable")]
    counts = {key: min(len(queue), PER_SPLIT[key[0]]) for key, queue in queues.items()}
    for index in range(NUM_CLASSES):
        missing = PER_CLASS - sum(counts[split, index] for split in blueprint.splits)
        for split in blueprint.splits:
            more = min(missing, len(queues[split, index]) - counts[split, index])
            counts[split, index] += more
            missing -= more
    return {
        split: np.sort(
            np.concatenate([queues[split, index][: counts[split, index]] for index in range(NUM_CLASSES)])
        )
        for split in blueprint.splits
    }


def _ranks(stem: str, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash of the id of every row: an order that has nothing to do with city, class or file."""
    return np.array([xxhash.xxh3_64_intdigest(row_id(stem, int(row)).encode()) for row in rows], np.uint64)
