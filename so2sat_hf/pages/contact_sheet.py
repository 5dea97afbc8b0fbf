"""A contact sheet: what some patches look like, in the pictures of :mod:`so2sat_hf.pages.panels`, on one PNG.

The sheet says itself which bands it shows, and how their values become brightness.
"""

import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from so2sat_hf import facts
from so2sat_hf.convert.patches import PATCH_SIZE, PatchBlock, Source
from so2sat_hf.convert.writing import write_bytes
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.pages.choice import Wish, choose, city_name
from so2sat_hf.pages.drawing import BACKGROUND, INK, LINE, MUTED, png_of
from so2sat_hf.pages.panels import PANELS, Panel

ZOOM = 4
"""Sheet pixels along each side of a patch pixel."""

MAX_WIDTH = 1300
"""Cells go side by side as long as the sheet gets no wider than this, in pixels."""

MARGIN, GAP, PANEL_GAP = 26, 30, 4


def show(
    source: Source,
    output: Path,
    wish: Wish | None = None,
    *,
    name: str,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Write a contact sheet.

    Args:
        source: where the patches come from; only the chosen ones are read.
        output: the PNG; a file of that name is replaced.
        wish: which patches.
        name: what the source is called, for the head of the sheet.
        progress: called with the patches read.

    Returns:
        The ids of the patches, in the order of the sheet.

    Raises:
        So2SatError: no such split, class or city, no patch that matches, or no pixels in the source.
        FolderError: the file cannot be written.
    """
    _check_output(output)
    choice = choose(source, wish or Wish())
    patches: list[PatchBlock] = []
    for row in choice.rows:
        patches += source.blocks(choice.split, range(row, row + 1), columns=source.columns, size=1)
        if progress:
            progress(1)
    number = f"{len(patches):,} of {choice.num_matching:,} patches"
    title = " · ".join((name, choice.split, f"{number} {choice.filters}".strip()))
    write_bytes(output, png_of(contact_sheet(patches, title)))
    return [patch.ids[0] for patch in patches]


def contact_sheet(blocks: Sequence[PatchBlock], title: str) -> Image.Image:
    """Draw patches, one cell each. Pure: nothing is read or written.

    Args:
        blocks: the patches, in any number of blocks; pictures are drawn of the sensors that all blocks have.
        title: first line of the sheet.

    Returns:
        An RGB image; its size follows from the number of patches and pictures.

    Raises:
        So2SatError: no patch, or no pixels.
    """
    if not sum(len(block) for block in blocks):
        raise So2SatError("contact sheet", found="no patch", expected="at least one")
    panels = [panel for panel in PANELS if all(getattr(block, panel.sensor) is not None for block in blocks)]
    if not panels:
        raise So2SatError(
            "contact sheet",
            found="neither sen1 nor sen2 in the patches",
            expected="at least one of them",
            remedy="take the HDF5 files, or build again with sen1 or sen2 among --columns",
        )
    cells = [_Cell.of(block, row, panels) for block in blocks for row in range(len(block))]
    return _Sheet(title, panels, cells).draw()


@dataclass(frozen=True, slots=True)
class _Cell:
    """One patch on the sheet."""

    pictures: tuple[Image.Image, ...]  # one a panel
    color: str  # of the class
    left: str  # class
    right: str  # place and id

    @classmethod
    def of(cls, block: PatchBlock, row: int, panels: Sequence[Panel]) -> "_Cell":
        lcz = facts.classes()[int(block.label[row])]
        place = [city_name(block.geo.city[row])] if block.geo else []
        size = (PATCH_SIZE * ZOOM, PATCH_SIZE * ZOOM)
        pictures = (Image.fromarray(panel.draw(block, row)) for panel in panels)
        return cls(
            pictures=tuple(picture.resize(size, Image.Resampling.NEAREST) for picture in pictures),
            color=lcz.color,
            left=f"LCZ {lcz.code}  {lcz.name}",
            right=_drawable(" · ".join((*place, block.ids[row]))),
        )


class _Sheet:
    """Where everything goes, and drawing it."""

    def __init__(self, title: str, panels: Sequence[Panel], cells: Sequence[_Cell]) -> None:
        self.title, self.panels, self.cells = _drawable(title), panels, cells
        self.fonts = {size: ImageFont.load_default(size=size) for size in (12, 13, 15, 20)}
        side = PATCH_SIZE * ZOOM
        pictures = len(panels) * (side + PANEL_GAP) - PANEL_GAP
        lefts = [20 + self._width(cell.left, 15) for cell in cells]
        rights = [self._width(cell.right, 13) for cell in cells]
        self.two_lines = max(map(sum, zip(lefts, rights, strict=True))) + 16 > pictures
        heads = self._width(panels[-1].title, 13) + (len(panels) - 1) * (side + PANEL_GAP)
        self.cell_width = max(pictures, heads, *lefts, *(rights if self.two_lines else ()))
        self.cell_height = side + (46 if self.two_lines else 28) + 18
        fitting = (MAX_WIDTH - 2 * MARGIN + GAP) // (self.cell_width + GAP)
        self.num_columns = max(1, min(len(cells), fitting))

    def draw(self) -> Image.Image:
        """Return the sheet."""
        footer = [
            "10 m pixels, enlarged without smoothing. Black to full brightness, the same for every patch:",
            *(panel.stretch() for panel in self.panels),
        ]
        grid = self.num_columns * (self.cell_width + GAP) - GAP
        texts = (self._width(self.title, 20), *(self._width(text, 12) for text in footer))
        top = MARGIN + 28 + 18 + 40
        bottom = top + -(-len(self.cells) // self.num_columns) * self.cell_height
        size = (2 * MARGIN + max(grid, *texts), bottom + 12 + 17 * len(footer) + MARGIN - 6)
        sheet = Image.new("RGB", size, BACKGROUND)
        canvas = ImageDraw.Draw(sheet)
        self._text(canvas, (MARGIN, MARGIN + 18), self.title, 20)
        canvas.line((MARGIN, MARGIN + 32, size[0] - MARGIN, MARGIN + 32), LINE)
        for column in range(self.num_columns):
            self._heads(canvas, MARGIN + column * (self.cell_width + GAP), top)
        for number, cell in enumerate(self.cells):
            line, column = divmod(number, self.num_columns)
            place = (MARGIN + column * (self.cell_width + GAP), top + line * self.cell_height)
            self._cell(sheet, place, cell)
        canvas.line((MARGIN, bottom, size[0] - MARGIN, bottom), LINE)
        for number, text in enumerate(footer):
            self._text(canvas, (MARGIN, bottom + 22 + 17 * number), text, 12, MUTED)
        return sheet

    def _heads(self, canvas: ImageDraw.ImageDraw, x: int, top: int) -> None:
        """Write over each picture of a column what it shows."""
        for number, panel in enumerate(self.panels):
            left = x + number * (PATCH_SIZE * ZOOM + PANEL_GAP)
            self._text(canvas, (left, top - 26), panel.title, 13)
            self._text(canvas, (left, top - 10), panel.caption(), 12, MUTED)

    def _cell(self, sheet: Image.Image, place: tuple[int, int], cell: _Cell) -> None:
        (x, y), canvas = place, ImageDraw.Draw(sheet)
        side = PATCH_SIZE * ZOOM
        for number, picture in enumerate(cell.pictures):
            sheet.paste(picture, (x + number * (side + PANEL_GAP), y))
        base = y + side + 19
        canvas.rectangle((x, base - 12, x + 12, base), cell.color, LINE)
        self._text(canvas, (x + 20, base), cell.left, 15)
        if self.two_lines:
            self._text(canvas, (x, base + 18), cell.right, 13, MUTED)
        else:
            right = x + len(cell.pictures) * (side + PANEL_GAP) - PANEL_GAP
            self._text(canvas, (right - self._width(cell.right, 13), base), cell.right, 13, MUTED)

    def _text(
        self, canvas: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, color: str = INK
    ) -> None:
        """Write text that begins at a place, standing on its base line."""
        canvas.text(place, text, color, self.fonts[size], anchor="ls")

    def _width(self, text: str, size: int) -> int:
        return int(self.fonts[size].getlength(text)) + 1


def _drawable(text: str) -> str:
    """Spell a text with the letters of Pillow's own font, which has no accents.

    >>> _drawable("São Paulo")
    'Sao Paulo'
    """
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" or c == "·" else "?" for c in letters)


def _check_output(output: Path) -> None:
    """Refuse a file that cannot be written, before anything is read."""
    folder = output.resolve().parent
    if output.suffix.lower() != ".png":
        raise FolderError(output, found=f"ends in {output.suffix!r}", expected="a name that ends in .png")
    if not folder.is_dir():
        raise FolderError(
            folder, found="no such folder", expected="one to write to", remedy="create it first"
        )
    if output.is_dir():
        raise FolderError(output, found="a folder", expected="the name of a file")
    if not os.access(folder, os.W_OK):
        raise FolderError(folder, found="not writable", expected="one to write to", remedy="choose another")
