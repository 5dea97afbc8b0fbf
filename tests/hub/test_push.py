"""A built folder on the Hub: everything over HTTP, with the unmodified clients."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
from local_hub import Fault, LocalHub
from publishing import FOREIGN, QUICK, REPO, run_push

from so2sat_hf.assemble import extras
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import FolderError, HubError, VerificationError
from so2sat_hf.hub import card, push_plan
from so2sat_hf.hub.push import push
from so2sat_hf.hub.push_plan import check_folder, plan_push
from so2sat_hf.hub.repository import Repository


@pytest.fixture(scope="module")
def out(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All splits with companions: about 20 files."""
    folder = tmp_path_factory.mktemp("push") / "out"
    build(source, folder, extras=extras(source), jobs=1)
    return folder


@pytest.fixture(scope="module")
def smaller(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another dataset, in fewer files."""
    folder = tmp_path_factory.mktemp("push") / "smaller"
    build(source, folder, BuildOptions(columns=("sen2",)), jobs=1)
    return folder


@pytest.fixture(scope="module")
def more(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third one, in more files."""
    folder = tmp_path_factory.mktemp("push") / "more"
    build(source, folder, BuildOptions(columns=("sen2",), rows_per_shard=40), jobs=1)
    return folder


@pytest.fixture
def there(hub: LocalHub, login: Callable[[str], None]) -> LocalHub:
    """The repository as it is today: raw files and a page."""
    login(hub.add_user("maria", orgs={"zhu-xlab": "write"}))
    hub.create_repo(REPO, files=FOREIGN)
    hub.reset_log()
    return hub


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


def test_a_file_that_would_be_read_as_data_stops_the_push(there: LocalHub, smaller: Path) -> None:
    """Nothing mixed: a glob of the README would take it for a shard."""
    there.repo(REPO).write({"data/train/of-somebody.parquet": b"PAR1"})

    with pytest.raises(HubError, match=r"1 files of others .* data/train/of-somebody\.parquet"):
        run_push(smaller)
    assert not there.requests("discussion-new", "create", "commit")


def test_a_manifest_there_that_nobody_understands_stops_the_push(there: LocalHub, smaller: Path) -> None:
    there.repo(REPO).write({"manifest.json": b'{"shards": 3}'})

    with pytest.raises(HubError, match="which files are those of the old dataset"):
        run_push(smaller)


def test_main_that_moves_meanwhile_is_not_overwritten(there: LocalHub, smaller: Path) -> None:
    """Somebody commits while the pull request is checked: the push says so, and can be run again."""
    repo = there.repo(REPO)

    def moves(request: object) -> bool:
        if getattr(request, "kind", "") == "tag" and len(repo.history("main")) == 2:
            repo.write({"v4/new.txt": b"theirs"})
        return False

    there.inject(when=moves, fault=Fault(status=503))
    with pytest.raises(HubError, match=r"somebody else changed it .*run the same command again"):
        run_push(smaller)
    assert "manifest.json" not in repo.tree("main")

    there.reset_log()
    report = run_push(smaller)
    assert repo.head("main") == report.commit
    assert repo.read("main", "v4/new.txt") == b"theirs"
    assert not there.requests("lfs-put")


def test_a_412_is_not_retried_blindly(there: LocalHub, smaller: Path) -> None:
    """The parent is compared by the Hub; a refused commit is not sent again with another parent."""
    to_main = []

    def counts(request: object) -> bool:
        is_commit = getattr(request, "kind", "") == "commit" and request.path.endswith("/main")  # type: ignore[attr-defined]
        to_main.extend([request] * is_commit)
        return is_commit

    there.inject(when=counts, fault=Fault(status=412), times=5)
    with pytest.raises(HubError, match="somebody else changed it"):
        run_push(smaller)
    assert len(to_main) == 1


def test_two_pushes_at_once(there: LocalHub, more: Path, smaller: Path) -> None:
    """One wins; the other says so, and can be run again."""
    barrier = Barrier(2)
    results: dict[Path, object] = {}

    def one(folder: Path) -> None:
        repository = Repository(REPO, patience=QUICK)
        try:
            plan = plan_push(folder, repository)
            barrier.wait(20)
            results[folder] = push(plan, repository)
        except HubError as error:
            results[folder] = error

    threads = [Thread(target=one, args=(folder,)) for folder in (more, smaller)]
    with Repository(REPO, patience=QUICK).open() as opened:  # huggingface_hub has one client for all threads
        opened.head()  # it is made here: huggingface_hub before 2 could make one in each thread
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    errors = {folder: result for folder, result in results.items() if isinstance(result, HubError)}
    assert len(results) == 2
    ((loser, error),) = errors.items()
    assert "somebody else changed it meanwhile" in str(error)
    (winner,) = set(results) - {loser}
    assert set(Manifest.read(winner).paths) <= set(there.repo(REPO).tree("main"))

    run_push(loser)
    expected = {*Manifest.read(loser).paths, "manifest.json", ".gitattributes", *FOREIGN}
    assert set(there.repo(REPO).tree("main")) == expected


@pytest.mark.parametrize("what", ["features", "rows", "values"])
def test_what_does_not_load_stays_off_main(
    there: LocalHub, smaller: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The pull request is compared with the folder: columns, sizes, first rows."""
    page = card.readme_of(smaller, REPO)
    if what == "features":
        wrong = page.replace("  - name: id\n    dtype: string", "  - name: id\n    dtype: large_string")
    elif what == "rows":
        wrong = page.replace("num_examples: 70", "num_examples: 71")
    else:
        wrong = page.replace("data/test/*.parquet", "data/validation/*.parquet")
    assert wrong != page
    monkeypatch.setattr(push_plan.card, "readme_of", lambda *_: wrong)

    with pytest.raises(HubError, match="expected those of"):
        run_push(smaller)
    assert "manifest.json" not in there.repo(REPO).tree("main")


def test_a_file_that_the_hub_ignores_is_noticed(there: LocalHub, smaller: Path) -> None:
    """The Hub drops what a .gitignore names, without a word."""
    there.repo(REPO).write({".gitignore": b"data/test/\n"})

    with pytest.raises(HubError, match=r"data/test/00000-of-00001\.parquet: missing"):
        run_push(smaller)


def test_a_damaged_folder_is_not_sent(there: LocalHub, smaller: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(smaller, copy)
    shard = copy / Manifest.read(copy).shards[0].path
    body = bytearray(shard.read_bytes())
    body[len(body) // 2] ^= 1
    shard.write_bytes(body)

    with pytest.raises(VerificationError, match="nothing was sent"):
        check_folder(copy, jobs=1)
    with pytest.raises(FolderError, match="changed while it was sent"):  # and if nobody checked
        run_push(copy)
    assert "manifest.json" not in there.repo(REPO).tree("main")


def test_a_folder_of_that_name_stops_the_push(
    there: LocalHub, smaller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """load_dataset would open it, and nothing on the Hub would have been checked."""
    (tmp_path / REPO).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(HubError, match="run the command from another folder"):
        run_push(smaller)
    assert not there.requests("discussion-new", "commit")


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


def test_a_foreign_file_in_the_pull_request_is_noticed(there: LocalHub, smaller: Path) -> None:
    """Somebody adds to it while it is filled."""
    repo = there.repo(REPO)

    def adds(request: object) -> bool:
        if getattr(request, "kind", "") == "lfs-put" and "x.parquet" not in repo.tree("refs/pr/1"):
            repo.write({"data/train/x.parquet": b"PAR1"}, revision="refs/pr/1")
        return False

    there.inject(when=adds, fault=Fault(status=503))
    with pytest.raises(HubError, match=r"1 files that main does not have, e\.g\. data/train/x\.parquet"):
        run_push(smaller)
    assert "manifest.json" not in repo.tree("main")


def test_no_manifest_can_remove_what_no_build_writes(there: LocalHub, more: Path, smaller: Path) -> None:
    """Whatever it lists, and whoever wrote it."""
    run_push(more)
    repo = there.repo(REPO)
    listed = json.loads(repo.read("main", "manifest.json"))
    listed["files"] += [{"path": path} for path in ("v4/testing.h5.gz", ".gitattributes", "../x")]
    repo.write({"manifest.json": json.dumps(listed).encode()})

    run_push(smaller)
    assert {"v4/testing.h5.gz", ".gitattributes"} <= set(repo.tree("main"))

    for wrong in (b"[" * 100_000, json.dumps({**listed, "format_version": "1\x1b[31m"}).encode()):
        repo.write({"manifest.json": wrong})
        with pytest.raises(HubError, match="cannot be understood") as caught:
            run_push(smaller)
        assert "\x1b" not in str(caught.value)


def test_the_data_tag_stays(there: LocalHub, smaller: Path) -> None:
    """A later commit of somebody else is not the dataset."""
    first = run_push(smaller)
    there.repo(REPO).write({"v4/more.txt": b"theirs"})
    again = run_push(smaller)

    tags = there.repo(REPO).tags
    assert again.commit != first.commit
    assert tags[f"data-{Manifest.read(smaller).digest}"] == first.commit
    assert tags["format-1.0"] == again.commit


@pytest.mark.parametrize("how", ["deleted", "shorter", "flipped"])
def test_a_file_that_changes_while_it_is_sent(
    there: LocalHub, smaller: Path, tmp_path: Path, how: str
) -> None:
    """One sentence, whatever the Hub makes of it; nothing wrong is committed."""
    copy = tmp_path / "copy"
    shutil.copytree(smaller, copy)
    shard = copy / Manifest.read(copy).shards[-1].path

    def change(request: object) -> bool:
        if getattr(request, "kind", "") == "lfs-batch" and shard.exists():
            body = shard.read_bytes()
            shard.write_bytes(body[:-9] if how == "shorter" else body[:-9] + bytes(9))
            if how == "deleted":
                shard.unlink()
        return False

    there.inject(when=change, fault=Fault(status=503))
    with pytest.raises(FolderError, match=f"{shard.name}: changed while it was sent"):
        run_push(copy)
    assert not there.requests("commit")


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
