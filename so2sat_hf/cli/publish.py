"""``so2sat push``: a dataset or a model to the Hub."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.options import JOBS, PATH, timeout_after
from so2sat_hf.cli.progress import bar, counted, note, warn
from so2sat_hf.errors import So2SatError

if TYPE_CHECKING:
    from so2sat_hf.hub.repository import Repository


@click.command(short_help="Publish a dataset, or a fine-tuned model, on the Hugging Face Hub.")
@click.argument("out", type=PATH)
@click.argument("repo_id", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="If the repository has to be made: only for its owner.")
@click.option("--dry-run", is_flag=True, help="Print what would happen to every file; change nothing.")
@click.option("--no-merge", is_flag=True, help="Leave the checked pull request open; main stays as it is.")
@click.option("--message", help="First line of the commit; default: the digest of the data.")
@JOBS
@timeout_after(120.0)
def push(
    out: Path,
    repo_id: str,
    *,
    private: bool,
    dry_run: bool,
    no_merge: bool,
    message: str | None,
    jobs: int | None,
    timeout: float,
) -> None:
    """Publish OUT, which `so2sat build` wrote, as the dataset OWNER/NAME.

    Every file is checked here, sent, checked there in a pull request by loading it, and then main gets all
    of them in one commit. Files of others stay; what the dataset before had and this one lacks goes.
    Interrupted, the same command continues, and sends only what is missing. The token is that of
    `hf auth login` or HF_TOKEN.

    OUT may also be a fine-tuned model with its card, as save_pretrained and Trainer write it: all its files
    go to main of the model OWNER/NAME in one commit, but for checkpoints and pickles.

    \b
    Example:  so2sat push out zhu-xlab/So2Sat-LCZ42 --dry-run
              so2sat push out zhu-xlab/So2Sat-LCZ42
              so2sat push runs/a maria/lcz-vit
    """
    from so2sat_hf.convert.manifest import Manifest
    from so2sat_hf.hub.models import is_model
    from so2sat_hf.hub.patience import Patience
    from so2sat_hf.hub.push_plan import check_folder
    from so2sat_hf.hub.repository import Repository

    if dry_run and (no_merge or message):
        raise So2SatError("--dry-run", found="together with --no-merge or --message", expected="alone")
    model = is_model(out)
    if model and no_merge:
        raise So2SatError("--no-merge", found="with a model", expected="it with a dataset only")
    kind = "model" if model else "dataset"
    repository = Repository(repo_id, kind=kind, patience=Patience(silence=timeout), say=note)
    if model:
        _push_model(out, repository, private=private, dry_run=dry_run, message=message)
        return
    manifest = Manifest.read(out)
    if not dry_run:
        with repository.open():
            repository.user()  # before gigabytes are read
    with bar(manifest.num_rows, "patches", "check") as advance:
        check_folder(out, jobs=jobs, progress=advance)
    _push_dataset(out, repository, private=private, dry_run=dry_run, merge=not no_merge, message=message)


def _push_dataset(
    out: Path, repository: "Repository", *, private: bool, dry_run: bool, merge: bool, message: str | None
) -> None:
    from so2sat_hf.hub.push import Telling
    from so2sat_hf.hub.push import push as run_push
    from so2sat_hf.hub.push_plan import plan_push
    from so2sat_hf.hub.push_words import describe, other_format, outcome

    with repository.open():
        plan = plan_push(out, repository)
        if warning := other_format(plan):
            warn(warning)
        if private and plan.head is not None:
            warn(f"--private: {repository.repo_id} is there already, and stays as visible as it is")
        if dry_run:
            click.echo(describe(plan, repository.repo_id, repository.url))
            note(f"Nothing was changed. Next: so2sat push {out} {repository.repo_id}")
            return
        with counted("B", "send") as advance_to:
            telling = Telling(note, advance_to)
            report = run_push(
                plan, repository, private=private, merge=merge, message=message, telling=telling
            )
    click.echo(outcome(report, repository.repo_id, repository.url))


def _push_model(
    folder: Path, repository: "Repository", *, private: bool, dry_run: bool, message: str | None
) -> None:
    from so2sat_hf.hub.models import plan_model, push_model
    from so2sat_hf.hub.push_words import counts, files
    from so2sat_hf.training.run import address_card

    if not dry_run:
        address_card(folder, repository.repo_id)
    options = {"message": message} if message else {}
    with repository.open():
        plan = plan_model(folder, repository)
        if plan.left_out:
            note(f"not published: {', '.join(plan.left_out)}")
        if dry_run:
            click.echo(files(plan.items))
            note(f"Nothing was changed. Next: so2sat push {folder} {repository.repo_id}")
            return
        with counted("B", "send") as advance_to:
            commit = push_model(plan, repository, private=private, sent=advance_to, **options)
    click.echo(f"{repository.repo_id}: {counts(plan.items)}\nmain is at {commit[:7]}: {repository.url}")
    note(f"Next: so2sat evaluate {repository.repo_id} --data OUT")
