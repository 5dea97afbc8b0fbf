"""Cells: patches that every published version treats alike, and the splits that are made of them. Pure.

All versions hold the same patches, grouped differently. So a patch is stored once, in a file of the cell that
it belongs to, and each published split is a list of cells.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SPLITS = ("train", "validation", "test")
"""Of culture 10, in the order of the paper: the folders of the data."""

CULTURE_10 = "culture_10"
VERSION_3_SPLITS = ("random", "block")
"""Splits of version 3 that group the patches in a way of their own."""

LAYOUTS = {"random": "random", "block": "block", "culture_10": "culture_10_v3"}
"""Folder of version 3 -> config; each holds training.h5 and testing.h5, no validation.h5."""

MEMBERSHIP = {"1": "in train", "0": "in test", "x": "in neither"}
"""What a patch can be to a split of version 3."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Patches of one culture-10 split that are alike in every other known split."""

    split: str
    """``train``, ``validation`` or ``test``: the folder."""

    random: str | None = None
    """``"1"`` in train of version 3 random, ``"0"`` in its test, ``"x"`` in neither; None: not known."""

    block: str | None = None
    """The same for version 3 block."""

    @property
    def tag(self) -> str:
        """Membership as it stands in file names.

        >>> Cell("train", "1", "0").tag, Cell("train", "1").tag, Cell("train").tag
        ('r1b0', 'r1', '')
        """
        known = zip("rb", (self.random, self.block), strict=True)
        return "".join(f"{letter}{value}" for letter, value in known if value is not None)

    @property
    def key(self) -> str:
        """Name of the cell in a manifest.

        >>> Cell("train", "1", "0").key, Cell("test").key
        ('train/r1b0', 'test')
        """
        return f"{self.split}/{self.tag}" if self.tag else self.split

    @classmethod
    def parse(cls, key: str) -> "Cell":
        """Read :attr:`key`.

        >>> Cell.parse("train/r1b0")
        Cell(split='train', random='1', block='0')

        Raises:
            ValueError: not such a key.
        """
        split, _, tag = key.partition("/")
        known = {tag[i : i + 1]: tag[i + 1 : i + 2] for i in range(0, len(tag), 2)}
        cell = cls(split, known.get("r"), known.get("b"))
        if cell.key != key or not split or not set(known.values()) <= set(MEMBERSHIP):
            raise ValueError(f"{key!r} names no cell")
        return cell


def splits_of(cells: Iterable[Cell], layout: str = CULTURE_10) -> dict[str, dict[str, tuple[Cell, ...]]]:
    """Config -> split -> cells, for every version that these cells make up.

    Args:
        cells: in the order of their files.
        layout: the config that their split names belong to; another one than culture_10 where a split of
            version 3 was built alone.
    """
    cells = tuple(cells)
    by_split = _grouped(cells, {name: name for name in SPLITS}, "split")
    configs = {layout: by_split}
    if layout != CULTURE_10:
        return configs
    if "train" in by_split and "validation" in by_split:
        configs["v1"] = {"train": by_split["train"], "validation": by_split["validation"]}
    if len(by_split) == 3:  # version 3 has no validation: its test is both
        both = (*by_split["validation"], *by_split["test"])
        configs["culture_10_v3"] = {"train": by_split["train"], "test": both}
    for name in VERSION_3_SPLITS:
        if len(by_split) == 3 and all(getattr(cell, name) is not None for cell in cells):
            configs[name] = _grouped(cells, {"1": "train", "0": "test"}, name)
    return configs


def _grouped(cells: Iterable[Cell], names: Mapping[str, str], attribute: str) -> dict[str, tuple[Cell, ...]]:
    """Split -> cells by the value of an attribute, without empty splits."""
    groups = {
        split: tuple(cell for cell in cells if getattr(cell, attribute) == value)
        for value, split in names.items()
    }
    return {split: members for split, members in groups.items() if members}
