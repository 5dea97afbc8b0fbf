"""The ``so2sat`` command: each subcommand parses, calls one function and prints.

Heavy libraries are imported inside the commands, so that ``so2sat --help`` is instant.
"""

import click

from so2sat_hf import __version__
from so2sat_hf.cli.browse import browse
from so2sat_hf.cli.build import build, match
from so2sat_hf.cli.card import card
from so2sat_hf.cli.classes import classes
from so2sat_hf.cli.convert import info, synth, verify
from so2sat_hf.cli.ground import export, neighbours, split
from so2sat_hf.cli.group import Group
from so2sat_hf.cli.hub import download
from so2sat_hf.cli.look import demo, show
from so2sat_hf.cli.maps import map_scene
from so2sat_hf.cli.measure import stats
from so2sat_hf.cli.publish import push
from so2sat_hf.cli.train import evaluate, train
from so2sat_hf.cli.vision import presets


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="so2sat_hf")
def cli() -> None:
    """So2Sat LCZ42 as a Hugging Face dataset. `so2sat COMMAND --help` has examples.

    \b
    Try it:      so2sat demo
    Publish:     so2sat download raw
                 so2sat build raw out
                 so2sat verify out --against raw
                 so2sat push out OWNER/NAME
    Train:       so2sat train --data out --output_dir runs/a
                 so2sat evaluate runs/a --data out
    Map:         so2sat map runs/a SCENE.SAFE city.tif
    """


cli.add_sections(
    {
        "Try it": (demo, synth),
        "From HDF5 to the Hub": (download, info, build, match, verify, card, push),
        "Look at the data": (show, browse, stats, classes),
        "Models": (presets, train, evaluate, map_scene),
        "On the ground": (export, neighbours, split),
    }
)
