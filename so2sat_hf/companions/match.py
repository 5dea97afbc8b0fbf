"""Rows of version 3 -> rows of version 2, by a 128-bit hash of what is stored of each patch.

So ``random`` and ``block`` need no second copy, and gain ids, cities and positions.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import xxhash
from numpy.typing import NDArray

from so2sat_hf.convert.cells import CULTURE_10, VERSION_3_SPLITS
from so2sat_hf.convert.executor import run
from so2sat_hf.convert.membership import NEITHER, TEST, TRAIN, Membership
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, FILE_OF_SPLIT, PatchBlock, Source, row_id
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import SourceError

PIECE_ROWS = 4096
"""Rows hashed by one task."""

BLOCK_ROWS = 256
"""Rows in memory at a time, 19 MB."""

Keys = NDArray[np.uint64]
"""(n, 2): high and low half of the hash of each patch."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A piece of a split to hash. Picklable."""

    source: Source
    split: str
    rows: range


def hash_patches(
    source: Source, *, jobs: int | None = None, progress: Callable[[int], None] | None = None
) -> dict[str, Keys]:
    """Split -> hashes of its patches in stored order: ``sen1``, digital numbers of ``sen2``, label.

    Args:
        source: must have both sensors.
        jobs: processes at work, this one among them; default: one per core.
        progress: called with the rows hashed.

    Raises:
        SourceError: no pixels of one sensor, or what reading can raise.
    """
    missing = sorted({"sen1", "sen2"} - set(source.columns))
    if missing:
        raise SourceError(
            "source", found=f"no {missing[0]}", expected="both sensors: patches are matched by all values"
        )
    tasks = {
        (split, first): _Task(source, split, range(first, min(first + PIECE_ROWS, num_rows)))
        for split, num_rows in source.num_rows.items()
        for first in range(0, num_rows, PIECE_ROWS)
    }
    keys = {split: np.empty((num_rows, 2), np.uint64) for split, num_rows in source.num_rows.items()}
    for (split, first), part in run(_hash_piece, tasks, jobs=jobs):
        keys[split][first : first + len(part)] = part
        if progress:
            progress(len(part))
    return keys


def _hash_piece(task: _Task) -> Keys:
    blocks = task.source.blocks(
        task.split, task.rows, columns=("id", "sen1", "sen2", "label"), size=BLOCK_ROWS, reuse=True
    )
    return np.concatenate([hash_block(block) for block in blocks])


def hash_block(block: PatchBlock) -> Keys:
    """Return (n, 2) hashes; equal patches with equal labels have equal ones, whatever file they are from."""
    if block.sen1 is None or block.sen2 is None:
        raise SourceError("source", found="a block without pixels", expected="both sensors")
    sen1 = block.sen1 + np.float32(0)  # -0.0 and 0.0 are one value
    number = np.multiply(block.sen2, DN_PER_REFLECTANCE, dtype=np.float64)  # also off the grid
    sen2 = np.rint(number).astype(np.int32)
    keys = np.empty((len(block), 2), np.uint64)
    for row in range(len(block)):
        digest = xxhash.xxh3_128(sen1[row].data)
        digest.update(sen2[row].data)
        digest.update(int(block.label[row]).to_bytes(1, "little"))
        keys[row] = np.frombuffer(digest.digest(), ">u8")
    return keys


def match(
    version_3: RawSource,
    base: Source,
    base_keys: Mapping[str, Keys],
    *,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Membership:
    """Find every row of one split of version 3 among the rows of version 2.

    Args:
        version_3: training.h5 and testing.h5 of ``random``, ``block`` or ``culture_10``.
        base: version 2 or 4: the HDF5 files, or a folder built from them.
        base_keys: :func:`hash_patches` of ``base``.
        jobs: as in :func:`hash_patches`.
        progress: called with the rows hashed.

    Returns:
        The membership of that split alone; of ``culture_10``, which follows from version 2, no membership:
        its rows are only checked.

    Raises:
        SourceError: a row without partner, or in train and test at once.
    """
    check_pair(version_3, base)
    found = hash_patches(version_3, jobs=jobs, progress=progress)
    keys, rows = [], {}
    for split, stem in FILE_OF_SPLIT.items():
        order = np.argsort(base.hdf5_rows(split))
        keys.append(base_keys[split][order])
        rows[stem] = len(order)
    codes, partners, problems = assign(np.concatenate(keys), found["train"], found["test"])
    for problem in problems:
        _refuse(version_3, problem)
    name, empty = version_3.layout, without_members(base)
    if name not in VERSION_3_SPLITS:
        _check_culture_10(version_3, codes, empty)
        return empty
    return replace(empty, members={name: codes}, version_3_rows={name: partners})


def check_pair(version_3: RawSource, base: Source) -> None:
    """Refuse what cannot be matched, before a pixel is read.

    Raises:
        SourceError: no split of version 3, or not all three files of version 2.
    """
    if set(version_3.num_rows) != {"train", "test"} or version_3.layout == CULTURE_10:
        raise SourceError(
            version_3.folder,
            found=f"splits {', '.join(version_3.num_rows)} in a folder of that name",
            expected="a folder random, block or culture_10 of version 3, with training.h5 and testing.h5",
            remedy="let its download finish, or move it away; a build leaves it alone with --no-match",
        )
    if base.layout != CULTURE_10 or set(base.num_rows) != set(FILE_OF_SPLIT):
        raise SourceError(
            "--against",
            found=f"{base.layout} with {', '.join(base.num_rows)}",
            expected="training, validation and testing of version 2 or 4, or a folder built from them",
            remedy="so2sat match V3/random --against RAW",
        )


def without_members(base: Source) -> Membership:
    """Return the rows and labels of version 2, with nothing known of version 3 yet."""
    labels = [base.labels(split)[np.argsort(base.hdf5_rows(split))] for split in FILE_OF_SPLIT]
    rows = {stem: base.num_rows[split] for split, stem in FILE_OF_SPLIT.items()}
    return Membership(rows, np.concatenate(labels).astype(np.uint8), {}, {})


@dataclass(frozen=True, slots=True)
class Problem:
    """Rows of version 3 that have no place among those of version 2."""

    what: str
    """What is the matter."""

    split: str
    """``train`` or ``test`` of version 3."""

    rows: tuple[int, ...]
    """Which rows of its file."""


def assign(base: Keys, train: Keys, test: Keys) -> tuple[NDArray[np.uint8], NDArray[np.int32], list[Problem]]:
    """Pair rows with equal hashes: each row of version 2 once, those that come first first. Pure.

    Args:
        base: (N, 2) hashes of version 2, in the order training, validation, testing.
        train: (n, 2) hashes of version 3.
        test: (m, 2) hashes of version 3.

    Returns:
        (N,) codes of :mod:`~so2sat_hf.convert.membership`; (N,) row of version 3, -1 without; what does not
        fit.
    """
    keys = np.concatenate([base, train, test])
    order = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(is_first) - 1
    begin = np.flatnonzero(is_first)
    is_base = order < len(base)
    num_base = np.bincount(group[is_base], minlength=len(begin))

    place = np.flatnonzero(~is_base)
    rank = place - begin[group[place]] - num_base[group[place]]
    fits = rank < num_base[group[place]]
    row = order[place] - len(base)
    partner = order[begin[group[place[fits]]] + rank[fits]]
    codes = np.full(len(base), NEITHER, np.uint8)
    rows = np.full(len(base), -1, np.int32)
    in_train = row < len(train)
    codes[partner] = np.where(in_train[fits], TRAIN, TEST)
    rows[partner] = np.where(in_train, row, row - len(train))[fits]

    in_group = np.bincount(group[place[in_train]], minlength=len(begin))
    in_both = (in_group > 0) & (np.bincount(group[place[~in_train]], minlength=len(begin)) > 0)
    left = ~fits
    kind = np.where(num_base[group[place]] == 0, 0, np.where(in_both[group[place]], 1, 2))
    return codes, rows, list(_problems(left, kind, in_train, np.where(in_train, row, row - len(train))))


WHAT = (
    "no partner in version 2",
    "the patch and label of a row of train: they are in train and test at once",
    "more copies here than in version 2",
)


def _problems(
    left: NDArray[np.bool_],
    kind: NDArray[np.int64],
    in_train: NDArray[np.bool_],
    row: NDArray[np.int64],
) -> Iterator[Problem]:
    for index, what in enumerate(WHAT):
        for split, mask in (("train", in_train), ("test", ~in_train)):
            chosen = np.sort(row[left & (kind == index) & mask])
            if len(chosen):
                yield Problem(what, split, tuple(chosen.tolist()))


def _refuse(version_3: RawSource, problem: Problem) -> None:
    file = version_3.file(problem.split)
    rows = problem.rows
    raise SourceError(
        file.path,
        found=f"{len(rows):,} of {file.num_rows:,} rows have {problem.what}, e.g. row {rows[0]}",
        expected="the patches of version 2, each of them in train, in test or in neither",
        remedy="check with `so2sat info --checksum` that both versions are the published files",
    )


def _check_culture_10(version_3: RawSource, codes: NDArray[np.uint8], base: Membership) -> None:
    """Version 3 culture_10: train is training.h5, test the rest, nothing left out."""
    expected = np.where(np.arange(len(codes)) < base.rows["training"], TRAIN, TEST)
    wrong = np.flatnonzero(codes != expected)
    if len(wrong):
        places = {stem: base.of_file(stem) for stem in base.rows}
        stem = next(stem for stem, place in places.items() if wrong[0] < place.stop)
        example = row_id(stem, int(wrong[0]) - places[stem].start)
        raise SourceError(
            version_3.folder,
            found=f"{len(wrong):,} rows of version 2 are elsewhere or left out, e.g. {example}",
            expected="training.h5 of version 2 as train, validation.h5 and testing.h5 as test",
            remedy="check with `so2sat info --checksum` that both versions are the published files",
        )


def merged(first: Membership | None, second: Membership) -> Membership:
    """Join memberships of the same rows; what the second one knows replaces what the first one knows.

    Raises:
        SourceError: they belong to different rows.
    """
    if first is None:
        return second
    if dict(first.rows) != dict(second.rows) or not np.array_equal(first.label, second.label):
        raise SourceError(
            "membership",
            found="the table that is there was made from other files",
            expected="the same files of version 2 for every split of version 3",
            remedy="write to another file with --output, or remove the old one",
        )
    members = {**first.members, **second.members}
    rows = {**first.version_3_rows, **second.version_3_rows}
    ordered = [name for name in VERSION_3_SPLITS if name in members]
    return Membership(
        first.rows, first.label, {n: members[n] for n in ordered}, {n: rows[n] for n in ordered}
    )
