"""``so2sat card``: the README of a dataset, made from its manifest."""

import sys
from pathlib import Path

import click

from so2sat_hf.cli.options import PATH
from so2sat_hf.cli.progress import note
from so2sat_hf.errors import So2SatError


@click.command(short_help="Write the dataset card, or check that it is current.")
@click.argument("path", type=PATH, required=False)
@click.option(
    "--published",
    is_flag=True,
    help="The card of the published dataset, as far as it is known without a build; PATH is the file then, "
    "default cards/dataset_card.md.",
)
@click.option(
    "--check", is_flag=True, help="Write nothing; exit code 1 if the file is not what it should be."
)
@click.option("--repo", help="Id on the Hub, if the folder is going there; default: read where it lies.")
@click.option("--print", "to_stdout", is_flag=True, help="Write to standard output, not to the file.")
def card(path: Path | None, *, published: bool, check: bool, repo: str | None, to_stdout: bool) -> None:
    """Write README.md of PATH, a folder that `so2sat build` wrote, from its manifest.

    The page has what `load_dataset` reads, how to load each config and what that takes, columns, versions,
    classes, bands, statistics, known pitfalls and the citation. No data file is read.

    \b
    Example:  so2sat card out
              so2sat card out --check
              so2sat card --published --check
    """
    from so2sat_hf.convert.writing import write_text
    from so2sat_hf.hub.address import parse_address
    from so2sat_hf.hub.card import differences, readme_of, readme_path
    from so2sat_hf.hub.card import published as published_card

    if repo is not None and parse_address(repo) is None:
        raise So2SatError("--repo", found=repr(repo), expected="OWNER/NAME")
    if check and to_stdout:
        raise So2SatError("--check", found="together with --print", expected="one of them")
    if published:
        file, text = path or Path("cards", "dataset_card.md"), published_card()
    elif path is not None:
        file, text = readme_path(path), readme_of(path, repo)
    else:
        raise So2SatError(
            "PATH", found="missing", expected="a folder that `so2sat build` wrote, or --published"
        )
    if to_stdout:
        click.echo(text, nl=False)
        return
    lines = differences(file, text)
    if not lines:
        click.echo(f"{file}: current")
        _tell_next(path, published=published)
    elif check:
        click.echo("\n".join(lines))
        command = " ".join(
            ["so2sat card", *(["--published"] if published else []), *([str(path)] if path else [])]
        )
        note(f"{file} is not what it should be. To write it: {command}")
        sys.exit(1)
    else:
        write_text(file, text)
        click.echo(f"{file}: written")
        _tell_next(path, published=published)


def _tell_next(path: Path | None, *, published: bool) -> None:
    if path is not None and not published:
        note(f"Next: so2sat push {path} OWNER/NAME --dry-run")
