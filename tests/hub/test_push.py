"""A built folder on the Hub: everything over HTTP, with the unmodified clients."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from local_hub import Fault, LocalHub
from publishing import FOREIGN, QUICK, REPO, run_push

from so2sat_hf.assemble import extras
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import HubError
from so2sat_hf.hub import card
from so2sat_hf.hub.push_plan import plan_push
from so2sat_hf.hub.repository import Repository


@pytest.fixture(scope="module")
def out(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All splits with companions: about 20 files."""
    folder = tmp_path_factory.mktemp("push") / "out"
    build(source, folder, extras=extras(source), jobs=1)
    return folder


def foreign_files(hub: LocalHub) -> dict[str, bytes]:
    repo = hub.repo(REPO)
    return {path: repo.read("main", path) for path in repo.tree("main") if path in FOREIGN}


def test_the_whole_way(there: LocalHub, out: Path, source: RawSource) -> None:
    """Build, push, load map style and streaming: the values of the HDF5, and the files of others."""
    from datasets import load_dataset

    repo = there.repo(REPO)
    before = repo.head("main")
    report = run_push(out)

    assert repo.head("main") == report.commit
    assert len(repo.history("main")) == len(repo.history(before)) + 1
    assert foreign_files(there) == {**FOREIGN, "README.md": card.readme_of(out, REPO).encode()}
    manifest = Manifest.read(out)
    for path in (*manifest.paths, "manifest.json"):
        assert repo.read("main", path) == (out / path).read_bytes()
    tags = {"format-1.0": report.commit, f"data-{manifest.digest}": report.commit}
    assert repo.tags == {**tags, f"before-{manifest.digest}": before}
    assert [pull.status for pull in repo.pulls.values()] == ["closed"]

    (block,) = source.blocks("test", range(70), columns=("sen1", "sen2"), size=1000)
    test = load_dataset(REPO, split="test").with_format("numpy")
    assert list(test["id"]) == block.ids
    assert np.array_equal(np.stack(list(test["sen1"])), block.sen1)
    assert np.array_equal(np.stack(list(test["sen2"])), block.sen2)
    streamed = list(load_dataset(REPO, split="test", streaming=True).with_format("numpy"))
    assert [row["id"] for row in streamed] == block.ids
    assert np.array_equal(np.stack([row["sen2"] for row in streamed]), block.sen2)
    assert len(load_dataset(REPO, "mini", split="train")) > 0


def test_main_changes_once_and_only_after_the_check(there: LocalHub, more: Path) -> None:
    """Before the one commit, what was proposed was loaded from the pull request."""
    report = run_push(more)

    commits = [request.path.rpartition("/commit/")[2] for request in there.requests("commit")]
    assert commits == ["refs/pr/1", "main"]
    proposed = there.repo(REPO).history("refs/pr/1")[0].sha
    loaded = [r.number for r in there.requests("resolve-get") if f"/resolve/{proposed}/data/" in r.path]
    to_main = next(r.number for r in there.requests("commit") if r.path.endswith("/main"))
    assert loaded
    assert max(loaded) < to_main
    assert report.pull_request is not None


def test_another_dataset_replaces_the_first(there: LocalHub, more: Path, smaller: Path) -> None:
    """Files that only the first one had go, others of the repository stay, the way back is tagged."""
    from datasets import load_dataset

    first = run_push(more)
    second = run_push(smaller)

    repo = there.repo(REPO)
    listed = {*Manifest.read(smaller).paths, "manifest.json", "README.md", ".gitattributes"}
    assert set(repo.tree("main")) == {*listed, *FOREIGN}
    assert repo.tags["format-1.0"] == second.commit
    assert repo.tags[second.kept_as or ""] == first.commit
    assert repo.tags[f"data-{Manifest.read(more).digest}"] == first.commit
    assert len(load_dataset(REPO, split="train")) == 260
    assert set(Manifest.read(more).paths) <= set(repo.tree(second.kept_as or ""))


def test_a_second_push_of_the_same_sends_nothing(there: LocalHub, more: Path) -> None:
    """Nothing is proposed or committed; the tags are right, whatever became of them."""
    first = run_push(more)
    there.repo(REPO).tags.pop("format-1.0")
    there.reset_log()

    again = run_push(more)

    assert again.commit == first.commit
    assert there.repo(REPO).tags["format-1.0"] == first.commit
    assert not there.requests("lfs-put", "commit", "discussion-new")


def test_the_repository_is_made(hub: LocalHub, login: Callable[[str], None], smaller: Path) -> None:
    """Private if asked for; a new one has nothing that a tag should keep."""
    login(hub.add_user("maria"))

    report = run_push(smaller, "maria/lcz", private=True)

    repo = hub.repo("maria/lcz")
    assert repo.private
    assert repo.head("main") == report.commit
    assert report.kept_as is None


def test_a_plan_changes_nothing_and_names_every_file(there: LocalHub, more: Path, smaller: Path) -> None:
    """New, replaced, removed, kept; the README line by line."""
    run_push(more)
    there.reset_log()
    repository = Repository(REPO, patience=QUICK)
    with repository.open():
        plan = plan_push(smaller, repository)

    fates = {item.path: (item.fate, item.is_ours) for item in plan.items}
    assert fates["data/train/00003-of-00007.parquet"] == ("removed", True)
    assert fates["manifest.json"] == ("replaced", True)
    assert fates["v4/testing.h5.gz"] == ("kept", False)
    assert set(fates) == {*there.repo(REPO).tree("main"), *plan.wanted}
    assert any(line.startswith("-  description: ") for line in plan.readme_changes())
    assert {request.method for request in there.log} == {"GET"}


def test_no_merge_leaves_a_checked_pull_request(there: LocalHub, smaller: Path) -> None:
    """Main stays; a push without the option goes on from there, and sends nothing twice."""
    repo = there.repo(REPO)
    before = repo.head("main")

    report = run_push(smaller, merge=False)
    assert (repo.head("main"), report.commit) == (before, None)
    assert [pull.status for pull in repo.pulls.values()] == ["draft"]

    there.reset_log()
    report = run_push(smaller)
    assert repo.head("main") == report.commit
    assert not there.requests("lfs-put", "discussion-new")
    assert [pull.status for pull in repo.pulls.values()] == ["closed"]


def test_without_write_permission_the_pull_request_stays(
    hub: LocalHub, login: Callable[[str], None], smaller: Path
) -> None:
    """A stranger proposes; who may write merges."""
    hub.create_repo(REPO, files=FOREIGN)
    login(hub.add_user("stranger"))
    report = run_push(smaller)

    repo = hub.repo(REPO)
    assert report.commit is None
    assert "may not do that" in report.refused
    assert set(repo.tree("refs/pr/1")) >= set(Manifest.read(smaller).paths)
    assert set(repo.tree("main")) == {*FOREIGN, ".gitattributes"}
    assert [pull.status for pull in repo.pulls.values()] == ["draft"]
    assert repo.tags == {}


def test_a_pull_request_on_an_older_main_is_not_used_again(
    there: LocalHub, more: Path, smaller: Path
) -> None:
    """It would show files of the dataset before; it is closed, and the new one is like main will be."""
    run_push(smaller, merge=False)
    run_push(more)
    report = run_push(smaller, merge=False)

    repo = there.repo(REPO)
    assert [(pull.number, pull.status) for pull in repo.pulls.values()] == [
        (1, "closed"),
        (2, "closed"),
        (3, "draft"),
    ]
    assert report.pull_request is not None
    assert set(repo.tree("refs/pr/3")) == {
        *Manifest.read(smaller).paths,
        *FOREIGN,
        "manifest.json",
        ".gitattributes",
    }


def test_the_data_tag_stays(there: LocalHub, smaller: Path) -> None:
    """A later commit of somebody else is not the dataset."""
    first = run_push(smaller)
    there.repo(REPO).write({"v4/more.txt": b"theirs"})
    again = run_push(smaller)

    tags = there.repo(REPO).tags
    assert again.commit != first.commit
    assert tags[f"data-{Manifest.read(smaller).digest}"] == first.commit
    assert tags["format-1.0"] == again.commit


def test_tags_that_are_refused_do_not_undo_the_rest(there: LocalHub, smaller: Path) -> None:
    """Main is published; what is left undone is said."""
    there.inject(
        when=lambda request: request.kind == "tag" and "manifest.json" in there.repo(REPO).tree("main"),
        fault=Fault(status=403, message="no tags for you"),
        times=2,
    )
    report = run_push(smaller)

    assert there.repo(REPO).head("main") == report.commit
    assert len(report.undone) == 2
    assert "tag format-1.0 was not set: this token may not do that (no tags for you)" in report.undone
    assert [pull.status for pull in there.repo(REPO).pulls.values()] == ["closed"]


def test_xet_is_taken_where_the_hub_offers_it(
    there: LocalHub, smaller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it does not: plain LFS, although hf_xet is installed; a refusal is not taken for silence."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    report = run_push(smaller)
    assert there.repo(REPO).head("main") == report.commit
    assert there.requests("lfs-put")
    assert constants.HF_HUB_DISABLE_XET is False

    there.inject(
        when=lambda request: "xet-write-token" in request.path, fault=Fault(status=403, message="not you")
    )
    with pytest.raises(HubError, match=r"may not do that \(not you\)"):
        run_push(smaller, "zhu-xlab/other")
