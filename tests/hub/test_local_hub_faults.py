"""The local Hub of these tests misbehaves as it is told, and nothing it does holds up the end of a test."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hub_samples import FILES, ID, OURS, add, parquet, refused
from huggingface_hub import HfApi, HfFileSystem, __version__
from local_hub import Fault, LocalHub, Repo, Request, serving

try:
    import httpx2 as httpx
except ImportError:  # huggingface_hub before it took httpx2
    import httpx

README = f"/datasets/{ID}/resolve/main/README.md"
LARGE = f"/datasets/{ID}/resolve/main/data/a.parquet"
SOON = 0.3
"""Seconds after which a client gives up where it will get no answer."""

RETRIES = pytest.mark.skipif(
    __version__.startswith("1."), reason="clients before version 2 do not try again after a cut"
)


@pytest.fixture
def client(hub: LocalHub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hub.url, timeout=10, follow_redirects=True, trust_env=False) as client:
        yield client


def kind(name: str) -> Callable[[Request], bool]:
    return lambda request: request.kind == name


@pytest.mark.parametrize("status", [412, 429, 500, 502, 503])
def test_an_answer_instead_of_work(hub: LocalHub, api: HfApi, repo: Repo, status: int) -> None:
    """With headers and a message; the next try works."""
    before = repo.head("main")
    hub.inject(when=kind("commit"), fault=Fault(status=status, headers={"Retry-After": "1"}, message="No."))
    with refused(status, "No\\." if status != 429 else "Too Many") as caught:
        api.create_commit(**OURS, operations=add("a.txt"), commit_message="m")
    assert caught.value.response.headers["retry-after"] == "1"
    assert repo.head("main") == before
    api.create_commit(**OURS, operations=add("a.txt"), commit_message="m")
    assert repo.head("main") != before
    assert [request.status for request in hub.requests("commit")] == [status, 200]


def test_requests_are_counted(hub: LocalHub, client: httpx.Client, repo: Repo) -> None:
    """By number since the log was reset, or by what they are, as often as asked for."""
    client.get(README)
    hub.reset_log()
    hub.inject(at=1, fault=Fault(status=500))
    hub.inject(when=kind("info"), fault=Fault(status=503), times=2)

    info = f"/api/datasets/{ID}"
    paths = [README, README, README, info, info, info]
    assert [client.get(path).status_code for path in paths] == [200, 500, 200, 503, 503, 200]
    assert [request.number for request in hub.log] == [0, 1, 2, 3, 4, 5]
    assert [request.path for request in hub.log] == paths
    assert [bool(request.fault) for request in hub.log] == [False, True, False, True, True, False]
    assert (hub.log[2].sent, hub.log[2].method) == (len(FILES["README.md"]), "GET")


@pytest.mark.parametrize("fault", [Fault(cut="before"), Fault(cut=40)])
def test_a_cut_before_the_work(hub: LocalHub, api: HfApi, repo: Repo, fault: Fault) -> None:
    """The connection is closed; nothing has happened."""
    before = repo.head("main")
    hub.inject(when=kind("commit"), fault=fault)
    with pytest.raises(httpx.TransportError):
        api.create_commit(**OURS, operations=add("a.txt"), commit_message="m")
    assert (repo.head("main"), hub.log[-1].status) == (before, 0)
    assert bool(hub.log[-1].received) == (fault.cut == 40)


def test_a_cut_after_the_work(hub: LocalHub, api: HfApi, repo: Repo) -> None:
    """The connection is closed; it has happened, and nobody was told."""
    before = repo.head("main")
    hub.inject(when=kind("commit"), fault=Fault(cut="after"))
    with pytest.raises(httpx.TransportError):
        api.create_commit(**OURS, operations=add("a.txt"), commit_message="m")
    assert repo.history()[0].parents == (before,)


@RETRIES
def test_a_cut_while_a_file_is_sent(
    hub: LocalHub, api: HfApi, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the storage: the client tries again, and the file is whole."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    content = parquet(100) + bytes(3_000_000)
    hub.inject(when=kind("lfs-put"), fault=Fault(cut=100_000))
    api.create_commit(**OURS, operations=add("data/c.parquet", content), commit_message="m")

    first, second = hub.requests("lfs-put")
    assert 100_000 <= first.received < 1_000_000
    assert second.received == len(content)
    assert repo.read("main", "data/c.parquet") == content


@pytest.mark.parametrize("path", [README, LARGE])
def test_a_cut_while_a_file_is_fetched(hub: LocalHub, client: httpx.Client, repo: Repo, path: str) -> None:
    """As many bytes as told arrive, from the storage as well."""
    whole = client.get(path).content
    hub.inject(when=kind("resolve-get"), fault=Fault(cut=30))
    with client.stream("GET", path) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == whole[:30]
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    assert hub.log[-1].sent == 30
    assert client.get(path).content == whole


@pytest.mark.parametrize("path", [README, LARGE])
def test_silence_in_the_middle(hub: LocalHub, client: httpx.Client, repo: Repo, path: str) -> None:
    """Some bytes, then nothing."""
    hub.inject(when=kind("resolve-get"), fault=Fault(silent=30))
    with client.stream("GET", path, timeout=SOON) as answer:
        pieces = answer.iter_raw()
        assert len(next(pieces)) == 30
        with pytest.raises(httpx.ReadTimeout):
            next(pieces)


@pytest.mark.parametrize(("silent", "done"), [(True, False), ("after", True)])
def test_silence(
    hub: LocalHub,
    client: httpx.Client,
    repo: Repo,
    silent: bool | str,  # noqa: FBT001 (a parameter of the test)
    done: bool,  # noqa: FBT001
) -> None:
    """No answer, with or without the work."""
    before = repo.head("main")
    token = hub.add_user("maria", orgs={"zhu-xlab": "write"})
    hub.inject(when=kind("commit"), fault=Fault(silent=silent))
    lines = [
        {"key": "header", "value": {"summary": "m"}},
        {"key": "file", "value": {"path": "a.txt", "content": "a"}},
    ]
    with pytest.raises(httpx.ReadTimeout):
        client.post(
            f"/api/datasets/{ID}/commit/main",
            content="\n".join(map(json.dumps, lines)),
            headers={"authorization": f"Bearer {token}"},
            timeout=SOON,
        )
    assert (repo.head("main") != before) == done


@pytest.mark.parametrize("fault", [Fault(cut="before"), Fault(cut=10), Fault(silent=True), Fault(silent=10)])
def test_a_head_that_is_not_answered(hub: LocalHub, client: httpx.Client, repo: Repo, fault: Fault) -> None:
    """It has no body that could be cut."""
    hub.inject(when=kind("resolve-head"), fault=fault)
    with pytest.raises(httpx.TransportError):
        client.head(README, timeout=SOON)
    assert client.head(README).headers["content-length"] == str(len(FILES["README.md"]))


def test_a_slow_body(hub: LocalHub, client: httpx.Client, repo: Repo) -> None:
    """So many bytes a second, in small pieces."""
    hub.inject(when=kind("resolve-get"), fault=Fault(slow=500))
    began = time.perf_counter()
    with client.stream("GET", README) as answer:
        pieces = list(answer.iter_raw())
    assert b"".join(pieces) == FILES["README.md"]
    assert time.perf_counter() - began > 0.8 * len(FILES["README.md"]) / 500
    assert len(pieces) > 3


def test_a_slow_upload(hub: LocalHub, client: httpx.Client, repo: Repo) -> None:
    """The storage takes its time."""
    content = parquet(100)
    hub.inject(when=kind("lfs-put"), fault=Fault(slow=len(content) * 5))
    began = time.perf_counter()
    entry = repo.lfs_entry(hashlib.sha256(content).hexdigest(), len(content))
    client.put(hub.storage(repo, entry.sha256), content=content)
    assert time.perf_counter() - began > 0.1
    assert repo.content(entry) == content


@RETRIES
def test_faults_of_a_stream(hub: LocalHub, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """HfFileSystem, which datasets streams with, gets over a cut."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    hub.inject(when=kind("resolve-get"), fault=Fault(cut="before"))
    with HfFileSystem().open(f"datasets/{ID}/data/a.parquet") as file:
        assert file.read() == FILES["data/a.parquet"]


def test_a_reset_forgets_everything_and_ends_silence(hub: LocalHub, repo: Repo) -> None:
    """Who waits is let go at once, and nothing of theirs happens afterwards."""
    failed: list[Exception] = []
    hub.inject(when=kind("resolve-get"), fault=Fault(silent=True))
    hub.inject(when=kind("info"), fault=Fault(status=500))

    def ask() -> None:
        try:
            httpx.get(hub.url + README, timeout=20, trust_env=False)
        except httpx.TransportError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not hub.log:
        time.sleep(0.001)
    hub.reset()
    thread.join(5)

    assert len(failed) == 1
    assert (hub.repos, hub.users, hub.log) == ({}, {}, [])
    hub.create_repo(ID)
    assert HfApi(token=False).dataset_info(ID).id == ID


def test_a_server_stops_while_somebody_waits() -> None:
    """Silent, slow or in the middle of a body: the end of the block takes no time."""
    with serving() as hub, httpx.Client(base_url=hub.url, timeout=0.05, trust_env=False) as client:
        hub.create_repo(ID, files=FILES)
        for fault in (Fault(silent=True), Fault(silent="after"), Fault(slow=1), Fault(silent=3)):
            hub.inject(fault=fault)
            with pytest.raises(httpx.TimeoutException):
                client.get(README)
        began = time.perf_counter()
    assert time.perf_counter() - began < 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(hub.url, timeout=0.5, trust_env=False)
