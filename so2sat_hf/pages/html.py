"""One page of HTML that needs nothing else: no server, no network, no script of others.

What comes from data goes through :func:`text`, which escapes it; the other functions take HTML and return it.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from so2sat_hf.facts.nouns import LCZClass
from so2sat_hf.pages.drawing import png_of


def text(value: object) -> str:
    """Return anything as text of a page, also inside an attribute.

    >>> text("<b>")
    '&lt;b&gt;'
    """
    return html.escape(str(value), quote=True)


def page(title: str, body: str, *, style: str = "", script: str = "", images: str = "data:") -> str:
    """Return a whole page. It may load nothing but what is named here, and run no other script than this.

    Args:
        title: plain text.
        body: HTML.
        style: CSS after that of every page.
        script: JavaScript, run at the end of the body.
        images: where pictures may come from, as in a Content-Security-Policy.
    """
    css = (files(__package__) / "page.css").read_text(encoding="utf-8") + style
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    runs = f" script-src 'sha256-{digest}';" if script else ""
    policy = f"default-src 'none'; img-src {images}; style-src 'unsafe-inline';{runs}"
    end = f"<script>{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"{end}</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a passage with a heading of plain text and parts of HTML."""
    return "\n".join([f"<h2>{text(title)}</h2>", *parts])


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[int] = (), marked: int | None = None
) -> str:
    """Return a table that scrolls sideways where it is too wide.

    Args:
        head: plain text of the columns.
        rows: HTML of the cells.
        left: columns of text, from 0; the others hold numbers.
        marked: a row that stands out, from 0.
    """

    def cell(kind: str, number: int, content: str) -> str:
        name = ' class="text"' if number in left else ""
        return f"<{kind}{name}>{content}</{kind}>"

    heads = "".join(cell("th", number, text(name)) for number, name in enumerate(head))
    lines = [f"<tr>{heads}</tr>"]
    for number, row in enumerate(rows):
        cells = "".join(cell("td", column, content) for column, content in enumerate(row))
        lines.append(f'<tr class="marked">{cells}</tr>' if number == marked else f"<tr>{cells}</tr>")
    body = "\n".join(lines)
    return f'<div class="wide"><table>\n{body}\n</table></div>'


def chip(lcz: LCZClass, *, named: bool = True) -> str:
    """Return the colour of a class and its code, with its name."""
    words = f"{lcz.code} {lcz.name}" if named else lcz.code
    return f'<span class="chip" style="background:{lcz.color}"></span>{text(words)}'


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture of (height, width, 3) as PNG."""
    return png_of(Image.fromarray(pixels))


def picture(pixels: NDArray[np.uint8], description: str) -> str:
    """Return a picture of (height, width, 3), as PNG inside the page.

    Args:
        pixels: red, green, blue.
        description: plain text, for those who do not see it.
    """
    data = base64.b64encode(png(pixels)).decode()
    height, width = pixels.shape[:2]
    size = f'width="{width}" height="{height}"'
    return f'<img src="data:image/png;base64,{data}" {size} alt="{text(description)}">'


def share(value: float, digits: int = 1) -> str:
    """Return a share as per cent, or a dash where nothing tells.

    >>> share(0.256)
    '25.6'
    """
    return "-" if np.isnan(value) else f"{100 * value:.{digits}f}"
