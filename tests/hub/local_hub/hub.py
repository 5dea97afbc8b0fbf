"""The Hub as tests see it: users, repositories, the log of requests, faults."""

import hmac
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from local_hub.faults import Fault, Plan, Plans, Request
from local_hub.store import Repo


@dataclass(frozen=True)
class User:
    name: str
    orgs: Mapping[str, str] = field(default_factory=dict)
    """Role by organization: read, contributor, write or admin."""
    access: str = "write"
    """What the token allows: read or write."""
    quota: int | None = None


class LocalHub:
    """State of the server. Tests may change it at any time: requests are worked off under `lock`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.storage_url = url.replace("127.0.0.1", "localhost") + "/storage"
        """Another host, for clients, as on the real Hub: a token must not follow there."""
        self.lock = threading.RLock()
        self.release: Callable[[], None] = lambda: None
        """Ends every silence; set by the server."""
        self._secret = b"local"
        self.visit = 0
        """Number of resets."""
        self.reset()

    def reset(self) -> None:
        """Forget users, repositories, the log and faults; end every silence."""
        with self.lock:
            self.visit += 1
            self.users: dict[str, User] = {}
            self.quotas: dict[str, int] = {}
            """Bytes of LFS that a namespace may hold, whoever uploads; tests set them."""
            self.repos: dict[tuple[str, str], Repo] = {}
            self.page_size = 1000
            """Entries of a tree, or commits, that one answer lists."""
            self.carried: dict[str, Fault] = {}
            self.plans = Plans()
            self.log: list[Request] = []
        self.release()

    def reset_log(self) -> None:
        """Count requests from 0 again."""
        with self.lock:
            self.log = []

    def add_user(
        self,
        name: str,
        orgs: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        quota: int | None = None,
        access: str = "write",
    ) -> str:
        """Add a user and return a token.

        Args:
            name: of the user; a second call with the same name makes a second token.
            orgs: role by organization: "read", "contributor" (may create repositories, and write its own),
                "write" or "admin".
            token: to be valid; one is made up otherwise.
            quota: bytes of LFS that any namespace may hold after an upload by this user, their own included.
            access: "read" makes a token that may not write.
        """
        token = token or f"hf_{secrets.token_hex(17)}"  # clients may remember who one belongs to
        with self.lock:
            self.users[token] = User(name, dict(orgs or {}), access, quota)
        return token

    def create_repo(
        self,
        name: str,
        kind: str = "dataset",
        *,
        private: bool = False,
        files: Mapping[str, bytes] | None = None,
    ) -> Repo:
        """Create a repository without a request: one commit with .gitattributes, another with the files."""
        repo = Repo(name, kind, private=private)
        if files:
            repo.write(files)
        with self.lock:
            self.repos[kind, name] = repo
        return repo

    def repo(self, name: str, kind: str = "dataset") -> Repo:
        """Return a repository; raises KeyError."""
        return self.repos[kind, name]

    def inject(
        self,
        *,
        fault: Fault,
        at: int | None = None,
        when: Callable[[Request], bool] | None = None,
        times: int = 1,
    ) -> None:
        """Misbehave at the request of that number, or at the next ones that fit."""

        def fits(request: Request) -> bool:
            return (at is None or request.number == at) and (when is None or when(request))

        with self.lock:
            self.plans.waiting.append(Plan(fault, fits, times))

    def note(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], kind: str
    ) -> Request:
        """Write a request that came in into the log, with its fault."""
        with self.lock:
            request = Request(len(self.log), method, path, query, headers, kind)
            self.log.append(request)
            carried = self.carried.pop(query.get("fault", ""), None)
            request.fault = carried or self.plans.take(request)
            return request

    def requests(self, *kinds: str) -> list[Request]:
        """The log, of these kinds."""
        return [request for request in self.log if request.kind in kinds]

    def storage(self, repo: Repo, sha256: str) -> str:
        """Address of an LFS file: it holds its own permission."""
        path = f"{repo.kind}s/{repo.name}/{sha256}"
        return f"{self.storage_url}/{path}?signature={self.signature(path)}"

    def signature(self, path: str) -> str:
        return hmac.new(self._secret, path.encode(), "sha256").hexdigest()

    def stored(self, namespace: str) -> int:
        """Bytes of LFS in a namespace."""
        repos = [repo for repo in self.repos.values() if repo.owner == namespace]
        return sum(len(content) for repo in repos for content in repo.objects.values())
