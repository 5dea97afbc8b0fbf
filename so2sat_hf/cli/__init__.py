"""The ``so2sat`` command: each subcommand parses, calls one function and prints.

Heavy libraries are imported inside the commands, so that ``so2sat --help`` is instant.
"""

import _thread
import sys
import threading

import click

from so2sat_hf import __version__
from so2sat_hf.cli.build import build, match
from so2sat_hf.cli.card import card
from so2sat_hf.cli.convert import info, synth, verify
from so2sat_hf.cli.ground import browse, classes, export, neighbours, split
from so2sat_hf.cli.hub import download
from so2sat_hf.cli.look import demo, show
from so2sat_hf.cli.maps import map_scene
from so2sat_hf.cli.measure import stats
from so2sat_hf.cli.publish import push
from so2sat_hf.cli.train import evaluate, train
from so2sat_hf.cli.vision import presets
from so2sat_hf.errors import So2SatError

RESUMED = ("build", "download", "push", "train", "map", "demo")
"""Commands that go on where they were interrupted."""


class Group(click.Group):
    """Turns every :class:`So2SatError` into one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        hook, sys.unraisablehook = sys.unraisablehook, _not_lost
        try:
            return super().invoke(ctx)
        except So2SatError as error:
            click.secho(f"Error: {error}", err=True, fg="red")
            sys.exit(1)
        except BrokenPipeError:  # `so2sat stats out | head`
            sys.stdout = None  # nothing is flushed into it at exit
            sys.exit(1)
        except OSError as error:
            click.secho(f"Error: {error.filename or 'system'}: {error.strerror or error}", err=True, fg="red")
            sys.exit(1)
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


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="so2sat_hf")
def cli() -> None:
    """So2Sat LCZ42 as a Hugging Face dataset."""


DATA = (download, info, build, match, verify, push, show, stats, card)
MODELS = (presets, train, evaluate, map_scene)
GROUND = (export, browse, neighbours, split, classes)
for command in (*DATA, *MODELS, *GROUND, synth, demo):
    cli.add_command(command)
