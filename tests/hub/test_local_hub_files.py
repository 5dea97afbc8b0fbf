"""The local Hub of these tests, asked by unmodified clients: files that are fetched, readers old and new."""

import os
import subprocess
import time
from pathlib import Path
from statistics import median

import pytest
from hub_samples import FILES, ID, OURS, README, add, parquet, refused
from huggingface_hub import HfApi, HfFileSystem, __version__, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import get_session
from local_hub import LocalHub, Repo


def test_files_are_downloaded(hub: LocalHub, api: HfApi, repo: Repo, tmp_path: Path) -> None:
    """Whole, in parts, and all together; LFS comes from another host."""
    path = hf_hub_download(**OURS, filename="data/a.parquet")
    assert Path(path).read_bytes() == FILES["data/a.parquet"]
    assert [request.kind for request in hub.log] == ["resolve-head", "storage-get"]
    snapshot_download(**OURS, local_dir=tmp_path / "all", revision=repo.head("main"))
    assert {name: (tmp_path / "all" / name).read_bytes() for name in FILES} == FILES
    with HfFileSystem().open(f"datasets/{ID}/data/a.parquet", block_size=10) as file:
        file.seek(5)
        assert file.read(7) == FILES["data/a.parquet"][5:12]
    assert hub.requests("resolve-get")[-1].headers["range"].startswith("bytes=5-")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(**OURS, filename="gone.txt")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(**OURS, filename="README.md", revision="gone")


def test_ranges(hub: LocalHub, repo: Repo) -> None:
    """One part of a file at a time; a part that does not exist is refused."""
    url = f"{hub.url}/datasets/{ID}/resolve/main/README.md"

    def get(asked: str, **more: str) -> tuple[int, bytes, str | None]:
        answer = get_session().get(url, headers={"range": asked, **more})
        return answer.status_code, answer.content, answer.headers.get("content-range")

    size, etag = len(README), f'"{repo.tree()["README.md"].oid}"'
    assert get("bytes=4-6") == (206, README[4:7], f"bytes 4-6/{size}")
    assert get("bytes=4-") == (206, README[4:], f"bytes 4-{size - 1}/{size}")
    assert get("bytes=-3") == (206, README[-3:], f"bytes {size - 3}-{size - 1}/{size}")
    assert get(f"bytes={size}-") == (416, b"", f"bytes */{size}")
    assert get("bytes=4-6", **{"if-range": etag})[0] == 206
    assert get("bytes=4-6", **{"if-range": '"another"'}) == (200, README, None)


def test_the_storage_wants_a_signature_and_no_token(hub: LocalHub, api: HfApi, repo: Repo) -> None:
    """Who sends their token there is told so."""
    url = hub.storage(repo, repo.tree()["data/a.parquet"].sha256)
    assert get_session().get(url).content == FILES["data/a.parquet"]
    assert get_session().get(url, headers={"authorization": "Bearer hf_x"}).status_code == 403
    assert get_session().get(url.partition("?")[0]).status_code == 403
    assert get_session().put(url, content=b"other").status_code == 400
    assert repo.read("main", "data/a.parquet") == FILES["data/a.parquet"]


def test_private_means_private(hub: LocalHub, api: HfApi, stranger: HfApi) -> None:
    """For strangers there is no such repository; members read it."""
    hub.create_repo(ID, private=True, files=FILES)
    reader = hub.add_user("rosa", orgs={"zhu-xlab": "read"})
    for unknown, status in [(stranger, 404), (HfApi(token=False), 401)]:
        with pytest.raises(RepositoryNotFoundError) as caught:
            unknown.dataset_info(ID)
        assert caught.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            unknown.hf_hub_download(**OURS, filename="README.md")
        with pytest.raises(RepositoryNotFoundError):
            unknown.create_pull_request(**OURS, title="Let me in")
    assert Path(hf_hub_download(**OURS, filename="data/a.parquet", token=reader)).is_file()
    with refused(403):
        HfApi(token=reader).create_commit(**OURS, operations=add("a.txt"), commit_message="m")
    api.auth_check(**OURS, **({} if __version__.startswith("1.") else {"write": True}))


@pytest.mark.parametrize("owner", ["user", "namespace"])
def test_a_full_disk(hub: LocalHub, owner: str) -> None:
    """The quota, of a user or of where they upload to, counts what is stored, once."""
    quota = len(parquet(0)) + 10
    api = HfApi(token=hub.add_user("kim", quota=quota if owner == "user" else None))
    if owner == "namespace":
        hub.quotas["kim"] = quota
    api.create_repo("kim/x", private=True, repo_type="dataset")
    for name in ("a.parquet", "b.parquet"):  # the same content
        api.create_commit("kim/x", add(name, parquet(0)), commit_message="m", repo_type="dataset")
    with refused(403, "Private repository storage limit reached, please upgrade your plan"):
        api.create_commit("kim/x", add("c.parquet", parquet(50)), commit_message="m", repo_type="dataset")
    assert sorted(hub.repo("kim/x").tree()) == [".gitattributes", "a.parquet", "b.parquet"]


def test_a_model_travels(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    """Models have addresses without a prefix."""
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "up" / "config.json").write_text("{}")
    api.create_repo("maria/lcz")
    made = api.upload_folder(repo_id="maria/lcz", folder_path=tmp_path / "up")
    assert made.repo_url.repo_id == "maria/lcz"
    path = hf_hub_download("maria/lcz", "model.safetensors")
    assert Path(path).read_bytes() == b"weights"
    assert hub.repo("maria/lcz", "model").tree()["config.json"].sha256 is None


def test_datasets_loads_and_pushes(hub: LocalHub, api: HfApi, repo: Repo, stranger: HfApi) -> None:
    """Whole, as a stream, a pull request's version, and what was pushed."""
    from datasets import Dataset, load_dataset

    stranger.create_commit(
        **OURS, operations=add("data/c.parquet", parquet(100)), commit_message="m", create_pr=True
    )
    assert load_dataset(ID, split="train")["id"][:] == list(range(100))
    assert [row["id"] for row in load_dataset(ID, split="train", streaming=True)] == list(range(100))
    assert len(load_dataset(ID, split="train", revision="refs/pr/1")) == 150
    Dataset.from_dict({"id": [7, 8]}).push_to_hub("maria/own")
    assert load_dataset("maria/own", split="train")["id"][:] == [7, 8]


LEGACY = """
import os
from datasets import load_dataset
whole = load_dataset("zhu-xlab/So2Sat-LCZ42", split="train")
stream = load_dataset("zhu-xlab/So2Sat-LCZ42", split="train", streaming=True)
print(whole["id"] == [row["id"] for row in stream] == list(range(100)), flush=True)
os._exit(0)  # threads of streams can hang at exit
"""


@pytest.mark.parametrize("version", ["3.6.0", "2.21.0"])
def test_older_datasets_load_from_here(hub: LocalHub, hub_environment: dict[str, str], version: str) -> None:
    """By name, from a private repository: releases before version 4."""
    variable = f"SO2SAT_PYTHON_DATASETS_{version.replace('.', '_')}"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} does not name a Python with datasets {version}; .ci/run makes one")
    hub.create_repo(ID, files=FILES, private=True)
    token = hub.add_user("maria", orgs={"zhu-xlab": "read"})
    environment = {**hub_environment, "HF_TOKEN": token, "PYTHONPATH": ""}

    args = [python, "-c", LEGACY]
    done = subprocess.run(args, capture_output=True, text=True, env=environment, check=False)

    assert done.stdout == "True\n", done.stderr
    assert not [request for request in hub.requests("storage-get") if "authorization" in request.headers]


def test_it_answers_at_once(hub: LocalHub, repo: Repo) -> None:
    """A few milliseconds, or tests of many requests would take minutes."""
    url, seconds = f"{hub.url}/datasets/{ID}/resolve/main/data/a.parquet", []
    for _ in range(30):
        began = time.perf_counter()
        get_session().head(url, follow_redirects=False)
        seconds.append(time.perf_counter() - began)

    assert min(seconds) < 0.003
    assert median(seconds) < 0.02  # also on a busy machine: what Nagle's algorithm adds is 0.04
    assert [request.number for request in hub.log] == list(range(30))
