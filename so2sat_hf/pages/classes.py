"""The picture at the head of a dataset's page: one patch of each class, with the colour of the class.

Six in a row, each in true colour and in radar, drawn with the panels and fixed stretches of
:mod:`so2sat_hf.pages.panels`; wide and low, so that the page goes on below it.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from so2sat_hf import facts
from so2sat_hf.convert.patches import PATCH_SIZE, PatchBlock, Source
from so2sat_hf.pages.choice import Wish, choose
from so2sat_hf.pages.drawing import BACKGROUND, INK, LINE, MUTED, png_of
from so2sat_hf.pages.panels import PANELS, Panel

IN_A_ROW = 6
SIDE = 3 * PATCH_SIZE
"""Of a picture: three sheet pixels along each side of a patch pixel."""

MARGIN, GAP, PANEL_GAP = 16, 18, 4
CELL_WIDTH, CELL_HEIGHT = 2 * SIDE + PANEL_GAP, SIDE + 50
LINE_HEIGHT = 16


def class_picture(source: Source, *, columns: tuple[str, ...] = ()) -> bytes | None:
    """Draw one patch of each class that the first split of a source has.

    Which patches follows from ids and labels alone, so HDF5 files and a folder built from them give the same
    picture; its bytes depend on the version of Pillow besides.

    Args:
        source: where the patches come from; pixels are read of those that are drawn.
        columns: what may be read; default: all that the source has.

    Returns:
        A PNG, or None without pixels.
    """
    kept = tuple(name for name in source.columns if name in (columns or source.columns))
    panels = [panel for panel in PANELS if panel.sensor in kept]
    if not panels:
        return None
    choice = choose(source, Wish(count=len(facts.classes())))
    patches = [
        block
        for row in choice.rows
        for block in source.blocks(choice.split, range(row, row + 1), columns=kept, size=1)
    ]
    shown = list(dict.fromkeys((panels[0], panels[-1])))
    return png_of(_draw(patches, shown, choice.split))


def _draw(patches: Sequence[PatchBlock], panels: Sequence[Panel], split: str) -> Image.Image:
    """Return the picture of blocks of one patch each."""
    footer = [
        f"One patch of each class, out of {split}. Pixels of 10 m, enlarged without smoothing.",
        *(f"{panel.stretch()}, from black to full brightness" for panel in panels),
    ]
    num_rows = -(-len(patches) // IN_A_ROW)
    bottom = MARGIN + num_rows * CELL_HEIGHT
    width = 2 * MARGIN + IN_A_ROW * (CELL_WIDTH + GAP) - GAP
    sheet = Image.new("RGB", (width, bottom + len(footer) * LINE_HEIGHT + MARGIN), BACKGROUND)
    canvas = ImageDraw.Draw(sheet)
    for number, block in enumerate(patches):
        line, column = divmod(number, IN_A_ROW)
        place = (MARGIN + column * (CELL_WIDTH + GAP), MARGIN + line * CELL_HEIGHT)
        _draw_cell(sheet, canvas, place, block, panels)
    font = ImageFont.load_default(size=12)
    for number, text in enumerate(footer):
        canvas.text((MARGIN, bottom + LINE_HEIGHT * (number + 1)), text, MUTED, font, anchor="ls")
    return sheet


def _draw_cell(
    sheet: Image.Image,
    canvas: ImageDraw.ImageDraw,
    place: tuple[int, int],
    block: PatchBlock,
    panels: Sequence[Panel],
) -> None:
    """Draw the pictures of a patch, and below them class and id."""
    x, y = place
    for number, panel in enumerate(panels):
        picture = Image.fromarray(panel.draw(block, 0)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        sheet.paste(picture, (x + number * (SIDE + PANEL_GAP), y))
    lcz = facts.classes()[int(block.label[0])]
    base = y + SIDE + 17
    canvas.rectangle((x, base - 11, x + 11, base), lcz.color, LINE)
    canvas.text((x + 18, base), f"{lcz.code}  {lcz.name}", INK, ImageFont.load_default(size=14), anchor="ls")
    canvas.text((x, base + LINE_HEIGHT), block.ids[0], MUTED, ImageFont.load_default(size=12), anchor="ls")
