"""``so2sat build OWNER/NAME OUT``: from the Hub to Arrow shards, file by file, over HTTP."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from folders import published
from from_hub import ARROW, LIKE_ARROW, NAME, arrow, built, contents, fetched, opened, parquet, repo, run
from local_hub import LocalHub, Repo
from regrouped import write_version_3

from so2sat_hf.assemble import extras, match_versions
from so2sat_hf.convert.build import build
from so2sat_hf.convert.built import open_built
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.convert.workspace import WORK
from so2sat_hf.errors import FolderError, HubError, SourceError

__all__ = ["arrow", "parquet", "repo"]  # fixtures


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
