"""Progress on a terminal; silence anywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click


def _bar(unit: str, title: str, total: int | None = None) -> Any:  # noqa: ANN401
    from tqdm import tqdm

    return tqdm(
        total=total,
        unit=f" {unit}",
        unit_scale=unit == "B",
        desc=title,
        disable=None,
        dynamic_ncols=True,
        smoothing=0.1,
        delay=0.3,  # what is done at once needs no bar
    )


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
    with _bar(unit, title, total) as shown:
        yield lambda count: (shown.update(count), None)[1]


@contextmanager
def counted(unit: str, title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar from the first count to the last; yields a function to call with (done, in all)."""
    shown: list[Any] = []

    def advance_to(done: int, total: int) -> None:
        if not shown:
            shown.append(_bar(unit, title))
        shown[0].total = total
        shown[0].update(done - shown[0].n)
        if done == total:
            shown[0].close()

    try:
        yield advance_to
    finally:
        for each in shown:
            each.close()


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
                delay=0.3,
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
    _say(text)


def warn(text: str) -> None:
    """Warn on standard error."""
    _say(click.style(f"Warning: {text}", fg="yellow"))


def _say(text: str) -> None:
    """Write a line above the bars, if any is shown."""
    if "tqdm" not in sys.modules:
        click.echo(text, err=True)
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(sys.stderr):
        click.echo(text, err=True)
