"""What every command has in common: errors in one message, an example where somebody mistypes, an order.

Knows no command, and imports nothing heavy.
"""

import _thread
import sys
import threading
from typing import NoReturn

import click

from so2sat_hf.errors import So2SatError

RESUMED = ("build", "download", "push", "train", "map", "demo")
"""Commands that go on where they were interrupted."""

EXTRAS = {
    "torch": "train",
    "accelerate": "train",
    "rasterio": "geo",
    "scipy": "geo",
    "timm": "timm",
}
"""Library -> the extra of the package that brings it."""


class Group(click.Group):
    """Turns what users can act on into one message, and lists its commands in the order of the work."""

    sections: dict[str, tuple[click.Command, ...]]
    """Title -> commands of this title."""

    def add_sections(self, sections: dict[str, tuple[click.Command, ...]]) -> None:
        """Add commands under titles."""
        self.sections = sections
        for commands in sections.values():
            for command in commands:
                self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands under their titles."""
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(command.name or "", command.get_short_help_str(80)) for command in commands]
                )

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        hook, sys.unraisablehook = sys.unraisablehook, _not_lost
        try:
            return super().invoke(ctx)
        except So2SatError as error:
            _fail(str(error))
        except click.UsageError as error:
            error.show()
            if error.ctx is not None and (text := example_of(error.ctx.command)):
                click.echo(text, err=True)
            sys.exit(error.exit_code)
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            if library not in EXTRAS:
                raise
            _fail(str(_missing(library)))
        except BrokenPipeError:  # `so2sat stats out | head`
            sys.stdout = None  # nothing is flushed into it at exit
            sys.exit(1)
        except OSError as error:
            _fail(f"{error.filename or 'system'}: {error.strerror or error}")
        except KeyboardInterrupt:
            continues = " Run the same command again: it continues."
            click.echo(f"\nInterrupted.{continues if ctx.invoked_subcommand in RESUMED else ''}", err=True)
            sys.exit(130)
        finally:
            sys.unraisablehook = hook


def _not_lost(told: "sys.UnraisableHookArgs") -> None:
    """Raise a Ctrl-C again that came while Python cleaned up, where exceptions are told of and forgotten."""
    if issubclass(told.exc_type, KeyboardInterrupt):
        threading.Timer(0.05, _thread.interrupt_main).start()  # a moment later: not within the cleaning
    else:
        sys.__unraisablehook__(told)


def example_of(command: click.Command) -> str:
    """Return the examples in the help of a command; empty if it has none."""
    _, found, text = (command.help or "").partition("Example:")
    return found + text.partition("\n\n")[0].rstrip()


def _missing(library: str) -> So2SatError:
    return So2SatError(
        f"library {library}",
        found="not installed, and this command needs it",
        remedy=f"pip install 'so2sat_hf[{EXTRAS[library]}]' brings it",
    )


def _fail(text: str) -> NoReturn:
    click.secho(f"Error: {text}", err=True, fg="red")
    sys.exit(1)
