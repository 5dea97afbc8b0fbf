"""Ctrl-C ends a command with one line, wherever it comes."""

import time
import weakref

import click
from click.testing import CliRunner

from so2sat_hf.cli.group import Group


@click.group(cls=Group)
def commands() -> None:
    """Ours."""


@commands.command()
def clean_up() -> None:
    """Python forgets what is raised in here."""

    class Something:
        pass

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    held = Something()
    watched = weakref.ref(held, interrupt)
    del held
    for _ in range(300):
        time.sleep(0.01)
    click.echo(f"never noticed {watched}")


def test_an_interrupt_while_python_cleans_up_is_not_lost() -> None:
    """It is raised again a moment later."""
    result = CliRunner().invoke(commands, ["clean-up"])

    assert result.exit_code == 130
    assert "Interrupted." in result.stderr
    assert "Traceback" not in result.output
