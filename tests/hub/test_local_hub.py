"""The local Hub of these tests, asked by unmodified clients: repositories, commits, pull requests."""

import json
import os
from collections.abc import Callable

import pytest
from hub_samples import FILES, ID, OURS, README, add, parquet, refused
from huggingface_hub import CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    LocalTokenNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session, hf_raise_for_status
from local_hub import LocalHub, MissingError, Repo


def test_who_somebody_is(hub: LocalHub, api: HfApi, login: Callable) -> None:
    """Names, organizations and roles; a wrong token is told from none."""
    me = api.whoami()
    assert (me["name"], me["auth"]["accessToken"]["role"]) == ("maria", "write")
    assert [(org["name"], org["roleInOrg"]) for org in me["orgs"]] == [("zhu-xlab", "write")]
    with refused(401, "Invalid user token"):
        HfApi(token="hf_wrong").whoami()
    with refused(401, "Invalid credentials in Authorization header"):
        HfApi(token="hf_wrong").create_repo("x")
    login("")
    with pytest.raises(LocalTokenNotFoundError):
        api.whoami()


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_a_repository_is_created(hub: LocalHub, api: HfApi, kind: str) -> None:
    """Once; with a first commit, as on the Hub."""
    url = api.create_repo(ID, repo_type=kind, private=True)
    assert (url.repo_id, url.repo_type) == (ID, kind)
    assert api.create_repo(ID, repo_type=kind, exist_ok=True) == url
    with refused(409, "already created"):
        api.create_repo(ID, repo_type=kind)
    info = api.repo_info(ID, repo_type=kind, files_metadata=True)
    assert (info.private, info.author, info.sha) == (True, "zhu-xlab", hub.repo(ID, kind).head("main"))
    assert [file.rfilename for file in info.siblings] == [".gitattributes"]
    api.update_repo_settings(ID, repo_type=kind, private=False)
    assert not hub.repo(ID, kind).private


def test_who_may_create(hub: LocalHub, api: HfApi, stranger: HfApi) -> None:
    """Members who write or contribute; names have to be good ones."""
    with refused(403, 'rights to create a dataset under the namespace "zhu-xlab"'):
        stranger.create_repo(ID, repo_type="dataset")
    with refused(403, "rights to create a model"):
        HfApi(token=hub.add_user("maria", access="read")).create_repo("maria/x")
    with refused(401):
        HfApi(token=False).create_repo("maria/x")
    bad = get_session().post(
        f"{hub.url}/api/repos/create",
        json={"name": "two--dashes"},
        headers={"authorization": f"Bearer {os.environ['HF_TOKEN']}"},
    )
    assert bad.status_code == 400
    contributor = HfApi(token=hub.add_user("kim", orgs={"zhu-xlab": "contributor"}))
    contributor.create_repo("zhu-xlab/own", repo_type="dataset")
    contributor.create_commit("zhu-xlab/own", add("a.txt"), commit_message="m", repo_type="dataset")
    hub.create_repo(ID)
    with refused(403, "create_pr=1"):
        contributor.create_commit(**OURS, operations=add("a.txt"), commit_message="m")


def test_a_commit_adds_copies_and_deletes(hub: LocalHub, api: HfApi, repo: Repo) -> None:
    """Large files by LFS, small ones with the commit; copies need no upload."""
    before = repo.head("main")
    new = [*add("notes/small.txt"), *add("data/c.parquet", parquet(100))]
    copies = [CommitOperationCopy("data/a.parquet", "copy.parquet"), CommitOperationCopy("README.md", "B.md")]
    delete = [CommitOperationDelete("data/b.parquet")]
    hub.reset_log()

    made = api.create_commit(
        **OURS, operations=[*new, *copies, *delete], commit_message="m", parent_commit=before
    )

    commit = repo.history("main")[0]
    assert (commit.sha, commit.parents, commit.title, commit.author) == (made.oid, (before,), "m", "maria")
    names = [".gitattributes", "B.md", "README.md", "copy.parquet", "data/a.parquet", "data/c.parquet"]
    assert sorted(commit.files) == [*names, "notes/small.txt"]
    assert commit.files["notes/small.txt"].oid == "f3a34851d44d6b97c90fbb99dd3d18c261b9a237"  # as git has it
    assert commit.files["copy.parquet"] == commit.files["data/a.parquet"]
    assert repo.read("main", "data/c.parquet") == parquet(100)
    assert [len(hub.requests(kind)) for kind in ("lfs-batch", "lfs-put", "lfs-verify", "commit")] == [1] * 4
    assert repo.read(before, "data/b.parquet") == parquet(50)
    with pytest.raises(MissingError):
        repo.read("main", "data/b.parquet")


def test_what_is_there_is_not_sent_again(hub: LocalHub, api: HfApi, repo: Repo) -> None:
    """Neither the same file nor the same content under another name."""
    before = repo.head("main")
    hub.reset_log()
    same = api.create_commit(
        **OURS, operations=add("data/a.parquet", FILES["data/a.parquet"]), commit_message="m"
    )
    assert (same.oid, repo.head("main")) == (before, before)
    api.create_commit(**OURS, operations=add("data/z.parquet", FILES["data/a.parquet"]), commit_message="m")
    assert not hub.requests("lfs-put")
    assert repo.read("main", "data/z.parquet") == FILES["data/a.parquet"]


def test_commits_that_are_refused(hub: LocalHub, api: HfApi, repo: Repo) -> None:
    """Nothing of them happens."""
    before = repo.head("main")
    repo.write({"b.txt": b"b"}, title="somebody else")
    with refused(412, "A commit has happened since"):
        api.create_commit(**OURS, operations=add("a.txt"), commit_message="m", parent_commit=before)
    with pytest.raises(EntryNotFoundError):
        api.create_commit(**OURS, operations=[CommitOperationDelete("gone.txt")], commit_message="m")
    with pytest.raises(RevisionNotFoundError):
        api.create_commit(**OURS, operations=add("a.txt"), commit_message="m", revision="gone")
    with pytest.raises(BadRequestError, match="Invalid path"):
        raw_commit(hub, {"key": "file", "value": {"path": "a//b", "content": ""}})
    with pytest.raises(BadRequestError, match="does not exist"):
        raw_commit(hub, {"key": "lfsFile", "value": {"path": "x.h5", "algo": "sha256", "oid": "0" * 64}})
    with pytest.raises(ValueError, match="Invalid metadata in README"):
        api.create_commit(**OURS, operations=add("README.md", b"---\n- [\n---\n"), commit_message="m")
    with pytest.raises(BadRequestError, match="Invalid metadata in README"):
        raw_commit(hub, {"key": "file", "value": {"path": "README.md", "content": "---\n- [\n---\n"}})
    assert [commit.title for commit in repo.history()] == ["somebody else", "Add files", "initial commit"]


def raw_commit(hub: LocalHub, operation: dict) -> None:
    """Send what the client would not."""
    lines = [{"key": "header", "value": {"summary": "m"}}, operation]
    head = {"authorization": f"Bearer {os.environ['HF_TOKEN']}"}
    body = "\n".join(json.dumps(line) for line in lines)
    hf_raise_for_status(
        get_session().post(f"{hub.url}/api/datasets/{ID}/commit/main", content=body, headers=head)
    )


@pytest.mark.parametrize("page_size", [1000, 2])
def test_a_tree_is_listed(hub: LocalHub, api: HfApi, repo: Repo, page_size: int) -> None:
    """Whole or folder by folder, on as many pages as it takes."""
    hub.page_size = page_size
    top = [entry.path for entry in api.list_repo_tree(**OURS)]
    every = {entry.path: entry for entry in api.list_repo_tree(**OURS, recursive=True, expand=True)}

    assert top == [".gitattributes", "README.md", "data"]
    assert sorted(every) == [*top, "data/a.parquet", "data/b.parquet"]
    file, here = every["data/a.parquet"], repo.tree()["data/a.parquet"]
    assert (file.blob_id, file.lfs.sha256, file.size) == (here.oid, here.sha256, len(FILES["data/a.parquet"]))
    assert every["README.md"].lfs is None
    assert every["data"].last_commit.oid == repo.head("main")
    assert [entry.path for entry in api.list_repo_tree(**OURS, path_in_repo="data")] == list(every)[-2:]
    assert [entry.path for entry in api.get_paths_info(**OURS, paths=["data", "no", "README.md"])] == top[
        :0:-1
    ]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(**OURS, path_in_repo="gone"))
    with pytest.raises(RevisionNotFoundError):
        list(api.list_repo_tree(**OURS, revision="gone"))


def test_branches_tags_and_commits(hub: LocalHub, api: HfApi, repo: Repo, stranger: HfApi) -> None:
    """Made, listed, moved by commits or not, deleted."""
    first = repo.head("main")
    hub.page_size = 1
    api.create_tag(**OURS, tag="format-1.0")
    api.create_branch(**OURS, branch="work")
    made = api.create_commit(**OURS, operations=add("a.txt"), commit_message="m", revision="work")

    assert (repo.tags, repo.branches) == ({"format-1.0": first}, {"main": first, "work": made.oid})
    refs = api.list_repo_refs(**OURS, include_pull_requests=True)
    assert [(ref.name, ref.ref, ref.target_commit) for ref in refs.tags] == [
        ("format-1.0", "refs/tags/format-1.0", first)
    ]
    assert ([ref.name for ref in refs.branches], refs.pull_requests) == (["main", "work"], [])
    titles = [commit.title for commit in api.list_repo_commits(**OURS, revision="work")]
    assert titles == ["m", "Add files", "initial commit"]
    with refused(409, "exists already"):
        api.create_tag(**OURS, tag="format-1.0")
    with refused(409):
        api.create_branch(**OURS, branch="work")
    with refused(403):
        stranger.create_tag(**OURS, tag="x")
    with refused(403):
        stranger.create_branch(**OURS, branch="x")
    api.delete_tag(**OURS, tag="format-1.0")
    api.delete_branch(**OURS, branch="work")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(**OURS, tag="format-1.0")
    assert (repo.tags, repo.branches) == ({}, {"main": first})


def test_a_pull_request_of_a_stranger(hub: LocalHub, api: HfApi, repo: Repo, stranger: HfApi) -> None:
    """Everybody may open one and fill it; only members merge it."""
    first = repo.head("main")
    with refused(403, "create_pr=1"):
        stranger.create_commit(**OURS, operations=add("a.txt"), commit_message="m")
    draft = stranger.create_pull_request(**OURS, title="A better README", description="See inside.")
    assert (draft.num, draft.status, draft.author, draft.target_branch) == (
        1,
        "draft",
        "tom",
        "refs/heads/main",
    )
    made = stranger.create_commit(
        **OURS, operations=add("data/c.parquet", parquet(100)), commit_message="m", revision="refs/pr/1"
    )
    pull = repo.pulls[1]
    assert (pull.head, pull.base, repo.head("main"), repo.head("refs/pr/1")) == (
        made.oid,
        first,
        first,
        made.oid,
    )
    with refused(403):
        HfApi(token=hub.add_user("eve")).create_commit(
            **OURS, operations=add("a.txt"), commit_message="m", revision="refs/pr/1"
        )
    with refused(403):
        stranger.merge_pull_request(**OURS, discussion_num=1)
    with pytest.raises(BadRequestError, match="draft"):
        api.merge_pull_request(**OURS, discussion_num=1)
    stranger.comment_discussion(**OURS, discussion_num=1, comment="Ready.")
    stranger.change_discussion_status(**OURS, discussion_num=1, new_status="open")
    api.merge_pull_request(**OURS, discussion_num=1, comment="Thank you.")

    details = api.get_discussion_details(**OURS, discussion_num=1)
    assert (details.status, details.merge_commit_oid) == ("merged", repo.head("main"))
    assert [comment.text for comment in pull.comments] == ["See inside.", "Ready.", "Thank you."]
    assert [event.type for event in details.events].count("comment") == 3
    assert repo.history()[0].title == "A better README (#1)"
    assert repo.read("main", "data/c.parquet") == parquet(100)


def test_pull_requests_are_found_and_clash(hub: LocalHub, api: HfApi, repo: Repo, stranger: HfApi) -> None:
    """By author, kind and status; two changes of one file cannot be merged."""
    made = stranger.create_commit(
        **OURS, operations=add("README.md", README + b"1"), commit_message="one", create_pr=True
    )
    api.create_discussion(**OURS, title="A question")
    api.create_pull_request(**OURS, title="Mine")
    api.change_discussion_status(**OURS, discussion_num=3, new_status="closed")
    hub.page_size = 1

    def numbers(**asked: str) -> list[int]:
        return [found.num for found in api.get_repo_discussions(**OURS, **asked)]

    assert (made.pr_num, made.pr_revision, repo.pulls[1].status) == (1, "refs/pr/1", "open")
    assert numbers() == [3, 2, 1]
    assert numbers(discussion_type="pull_request", discussion_status="open") == [1]
    assert numbers(author="maria") == [3, 2]
    assert list(repo.pulls) == [1, 3]
    repo.write({"README.md": README + b"2"}, delete=["data/b.parquet"])
    assert sorted(repo.tree()) == [".gitattributes", "README.md", "data/a.parquet"]
    assert api.get_discussion_details(**OURS, discussion_num=1).conflicting_files == ["README.md"]
    with refused(409, "README.md"):
        api.merge_pull_request(**OURS, discussion_num=1)
    old = repo.pulls[1].base
    api.create_commit(
        **OURS, operations=add("a.txt"), commit_message="four", create_pr=True, parent_commit=old
    )
    assert repo.history("refs/pr/4")[0].parents == (old,) != (repo.head("main"),)
