"""``so2sat train`` and ``so2sat evaluate``: a model, and what it is worth."""

import os
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.options import PATH
from so2sat_hf.cli.output import print_table
from so2sat_hf.cli.progress import bar, note

if TYPE_CHECKING:
    from so2sat_hf.training.report import Report

TRAINING = (
    ("output_dir", "Folder of the model, its report and its card; must be given."),
    ("num_train_epochs", "Passes over train.  [default: 20]"),
    ("per_device_train_batch_size", "Patches of a step and device.  [default: 256]"),
    ("learning_rate", "Highest learning rate, of AdamW with warmup and cosine.  [default: 0.0005]"),
    ("bf16", "Compute in bfloat16, on GPUs that can.  [default: False]"),
)
"""Flags of transformers that are used most; all are listed by --help-all, which imports it for seconds."""


class _Passing(click.Command):
    """Hands everything but its own options on, and lists the options of the dataset in its help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from so2sat_hf.training.options import DataArguments, ModelArguments

        for title, kind in (("Model", ModelArguments), ("Data", DataArguments)):
            with formatter.section(title):
                formatter.write_dl([(f"--{each.name}", _help_of(each)) for each in fields(kind)])
        with formatter.section("Training, as in transformers"):
            formatter.write_dl([(f"--{name}", told) for name, told in TRAINING])
        super().format_options(ctx, formatter)


def _help_of(option: object) -> str:
    default = getattr(option, "default", MISSING)
    told = "" if default is MISSING or default is None else f"  [default: {default}]"
    return f"{option.metadata['help']}{told}"  # type: ignore[attr-defined]


@click.command(
    cls=_Passing,
    short_help="Fine-tune a vision transformer on a dataset.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=True,
)
@click.option("--help-all", is_flag=True, help="List the flags of TrainingArguments, too.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS | FILE.yaml]")
def train(arguments: tuple[str, ...], *, help_all: bool) -> None:
    """Fine-tune an image classifier, choose the best checkpoint on validation, test it once.

    Every flag of transformers' TrainingArguments works, such as --output_dir, --learning_rate, --bf16; so
    does one JSON or YAML file with all of them. Interrupted, the same command continues. OUTPUT_DIR gets the
    model with its processor, report.html, and the model card.

    \b
    Example:  so2sat train --data out --output_dir runs/a
              so2sat train --data zhu-xlab/So2Sat-LCZ42 --feed stream --model vit-tiny-8 --output_dir runs/b
    """
    need_torch()
    from so2sat_hf.training.finetune import main

    main(["--help"] if help_all else list(arguments))


def need_torch() -> None:
    """Import torch and accelerate, or let the group say what brings them.

    Threads of torch that wait sleep: where others want the cores, spinning takes ten times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import accelerate  # type: ignore[import-untyped]  # noqa: F401
    import torch  # noqa: F401


@click.command(short_help="Test a fine-tuned model: report.json, report.html, predictions.parquet.")
@click.argument("model")
@click.option("--data", required=True, help="A built folder, OWNER/NAME on the Hub, or the HDF5 files.")
@click.option("--split", default="test", show_default=True, help="train, validation or test.")
@click.option("--version", help="Whose splits: v1, culture_10_v3, random or block.")
@click.option("--split-file", help="Splits of your own: what `so2sat split` wrote.")
@click.option("--fold", default=0, show_default=True, help="Fold of --split-file.")
@click.option("--preset", help="What the model eats, where its processor is not one of ours.")
@click.option("--out", "-o", type=PATH, help="Folder to write into; default: MODEL for test of a folder.")
@click.option(
    "--batch-size", default=512, show_default=True, type=click.IntRange(1), help="Patches at a time."
)
@click.option("--device", help="Default: cuda if there is one, else cpu.")
@click.option("--bf16", is_flag=True, help="Compute in bfloat16.")
def evaluate(
    model: str,
    *,
    data: str,
    split: str,
    version: str | None,
    split_file: str | None,
    fold: int,
    preset: str | None,
    out: Path | None,
    batch_size: int,
    device: str | None,
    bf16: bool,
) -> None:
    """Predict every patch of a split with MODEL, and say what came out.

    MODEL is a folder or a Hub id of any image classifier of transformers with the 17 classes; what it eats is
    read from its processor, or named by --preset. Metrics, intervals over cities, confusion, classes, cities,
    calibration, the worst mistakes as pictures and a map go into one page, report.html.

    \b
    Example:  so2sat evaluate runs/a --data out
              so2sat evaluate maria/lcz-vit --data zhu-xlab/So2Sat-LCZ42 --split validation
    """
    need_torch()
    import torch

    from so2sat_hf.training.classifier import device_of, open_classifier
    from so2sat_hf.training.data import open_data, splits_of
    from so2sat_hf.training.evaluate import PAGE
    from so2sat_hf.training.evaluate import evaluate as run_evaluate
    from so2sat_hf.training.run import is_run, write_card

    where = device_of(device)
    place = open_data(data)
    splits = splits_of(place, version, split_file, fold)
    name = splits.title(split)
    classifier = open_classifier(model, place, preset)
    out = out or _folder(model, name)
    with bar(splits.rows(split), "patches", "predict") as advance:
        report = run_evaluate(
            classifier,
            splits,
            split,
            out,
            progress=advance,
            batch_size=batch_size,
            device=where,
            dtype=torch.bfloat16 if bf16 else torch.float32,
        )
    _tell(report)
    click.echo(out / PAGE)
    if out == Path(model) and is_run(out):
        click.echo(write_card(out))
    _tell_next(model, out / PAGE, classifier.preset.sensors)


def _tell_next(model: str, page: Path, sensors: tuple[str, ...]) -> None:
    """Say what can be done with a model that was tested."""
    steps = [f"open {page} in a browser"]
    if Path(model).is_dir():
        steps.append(f"so2sat push {model} OWNER/NAME")
    if sensors == ("sen2",):
        steps.append(f"so2sat map {model} SCENE city.tif")
    note("Next: " + "\n      ".join(steps))


def _folder(model: str, split: str) -> Path:
    """Return where a report goes: into the folder of the model for test, else beside or below it."""
    name = split.replace("/", "-")
    if Path(model).is_dir():
        return Path(model) if split == "test" else Path(model) / name
    return Path(f"{model.rpartition('/')[2].partition('@')[0]}-{name}")


def _tell(report: "Report") -> None:
    from so2sat_hf.pages.choice import city_name
    from so2sat_hf.training.report import HEADLINES

    rows = []
    for name, title in HEADLINES.items():
        low_high = report.intervals.get(name)
        within = f"{100 * low_high[0]:.1f} to {100 * low_high[1]:.1f}" if low_high else ""
        rows.append([title, f"{100 * report.metrics[name]:.1f}", within])
    print_table([f"{report.about['split']}, per cent", "", "95 % over cities"], rows, left=(0,))
    if report.worst_city:
        worst = report.cities[report.worst_city].metrics()["oa"]
        click.echo(f"worst city: {city_name(report.worst_city)}, {100 * worst:.1f}")
