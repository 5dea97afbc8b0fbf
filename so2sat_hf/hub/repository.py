"""A repository on the Hugging Face Hub: what it holds, and the few ways to change it.

The settings of huggingface_hub hold here as everywhere: ``HF_ENDPOINT``, the token of ``hf auth login`` or
``HF_TOKEN``, ``HF_HUB_DISABLE_IMPLICIT_TOKEN``, ``HF_HUB_OFFLINE``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
    hf_hub_url,
)
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    _http,
    _runtime,
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
    set_client_factory,
)

from so2sat_hf import __version__
from so2sat_hf.errors import HubError, So2SatError
from so2sat_hf.hub.patience import Patience, ignore, patiently
from so2sat_hf.hub.refusal import meaning
from so2sat_hf.hub.remote import PullRequest, RemoteFile
from so2sat_hf.hub.session import impatient

T = TypeVar("T")


class Repository:
    """A repository that can be asked and changed. Every method asks again while a fault may pass."""

    def __init__(
        self,
        repo_id: str,
        *,
        kind: str = "dataset",
        endpoint: str | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        say: Callable[[str], None] = ignore,
    ) -> None:
        """Check the name; nothing is asked yet.

        Args:
            repo_id: ``OWNER/NAME``.
            kind: ``dataset`` or ``model``.
            endpoint: another Hub than that of ``HF_ENDPOINT``.
            patience: with the server.
            say: told of every pause.

        Raises:
            HubError: there can be no repository of that name.
        """
        owner, _, name = repo_id.partition("/")
        if not owner or not name or "/" in name:
            raise HubError(
                repo_id,
                found="no name of a repository",
                expected="OWNER/NAME",
                remedy="such as maria/lcz; the folder comes first: so2sat push OUT OWNER/NAME",
            )
        self.repo_id = repo_id
        self.kind = kind
        self.patience = patience
        self.say = say
        self._api = HfApi(endpoint=endpoint, library_name="so2sat_hf", library_version=__version__)
        self._count: Callable[[int], None] = ignore
        self._uploaded: dict[str, CommitOperationAdd] = {}
        self._where: dict[str, Any] = {"repo_id": repo_id, "repo_type": kind}
        with self.understanding():
            self.url = hf_hub_url(repo_id, "x", repo_type=kind, endpoint=endpoint).partition("/resolve/")[0]

    @contextmanager
    def open(self) -> Iterator["Repository"]:
        """Give huggingface_hub a client with time limits until the end of the block."""
        factory = _http._GLOBAL_CLIENT_FACTORY  # noqa: SLF001 (there is a setter, but no getter)
        quiet, no_xet = are_progress_bars_disabled(), constants.HF_HUB_DISABLE_XET
        set_client_factory(
            lambda: impatient(factory(), self.patience.silence, lambda more: self._count(more))  # noqa: PLW0108 (it changes)
        )
        if not quiet:
            disable_progress_bars()
        try:
            yield self
        finally:
            set_client_factory(factory)
            constants.HF_HUB_DISABLE_XET = no_xet
            if not quiet:
                enable_progress_bars()

    def user(self) -> str:
        """Return who the token belongs to.

        Raises:
            HubError: nobody; there is no token, or it is not accepted.
        """
        return str(self._ask(self._api.whoami)["name"])

    def head(self, revision: str = "main") -> str | None:
        """Return the commit that a revision points to; None if there is no such repository or revision."""
        try:
            info = self._ask(lambda: self._api.repo_info(**self._where, revision=revision))
        except HubError as error:
            if isinstance(error.__cause__, HfHubHTTPError) and error.__cause__.response.status_code == 404:
                return None
            raise
        if info.id != self.repo_id:
            raise HubError(self.repo_id, found=f"called {info.id} by now", remedy="use that name")
        return str(info.sha)

    def create(self, *, private: bool) -> None:
        """Make the repository, if it is not there."""
        self._ask(lambda: self._api.create_repo(**self._where, private=private or None, exist_ok=True))

    def tree(self, revision: str) -> dict[str, RemoteFile]:
        """Return path -> file of a revision."""
        entries = self._ask(
            lambda: list(self._api.list_repo_tree(**self._where, revision=revision, recursive=True))
        )
        files: list[Any] = [entry for entry in entries if hasattr(entry, "blob_id")]
        return {
            entry.path: RemoteFile(
                entry.path, entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None
            )
            for entry in files
        }

    def read(self, path: str, revision: str) -> bytes:
        """Return the content of a small file."""
        url = hf_hub_url(
            self.repo_id, path, repo_type=self.kind, revision=revision, endpoint=self._api.endpoint
        )

        def get() -> bytes:
            response = _http.get_session().get(url, headers=build_hf_headers())
            _http.hf_raise_for_status(response)
            return bytes(response.content)

        return self._ask(get)

    def tags(self) -> dict[str, str]:
        """Return tag -> commit."""
        refs = self._ask(lambda: self._api.list_repo_refs(**self._where))
        return {tag.name: tag.target_commit for tag in refs.tags}

    def tag(self, name: str, commit: str) -> None:
        """Let a tag point to a commit, wherever it points now."""

        def attempt() -> None:
            now = self.tags().get(name)
            if now == commit:
                return
            with self.understanding(conflict_passes=True):
                if now is not None:
                    self._api.delete_tag(**self._where, tag=name)
                self._api.create_tag(**self._where, tag=name, revision=commit)

        patiently(attempt, self.patience, thing=f"{self.repo_id}, tag {name}", say=self.say)

    def pull_requests(self, author: str) -> list[PullRequest]:
        """Return the pull requests of a user, newest first."""

        def found() -> list[Any]:
            return list(
                self._api.get_repo_discussions(
                    **self._where, author=author, discussion_type="pull_request", discussion_status="all"
                )
            )

        return [PullRequest(each.num, each.title, each.status) for each in self._ask(found)]

    def propose(self, author: str, title: str, text: str) -> PullRequest:
        """Open a pull request, or find the open one of this author and title."""

        def attempt() -> PullRequest:
            for known in self.pull_requests(author):
                if known.is_open and known.title == title:
                    return known
            with self.understanding():
                made = self._api.create_pull_request(**self._where, title=title, description=text)
            return PullRequest(made.num, made.title, made.status)

        return patiently(attempt, self.patience, thing=self.repo_id, say=self.say)

    def close(self, pull_request: PullRequest, comment: str) -> None:
        """Close a pull request without merging it."""
        state: dict[str, Any] = {
            "discussion_num": pull_request.number,
            "new_status": "closed",
            "comment": comment,
        }
        self._ask(lambda: self._api.change_discussion_status(**self._where, **state))

    def choose_storage(self, revision: str) -> None:
        """Let large files go through Xet where the Hub offers it, else through plain LFS.

        huggingface_hub takes Xet wherever ``hf_xet`` is installed, and fails where there is none. To be
        called between :meth:`open` and the first upload.
        """
        if constants.HF_HUB_DISABLE_XET or not _runtime.is_xet_available():
            return
        place = f"{self.kind}s/{self.repo_id}/xet-write-token/{quote(revision, safe='')}"

        def ask() -> None:
            response = _http.get_session().get(
                f"{self._api.endpoint}/api/{place}", headers=build_hf_headers()
            )
            constants.HF_HUB_DISABLE_XET = response.status_code in (404, 501)
            if not constants.HF_HUB_DISABLE_XET:
                _http.hf_raise_for_status(response)

        self._ask(ask)

    def upload(
        self, path: str, content: Path | bytes, revision: str, sent: Callable[[int], None] = ignore
    ) -> str | None:
        """Send the content of a file, if the Hub does not have it; it is in no commit yet.

        Args:
            path: in the repository.
            content: the file.
            revision: branch that it is for.
            sent: called with the bytes of every piece that was sent, those of a second try too.

        Returns:
            Its sha256; None where the Hub keeps such a file in the commit itself.
        """
        with self.understanding():
            addition = CommitOperationAdd(path, content)
        options: dict[str, Any] = {"revision": revision, "num_threads": 1, "free_memory": False}
        self._count = sent
        try:
            self._ask(lambda: self._api.preupload_lfs_files(**self._where, additions=[addition], **options))
        finally:
            self._count = ignore
        self._uploaded[path] = addition
        is_large = addition._upload_mode == "lfs"  # noqa: SLF001 (nothing public tells)
        return addition.upload_info.sha256.hex() if is_large else None

    def commit(
        self,
        revision: str,
        parent: str,
        *,
        message: str,
        files: Mapping[str, Path | bytes],
        copies: Mapping[str, str] | None = None,
        removed: Iterable[str] = (),
    ) -> str:
        """Make one commit, all or nothing. Is not tried again: its answer may have been lost.

        Args:
            revision: branch or pull request.
            parent: commit that must be its head.
            message: first line.
            files: path -> content.
            copies: path -> commit of this repository to take it from.
            removed: paths.

        Returns:
            The new head.

        Raises:
            MovedError: the head is another one.
            Passing: nobody knows whether it was made.
            HubError: the Hub refuses.
        """
        with self.understanding(conflict_passes=True):
            operations: list[Any] = [CommitOperationDelete(path, is_folder=False) for path in removed]
            operations += [
                self._uploaded.get(path) or CommitOperationAdd(path, content)
                for path, content in files.items()
            ]
            operations += [
                CommitOperationCopy(path, path, src_revision=origin)
                for path, origin in (copies or {}).items()
            ]
            made = self._api.create_commit(
                **self._where,
                operations=operations,
                commit_message=message,
                revision=revision,
                parent_commit=parent,
            )
        self._uploaded = {}  # an operation serves one commit only
        return str(made.oid)

    def _ask(self, call: Callable[[], T]) -> T:
        def attempt() -> T:
            with self.understanding():
                return call()

        return patiently(attempt, self.patience, thing=self.repo_id, say=self.say)

    @contextmanager
    def understanding(self, *, conflict_passes: bool = False) -> Iterator[None]:
        """Turn what huggingface_hub raises into what it means."""
        try:
            yield
        except So2SatError:
            raise
        except Exception as error:
            raise meaning(
                error,
                self.repo_id,
                kind=self.kind,
                has_token=get_token() is not None,
                is_offline=constants.HF_HUB_OFFLINE,
                conflict_passes=conflict_passes,
            ) from error
