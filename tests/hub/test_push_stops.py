"""What stops a push: nothing wrong or half gets to main, and nothing of others is lost."""

import json
import shutil
from pathlib import Path
from threading import Barrier, Thread

import pytest
from local_hub import Fault, LocalHub
from publishing import FOREIGN, QUICK, REPO, run_push

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.errors import FolderError, HubError, VerificationError
from so2sat_hf.hub import card, push_plan
from so2sat_hf.hub.push import push
from so2sat_hf.hub.push_plan import check_folder, plan_push
from so2sat_hf.hub.repository import Repository


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
