"""A build from the Hub that is cut, killed or given other bytes, and who may build."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from folders import published
from from_hub import LIKE_ARROW, NAME, arrow, built, contents, fetched, opened, parquet, repo
from local_hub import Fault, LocalHub, Repo

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.workspace import WORK
from so2sat_hf.errors import HubError
from so2sat_hf.hub.patience import Patience

__all__ = ["arrow", "parquet", "repo"]  # fixtures


# faults


def test_finished_files_are_not_fetched_again(hub: LocalHub, repo: Repo, arrow: Path, tmp_path: Path) -> None:
    """Cut in the middle and given up; the next run goes on at that byte, and the bytes are the same."""
    hub.inject(fault=Fault(cut=300_000), when=lambda request: "00003-of" in request.path)
    with pytest.raises(
        HubError, match=r"the connection failed .*; run the same command again later: it continues at"
    ):
        built(opened(patience=Patience(tries=1)), tmp_path / "out")
    first = fetched(hub)
    assert published(tmp_path / "out") == {}
    (part,) = tmp_path.rglob("*.part")
    there = part.stat().st_size
    hub.reset_log()

    report = built(opened(), tmp_path / "out")

    assert (report.written, report.reused) == (6, 3)
    assert not set(first[:-1]) & set(fetched(hub))
    assert hub.requests("storage-get")[0].headers["range"] == f"bytes={there}-"
    assert published(tmp_path / "out") == published(arrow)


@pytest.mark.parametrize(
    "fault", [Fault(cut=100_000), Fault(status=503), Fault(status=429, headers={"Retry-After": "0"})]
)
@pytest.mark.parametrize("kind", ["info", "tree", "resolve-get", "storage-get"])
def test_what_passes_is_asked_again(
    hub: LocalHub, repo: Repo, arrow: Path, tmp_path: Path, fault: Fault, kind: str
) -> None:
    """Nobody has to start the build again."""
    hub.inject(fault=fault, when=lambda request: request.kind == kind, times=2)

    report = built(opened("test"), tmp_path / "out")

    assert report.manifest.shards == Manifest.read(arrow).shards_of("test")
    assert len([request for request in hub.log if request.fault]) == 2


def test_other_bytes_are_never_used(hub: LocalHub, repo: Repo, arrow: Path, tmp_path: Path) -> None:
    """A wrong byte on the server, or one that another manifest states, is one error."""
    sha256 = repo.tree("main")["data/test/00000-of-00002.parquet"].sha256
    right = repo.objects[sha256]
    repo.objects[sha256] = right[:5000] + bytes([right[5000] ^ 1]) + right[5001:]
    with pytest.raises(
        HubError, match=f"test/00000.*: sha256 .* were removed; expected {sha256} in manifest.json"
    ):
        built(opened(), tmp_path / "out")
    assert published(tmp_path / "out") == {}
    assert not [path for path in tmp_path.rglob("copies/*") if path.suffix != ".lock"]

    repo.objects[sha256] = right
    built(opened(), tmp_path / "out")
    assert published(tmp_path / "out") == published(arrow)


@pytest.mark.parametrize("change", ["missing", "other", "no manifest", "damaged manifest", "path"])
def test_a_repository_that_is_no_dataset_is_refused(hub: LocalHub, repo: Repo, change: str) -> None:
    """Before anything is fetched."""
    path, manifest = "data/train/00001-of-00005.parquet", repo.read("main", "manifest.json")
    changes: Mapping[str, Mapping[str, bytes]] = {
        "missing": {},
        "other": {path: repo.read("main", path)[:-1] + b"x"},
        "no manifest": {},
        "damaged manifest": {"manifest.json": manifest[:-40]},
        "path": {"manifest.json": manifest.replace(b"data/train/00001", b"../../train/00001")},
    }
    gone = {"missing": [path], "no manifest": ["manifest.json"]}
    repo.write(changes[change], delete=gone.get(change, []))
    words = {
        "missing": f"main: no {path}, which manifest.json lists",
        "other": f"main: another {path} than manifest.json says",
        "no manifest": "main: no manifest.json; expected a dataset that `so2sat build` wrote",
        "damaged manifest": r"manifest.json of .*: cannot be read",
        "path": "a relative path below the folder",
    }

    with pytest.raises(HubError, match=words[change]):
        opened()
    assert fetched(hub) == []


COMMAND = [sys.executable, "-c", "from so2sat_hf.cli import cli; cli()"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_builds_go_on(
    hub: LocalHub, repo: Repo, arrow: Path, tmp_path: Path, hub_environment: Mapping[str, str], jobs: int
) -> None:
    """SIGKILL while a file is on its way, twice; what was finished is not asked for again."""
    out = tmp_path / "out"
    command = [*COMMAND, "build", NAME, str(out), *map(str, LIKE_ARROW[:-1]), str(jobs)]
    finished: set[str] = set()
    for number in (3, 5):
        hub.reset_log()
        served = iter(range(number))
        hub.inject(
            fault=Fault(silent=200_000),
            when=lambda request, served=served: request.kind == "storage-get" and next(served, None) is None,
            times=9,
        )
        process = subprocess.Popen(
            command, env=dict(hub_environment), start_new_session=True, stdout=-3, stderr=-3
        )
        wait_for(lambda: any(request.fault for request in hub.log) and list(out.rglob("*.part")))
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not finished & set(fetched(hub))
        finished = {path.stem for path in out.glob(f"{WORK}/*/receipts/data-*.json")}
        finished = {name.removeprefix("data-").replace("-", "/", 1) for name in finished}
        hub.plans.waiting.clear()
    assert finished
    hub.reset_log()

    done = subprocess.run(command, env=dict(hub_environment), check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert not finished & {path.replace(".parquet", ".arrow") for path in fetched(hub)}
    assert published(out) == published(arrow)
    assert not list(out.rglob("copies"))


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# rights


def test_a_private_dataset_needs_a_token_that_is_kept_nowhere(
    hub: LocalHub, parquet: Path, arrow: Path, tmp_path: Path, hub_environment: Mapping[str, str]
) -> None:
    """The Hub is asked with it, the storage without; no file and no line of output has it."""
    token = hub.add_user("maria", orgs={"zhu-xlab": "read"})
    hub.create_repo(NAME, private=True, files=contents(parquet))
    out = tmp_path / "out"
    command = [*COMMAND, "build", NAME, str(out), *map(str, LIKE_ARROW[:-1]), "2"]

    def go(token: str | None) -> subprocess.CompletedProcess[str]:
        environment = dict(hub_environment) | ({"HF_TOKEN": token} if token else {})
        return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)

    strangers = [go(None), go("hf_wrong")]
    assert not out.exists()
    hub.inject(fault=Fault(cut=1000), when=lambda request: request.kind == "storage-get")
    done = go(token)

    assert done.returncode == 0, done.stderr
    for refused in strangers:
        assert refused.returncode == 1
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert "a private one: the Hub asks for a token" in strangers[0].stderr
    assert "a private one: the Hub does not accept the token" in strangers[1].stderr
    assert published(out) == published(arrow)
    assert {request.headers.get("authorization") for request in hub.requests("storage-get")} == {None}
    texts = [run.stdout + run.stderr for run in (*strangers, done)]
    assert not [text for text in texts if token in text or "hf_wrong" in text]
    assert not [path for path in out.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]


def test_a_source_can_be_sent_to_another_process_without_the_token(
    hub: LocalHub, repo: Repo, login: Callable[[str], None]
) -> None:
    """Every process finds it where huggingface_hub looks."""
    token = hub.add_user("maria")
    login(token)
    source = opened()

    assert token.encode() not in pickle.dumps(source)
    assert pickle.loads(pickle.dumps(source)).num_rows == {"train": 260, "validation": 90, "test": 70}
