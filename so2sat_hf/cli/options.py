"""Options that several commands have, with one wording each."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = click.Path(path_type=Path)
SPLITS = click.Choice(["train", "validation", "test"])
VALUES = click.Choice(["number", "wudapt"])

JOBS = click.option(
    "--jobs", "-j", type=click.IntRange(min=1), help="Processes at work; default: one per core."
)
WORK = click.option("--work", type=PATH, help="Where .h5.gz files are unpacked; default: beside them.")


def timeout_after(seconds: float) -> "Callable[[Any], Any]":
    """Return the option for the silence of a server, with its default."""
    return click.option(
        "--timeout",
        default=seconds,
        show_default=True,
        type=click.FloatRange(min=0, min_open=True),
        help="Seconds without a byte until a connection counts as lost.",
    )


class _PaletteOption(click.Option):
    """Lists the palettes in its help, which reads their file only then."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from so2sat_hf.facts.labels import palettes

        self.help = f"Colours: {', '.join(palettes())}."
        return super().get_help_record(ctx)


PALETTE = click.option("--palette", cls=_PaletteOption, default="standard", show_default=True)
