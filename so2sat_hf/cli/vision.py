"""``so2sat presets``: what models eat."""

from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.output import print_table
from so2sat_hf.cli.progress import note

if TYPE_CHECKING:
    from so2sat_hf.vision.preset import Preset, Slot


@click.command(short_help="What models eat: which band goes into which slot, in which unit.")
@click.argument("name", required=False)
@click.option("--data", help="A built folder or OWNER/NAME: fill in mean and deviation of its training rows.")
@click.option("--toml", is_flag=True, help="As a TOML file, to start one of your own from.")
def presets(name: str | None, *, data: str | None, toml: bool) -> None:
    """List the presets, or show the slots of one.

    NAME is a preset, or a TOML file of your own.

    \b
    Example:  so2sat presets
              so2sat presets s2 --data out
              so2sat presets rgb --toml > mine.toml
    """
    from so2sat_hf.vision import catalogue

    if name is None:
        _list(list(catalogue.presets().values()))
        return
    preset = catalogue.preset(name, data)
    if toml:
        from so2sat_hf.vision.preset_file import as_toml

        click.echo(as_toml(preset), nl=False)
    else:
        _show(preset)


def _list(presets: "list[Preset]") -> None:
    titles = {1: "With `so2sat train`", 2: "Tables alone: for the code of the model itself"}
    for tier, title in titles.items():
        rows = [
            [each.name, str(len(each.slots)), f"{each.size} px", each.title]
            for each in presets
            if each.tier == tier
        ]
        if rows:
            click.secho(f"{title}", bold=True)
            print_table(["preset", "slots", "input", ""], rows, left=(0, 3))
            click.echo()
    note(
        "Next: so2sat presets NAME shows the slots; a TOML file of your own works wherever a name does\n"
        "      so2sat train --preset NAME --data OUT --output_dir RUN"
    )


def _show(preset: "Preset") -> None:
    click.secho(f"{preset.name}: {preset.title}", bold=True)
    patch = f", patches of {preset.patch_size}" if preset.patch_size else ""
    click.echo(
        f"{len(preset.slots)} slots, input {preset.size} x {preset.size} px{patch}, {preset.interpolation}"
    )
    print_table(
        ["slot", "band", "unit", "mean", "std", ""],
        [_row(preset, slot) for slot in preset.slots],
        left=(0, 1, 2, 5),
    )
    for head, lines in (
        ("statistics", [preset.statistics] if preset.statistics else []),
        ("weights", [", ".join(preset.checkpoints)] if preset.checkpoints else []),
        ("licence", [preset.licence] if preset.licence else []),
        ("also takes", list(preset.extras)),
        ("source", list(preset.sources)),
        ("note", [preset.note] if preset.note else []),
    ):
        for line in lines:
            click.echo(f"{head + ':':<12}{line}")
    if not preset.is_complete:
        note("mean and deviation come from the data that a model is trained on: --data OUT shows them")
    if preset.tier == 1:
        note(f"Next: so2sat train --preset {preset.name} --data OUT --output_dir RUN")


def _row(preset: "Preset", slot: "Slot") -> list[str]:
    """Return one line of the table."""
    remarks = []
    if slot.scale is not None:
        remarks.append(f"{'white at' if slot.unit == 'brightness' else 'scale'} {slot.scale:g}")
    if slot.limits is not None:
        remarks.append(f"cut off at {slot.limits[0]:g} and {slot.limits[1]:g}")
    if slot.fill is not None:
        remarks.append(f"filled with {slot.fill:g}")
    if len(preset.inputs) > 1:
        remarks.append(f"input {slot.input}")
    numbers = ["from the data" if value is None else f"{value:.6g}" for value in (slot.mean, slot.std)]
    return [slot.name, slot.band or "(empty)", slot.unit, *numbers, ", ".join(remarks)]
