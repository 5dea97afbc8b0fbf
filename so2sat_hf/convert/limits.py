"""What a file may claim before anything is allocated for it. Pure."""

import math

from so2sat_hf.errors import SourceError

MOST_PACKED = 1100
"""Bytes that a byte of deflate can stand for: 1,032 and no more."""

MOST_CHUNK = 1 << 29
"""Bytes of a chunk, which is unpacked as a whole; published files have none or small ones."""

MOST_ROWS = 100_000_000
"""Patches of a dataset; the published one has 400,673."""


def check_dataset(
    path: object,
    key: str,
    *,
    shape: tuple[int, ...],
    itemsize: int,
    stored: int,
    chunk: tuple[int, ...] | None,
) -> None:
    """Refuse a dataset that claims more than its file can hold.

    Args:
        path: of the file.
        key: of the dataset.
        shape: that it claims.
        itemsize: bytes of an element.
        stored: bytes that it takes in the file.
        chunk: shape of its chunks; None without.

    Raises:
        SourceError: it does.
    """
    claimed = math.prod(shape) * itemsize
    if claimed > stored * MOST_PACKED:
        raise SourceError(
            path,
            found=f"{key} of shape {shape} in {stored:,} bytes",
            expected=f"{claimed:,} bytes, or a part of them if they are compressed",
            remedy="download it again",
        )
    size = math.prod(chunk or ()) * itemsize
    if size > MOST_CHUNK:
        raise SourceError(
            path,
            found=f"chunks of {size:,} bytes in {key}",
            expected=f"at most {MOST_CHUNK:,}: a chunk is unpacked as a whole",
            remedy="write the file anew with smaller chunks (h5repack)",
        )


def check_packed(path: object, *, claimed: int, stored: int) -> None:
    """Refuse an archive whose content claims to be larger than it can be.

    Raises:
        SourceError: it does.
    """
    if claimed > stored * MOST_PACKED:
        raise SourceError(
            path,
            found=f"{stored:,} bytes that claim to unpack to {claimed:,}",
            expected=f"at most {MOST_PACKED} times as many",
            remedy="download it again",
        )
