"""What commands give back: tables on standard output, and files that users name."""

from collections.abc import Sequence
from pathlib import Path

import click

from so2sat_hf.errors import FolderError


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> None:
    """Print columns: those whose numbers are in ``left`` aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())


def check_folder_of(path: Path) -> None:
    """Refuse a file in a folder that is not there, before hours are spent on what it gets.

    Raises:
        FolderError: that.
    """
    if not path.absolute().parent.is_dir():
        raise FolderError(path.absolute().parent, found="no such folder", remedy="make it first")


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that a user named, all at once; a link or a device, such as ``/dev/stdout``, stays one.

    Raises:
        FolderError: it cannot be written.
    """
    from so2sat_hf.convert.writing import write_bytes

    check_folder_of(path)
    data = content.encode() if isinstance(content, str) else content
    if path.is_symlink() or (path.exists() and not path.is_file()):
        try:
            path.write_bytes(data)
        except OSError as error:
            raise FolderError(path, found=error.strerror or str(error), expected="a file to write") from error
    else:
        write_bytes(path, data)
