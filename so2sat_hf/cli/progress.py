"""Progress on a terminal; silence anywhere else."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click


@contextmanager
def bar(total: int, unit: str, title: str) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left on standard error, if that is a terminal.

    Args:
        total: what 100 % is.
        unit: what is counted, e.g. ``"patches"``.
        title: what is being done.

    Yields:
        A function to call with how many more are done.
    """
    from tqdm import tqdm

    with tqdm(
        total=total,
        unit=f" {unit}",
        unit_scale=unit == "B",
        desc=title,
        disable=None,
        dynamic_ncols=True,
        smoothing=0.1,
    ) as shown:
        yield lambda count: (shown.update(count), None)[1]


@contextmanager
def counted(unit: str, title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar whose length is known later; yields a function to call with (done, in all)."""
    from tqdm import tqdm

    with tqdm(
        unit=f" {unit}",
        unit_scale=unit == "B",
        desc=title,
        disable=None,
        dynamic_ncols=True,
        smoothing=0.1,
    ) as shown:

        def advance_to(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield advance_to


@contextmanager
def bars(unit: str, title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each file; yields a function to call with (file name, done, in all)."""
    from tqdm import tqdm

    shown: dict[str, Any] = {}

    def advance(name: str, done: int, total: int) -> None:
        if name not in shown:
            shown[name] = tqdm(
                total=total,
                initial=done,
                unit=f" {unit}",
                unit_scale=unit == "B",
                desc=f"{title} {name}",
                disable=None,
            )
        shown[name].update(done - shown[name].n)

    try:
        yield advance
    finally:
        for each in shown.values():
            each.close()


def unpacking() -> AbstractContextManager[Callable[[str, int, int], None]]:
    """Show a bar for each archive that is unpacked; see :func:`bars`."""
    return bars("B", "unpack")


def note(text: str) -> None:
    """Say something that is not data, on standard error."""
    click.echo(text, err=True)


def warn(text: str) -> None:
    """Warn on standard error."""
    click.secho(f"Warning: {text}", err=True, fg="yellow")
