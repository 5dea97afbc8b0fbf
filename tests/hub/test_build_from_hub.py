"""``so2sat build OWNER/NAME OUT``: from the Hub to Arrow shards, file by file, over HTTP."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from folders import published
from local_hub import Fault, LocalHub, Repo
from regrouped import write_version_3

from so2sat_hf.assemble import extras, match_versions
from so2sat_hf.cli import cli
from so2sat_hf.convert.build import BuildReport, build
from so2sat_hf.convert.built import BuiltSource, open_built
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.convert.workspace import WORK
from so2sat_hf.errors import FolderError, HubError, SourceError
from so2sat_hf.hub.address import Address
from so2sat_hf.hub.dataset import open_dataset
from so2sat_hf.hub.patience import Patience

NAME = "zhu-xlab/So2Sat-LCZ42"
ARROW = BuildOptions(file_format="arrow", rows_per_shard=60)
LIKE_ARROW = ("--format", "arrow", "--rows-per-shard", 60, "-j", 1)
FAST = Patience(tries=3, first_wait=0.001, silence=5.0)


@pytest.fixture(scope="module")
def parquet(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies in the repository: nine data files, picture, statistics, card, manifest; no companions."""
    folder = tmp_path_factory.mktemp("from-hub") / "parquet"
    build(source, folder, BuildOptions(rows_per_shard=60), extras=extras(source, companions=()), jobs=1)
    return folder


@pytest.fixture(scope="module")
def arrow(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the folder itself becomes."""
    folder = tmp_path_factory.mktemp("from-folder") / "arrow"
    local = open_built(parquet)
    build(local, folder, ARROW, extras=extras(local, companions=()), jobs=1)
    return folder


@pytest.fixture
def repo(hub: LocalHub, parquet: Path) -> Repo:
    """The dataset beside a file of the publisher, in a public repository."""
    files = contents(parquet) | {"v4/testing.h5.gz": b"published"}
    return hub.create_repo(NAME, kind="dataset", files=files)


def contents(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in published(folder)}


def opened(*splits: str, revision: str | None = None, patience: Patience = FAST) -> BuiltSource:
    return open_dataset(Address(NAME, revision), splits, patience=patience)


def built(source: BuiltSource, out: Path, options: BuildOptions = ARROW, **how: Any) -> BuildReport:
    return build(source, out, options, extras=extras(source, companions=()), **{"jobs": 1} | how)


def fetched(hub: LocalHub) -> list[str]:
    """Paths of the data files that were asked for, in order."""
    return [
        request.path.partition("/data/")[2]
        for request in hub.requests("resolve-get")
        if "/data/" in request.path
    ]


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


# what comes out


@pytest.mark.parametrize(
    "options",
    [
        ARROW,
        BuildOptions(file_format="arrow", columns=("sen2",), sen2_dtype="uint16"),
        BuildOptions(file_format="parquet", columns=("label", "geo")),
        BuildOptions(file_format="arrow"),
        BuildOptions(file_format="arrow", rows_per_shard=25),
    ],
    ids=["arrow", "digital numbers", "no pixels", "larger files", "smaller files"],
)
def test_the_bytes_are_those_of_a_build_from_the_folder(
    hub: LocalHub, repo: Repo, parquet: Path, tmp_path: Path, options: BuildOptions
) -> None:
    """Every file, picture, statistics, card and manifest among them."""
    local = open_built(parquet)
    build(local, tmp_path / "local", options, extras=extras(local, companions=()), jobs=1)
    built(opened(), tmp_path / "hub", options)

    assert published(tmp_path / "hub") == published(tmp_path / "local")
    assert not list((tmp_path / "hub" / WORK).rglob("copies*"))
    assert len(fetched(hub)) == len(set(fetched(hub))) == 9


def test_nothing_but_small_files_is_asked_for_before_the_first_is_written(
    hub: LocalHub, repo: Repo, tmp_path: Path
) -> None:
    """One commit, its tree, its manifest; then each data file once, from that commit."""
    source = opened()

    assert [request.kind for request in hub.log] == ["info", "tree", "resolve-get"]
    assert fetched(hub) == []
    built(source, tmp_path / "out")
    assert {path.partition("/resolve/")[2][:40] for path in paths(hub, "resolve-get")} == {repo.head("main")}


def paths(hub: LocalHub, *kinds: str) -> list[str]:
    return [request.path for request in hub.requests(*kinds)]


def test_one_split(hub: LocalHub, repo: Repo, parquet: Path, tmp_path: Path) -> None:
    """Nothing else is fetched, and the folder is that of the same split of a folder."""
    local = open_built(parquet, ("test",))
    build(local, tmp_path / "local", ARROW, extras=extras(local, companions=()), jobs=1)
    built(opened("test"), tmp_path / "out")

    assert sorted(fetched(hub)) == ["test/00000-of-00002.parquet", "test/00001-of-00002.parquet"]
    assert published(tmp_path / "out") == published(tmp_path / "local")
    with pytest.raises(SourceError, match=r"no split x; expected train or validation or test"):
        opened("x")


def test_membership_in_version_3_comes_along(
    hub: LocalHub, source: RawSource, raw: Path, tmp_path: Path
) -> None:
    """The cells are in the manifest, and every file belongs to one: nothing is matched again."""
    write_version_3(raw, tmp_path / "v3", seed=4)
    version_3 = [open_raw(tmp_path / "v3" / name, drop_geo=True) for name in ("random", "block")]
    more = extras(source, match_versions(version_3, source, jobs=1), companions=())
    before = build(source, tmp_path / "parquet", extras=more, jobs=1).manifest
    hub.create_repo(NAME, files=contents(tmp_path / "parquet"))

    after = built(opened(), tmp_path / "out").manifest

    assert len(after.cells) == 12
    assert after.configs == before.configs
    assert {"random", "block"} <= set(after.configs)
    assert {key: cell.class_counts for key, cell in after.cells.items()} == {
        key: cell.class_counts for key, cell in before.cells.items()
    }


def test_a_head_that_moves_meanwhile_changes_nothing(
    hub: LocalHub, repo: Repo, arrow: Path, tmp_path: Path
) -> None:
    """Every file comes from the commit that was seen first."""

    def move(done: int, _: int) -> None:
        files = [path for path in repo.tree("main") if path.startswith("data/")]
        repo.write({"README.md": b"another dataset", "manifest.json": b"{}"}, delete=files)

    built(opened(), tmp_path / "out", progress=move)

    assert published(tmp_path / "out") == published(arrow)


def test_a_tag_names_an_older_dataset(hub: LocalHub, repo: Repo, arrow: Path, tmp_path: Path) -> None:
    """With --revision and with @."""
    repo.tags["format-1.0"] = repo.head("main")
    manifest = json.loads(repo.read("main", "manifest.json")) | {"format_version": "2.0"}
    repo.write({"manifest.json": json.dumps(manifest).encode()})

    with pytest.raises(HubError, match=r"2\.0; expected 1\.x; .*--revision format-1\.0, or install"):
        opened()
    built(opened(revision="format-1.0"), tmp_path / "out")
    assert published(tmp_path / "out") == published(arrow)
    for args in ((f"hf://datasets/{NAME}@format-1.0",), (NAME, "--revision", "format-1.0")):
        result = run("build", *args[:1], tmp_path / "again", *args[1:], *LIKE_ARROW)
        assert result.exit_code == 0, result.output
    assert published(tmp_path / "again") == published(arrow)


# disk


@pytest.mark.parametrize(
    "options",
    [ARROW, BuildOptions(file_format="arrow"), BuildOptions(file_format="arrow", rows_per_shard=25)],
)
def test_at_most_one_file_of_the_source_is_on_the_disk(
    hub: LocalHub, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: BuildOptions
) -> None:
    """When the next one is fetched, the last one is gone."""
    from so2sat_hf.hub import shelf

    real, counts = shelf.fetch, []

    def counting(remote: Any, folder: Path, **how: Any) -> Any:
        counts.append(len(list(folder.glob("*.parquet"))))
        return real(remote, folder, **how)

    monkeypatch.setattr(shelf, "fetch", counting)
    built(opened(), tmp_path / "out", options)

    assert counts == [0] * 9


def test_processes_share_a_file(
    hub: LocalHub, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small files out of large ones: no file is fetched once for each of its parts."""
    options = BuildOptions(file_format="arrow", rows_per_shard=5)
    most = []

    def look(done: int, _: int) -> None:
        most.append(len(list(tmp_path.rglob("copies/*.parquet"))))

    with ThreadPoolExecutor(3) as executor:
        report = built(opened(), tmp_path / "out", options, executor=executor, progress=look)

    assert report.written == 84
    assert len(fetched(hub)) <= 12
    assert max(most) <= 3
    assert not list(tmp_path.rglob("copies"))


def test_too_little_space_is_said_before_anything_is_fetched(
    hub: LocalHub, repo: Repo, tmp_path: Path, refuse_disk: Callable[[int], None]
) -> None:
    """Arrow files are as large as their pixels, and every process needs a copy."""
    refuse_disk(31_200_000)

    with pytest.raises(
        FolderError, match=r"0.03 GB free; expected 0.03 GB for data files and 0.00 GB for co"
    ):
        built(opened(), tmp_path / "out")
    assert fetched(hub) == []
    refuse_disk(40_000_000)
    built(opened(), tmp_path / "out")
    refuse_disk(0)  # nothing is left to do
    assert built(opened(), tmp_path / "out").reused == 9


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


# the command line


def test_the_command_says_what_it_does(hub: LocalHub, repo: Repo, tmp_path: Path) -> None:
    """From where, how much, what is left out, what comes next; a second run changes nothing."""
    args = (
        "build",
        NAME,
        tmp_path / "out",
        "--format",
        "arrow",
        "--split",
        "test",
        "--split",
        "train",
        "-j",
        1,
    )

    result, again = run(*args), run(*args)

    assert result.exit_code == 0, result.output
    assert f"From {NAME} at {repo.head('main')[:8]}: 7 files of train, test, 0." in result.stderr
    assert "no companions" in result.stderr
    assert "330 patches (train 260, test 70)" in result.stdout
    assert f"Next: so2sat verify {tmp_path / 'out'}\n" in result.stderr
    assert "2 files were there already" in again.stdout
    assert run("verify", tmp_path / "out").exit_code == 0
    assert list(Manifest.read(tmp_path / "out").splits) == ["train", "test"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--companions", "index"], "--companions: SOURCE is a dataset on the Hub, which is read once"),
        (["--membership", "m.parquet"], "--membership: SOURCE is a dataset on the Hub"),
        (["--drop-geo"], "--drop-geo: SOURCE was built before"),
        (["--columns", "sen3"], "column sen3: no such column"),
        (["--revision", "v9"], "or it has no revision v9"),
    ],
)
def test_what_cannot_be_is_said(
    hub: LocalHub, repo: Repo, tmp_path: Path, args: list[str], message: str
) -> None:
    """Exit code 1, nothing fetched, nothing written."""
    result = run("build", NAME, tmp_path / "out", *args)

    assert result.exit_code == 1
    assert message in result.stderr
    assert fetched(hub) == []
    assert not (tmp_path / "out").exists()


def test_a_typing_error_has_two_readings(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is not there may be meant, or a dataset; an address can only be a dataset."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()

    typed, address, path = (
        run("build", source, "out") for source in ("data/raww", "hf://datasets/a/b", "raww")
    )
    model = run("build", "hf://models/a/b", "out")

    assert "data/raww: no such dataset on the Hub" in typed.stderr
    assert "if a folder was meant: there is no data/raww here" in typed.stderr
    assert len(typed.stderr.splitlines()) == 1
    assert "no such dataset on the Hub" in address.stderr
    assert "folder" not in address.stderr
    assert "no such folder" in path.stderr
    assert "expected hf://datasets/OWNER/NAME" in model.stderr
    assert {result.exit_code for result in (typed, address, path, model)} == {1}


def test_offline_both_readings_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE holds here as everywhere."""
    monkeypatch.chdir(tmp_path)

    result = run("build", "data/raww", "out")

    assert "HF_HUB_OFFLINE is set" in result.stderr
    assert "there is no data/raww here" in result.stderr


def test_a_folder_of_that_name_comes_first(
    hub: LocalHub, repo: Repo, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub is not asked; a revision would have no meaning."""
    shutil.copytree(parquet, tmp_path / NAME)
    monkeypatch.chdir(tmp_path)

    result = run("build", NAME, "out", "--companions", "", "-j", 1)
    refused = run("build", NAME, "other", "--revision", "main")

    assert result.exit_code == 0, result.output
    assert hub.log == []
    assert "--revision: zhu-xlab/So2Sat-LCZ42 is no dataset on the Hub" in refused.stderr
