"""Change bytes and trees of plain values, by a seed."""

import copy
from random import Random
from typing import Any

ENDS = 8192
"""Bytes at both ends of a file where headers and footers are."""

ODD_NUMBERS = (0, 1, -1, 2, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32, 2**62, -(2**63), 10**12, 10**30)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, *ODD_NUMBERS, 0.5, -1e308, 1e400, float("nan")),
    *("", "x", "../../../etc/passwd", "/etc/passwd", "a\0b", "training/000001", "é" * 40, "9" * 5000),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": [1]}}),
)


def damaged(content: bytes, rng: Random) -> bytes:
    """Return other bytes: a few of the changes below."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        content = rng.choice(CHANGES)(bytearray(content), rng)
    return content


def _place(content: bytearray, rng: Random) -> int:
    """Return a position, most often near one of the ends."""
    size = len(content)
    if not size:
        return 0
    near = min(size, ENDS)
    return rng.choice((rng.randrange(near), size - 1 - rng.randrange(near), rng.randrange(size)))


def _flip(content: bytearray, rng: Random) -> bytes:
    if content:
        content[_place(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(content)


def _byte(content: bytearray, rng: Random) -> bytes:
    if content:
        content[_place(content, rng)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(content)


def _number(content: bytearray, rng: Random) -> bytes:
    """Write a number where a length, a count or an address may be."""
    width, at = rng.choice((2, 4, 8)), _place(content, rng)
    value = rng.choice(ODD_NUMBERS) % 256**width
    content[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
    return bytes(content)


def _zeros(content: bytearray, rng: Random) -> bytes:
    at, length = _place(content, rng), rng.choice((4, 64, 512, 4096))
    content[at : at + length] = bytes(len(content[at : at + length]))
    return bytes(content)


def _cut(content: bytearray, rng: Random) -> bytes:
    return bytes(content[: _place(content, rng)])


def _hole(content: bytearray, rng: Random) -> bytes:
    """Leave some bytes out, so that all later ones move."""
    at = _place(content, rng)
    return bytes(content[:at] + content[at + rng.choice((1, 8, 512)) :])


def _splice(content: bytearray, rng: Random) -> bytes:
    """Copy a piece of the file over another one."""
    start, at, length = _place(content, rng), _place(content, rng), rng.choice((8, 64, 1024, 8192))
    piece = content[start : start + length]
    content[at : at + len(piece)] = piece
    return bytes(content)


def _more(content: bytearray, rng: Random) -> bytes:
    return bytes(content) + rng.randbytes(rng.choice((1, 16, 4096)))


CHANGES = (_flip, _flip, _byte, _number, _number, _zeros, _cut, _hole, _splice, _more)


def changed_tree(value: Any, rng: Random) -> Any:
    """Return other plain values (of JSON, TOML, YAML): one to three nodes are changed, left out or added."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        nodes = list(_nodes(value))
        if not nodes:
            return rng.choice(ODD_VALUES)
        parent, key = rng.choice(nodes)
        _change(parent, key, nodes, rng)
    return value


def _change(parent: Any, key: Any, nodes: list[tuple[Any, Any]], rng: Random) -> None:
    kind = rng.randrange(6)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[rng.choice(("x", "__class__", "../x", "", str(key).upper()))] = parent.pop(key)
    elif kind == 1:
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind == 2:
        other, where = rng.choice(nodes)
        try:
            parent[key] = copy.deepcopy(other[where])
        except (KeyError, IndexError):  # changed meanwhile
            parent[key] = None
    elif kind == 3 and isinstance(parent[key], str):
        text = parent[key]
        at = rng.randrange(len(text) + 1)
        parent[key] = (
            text[:at] + rng.choice(("", "/", "..", "\0", "\n", "x" * 300, "*", "{", "ä")) + text[at + 1 :]
        )
    elif kind == 3 and isinstance(parent[key], int | float):
        parent[key] = parent[key] + rng.choice((1, -1, 0.5, 10**6, 10**15))
    else:
        parent[key] = copy.deepcopy(rng.choice(ODD_VALUES))


def _nodes(value: Any) -> Any:
    """Yield (container, key) of every node below the top."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(pairs):
        yield value, key
        yield from _nodes(child)
