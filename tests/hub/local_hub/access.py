"""Who may do what."""

from local_hub.answers import Ask, Refusal
from local_hub.hub import LocalHub, User
from local_hub.store import MissingError, Repo


def kind_of(ask: Ask) -> str:
    """dataset, model or space."""
    return (ask.parts.get("kind") or "models").removesuffix("s")


def identify(hub: LocalHub, headers: dict[str, str]) -> User | None:
    """Return the user of a token, None where there is none; a wrong token is refused everywhere."""
    token = headers.get("authorization", "").removeprefix("Bearer ").strip()
    if token and token not in hub.users:
        raise Refusal(401, "Invalid credentials in Authorization header")
    return hub.users.get(token)


def signed_in(ask: Ask) -> User:
    if ask.user is None:
        raise Refusal(401, "Invalid username or password.")
    return ask.user


def role(user: User | None, namespace: str) -> str | None:
    """Role of a user in a namespace: everybody is admin of their own."""
    if user is None:
        return None
    return "admin" if user.name == namespace else user.orgs.get(namespace)


def may_create(user: User, namespace: str) -> bool:
    return user.access == "write" and role(user, namespace) in ("contributor", "write", "admin")


def may_write(user: User | None, repo: Repo) -> bool:
    """Contributors write what they created."""
    if user is None or user.access != "write":
        return False
    mine = role(user, repo.owner)
    return mine in ("write", "admin") or (mine == "contributor" and repo.creator == user.name)


def may_push(user: User | None, repo: Repo, revision: str) -> bool:
    """Pull requests take commits from their author, too."""
    if revision.startswith("refs/pr/"):
        pull = repo.pulls.get(int(revision.rpartition("/")[2]))
        if pull and user and pull.author == user.name and user.access == "write":
            return True
    return may_write(user, repo)


def readable(hub: LocalHub, ask: Ask) -> Repo:
    """Return the repository that is asked for; what may not be seen does not exist."""
    repo = hub.repos.get((kind_of(ask), f"{ask.parts['owner']}/{ask.parts['name']}"))
    if repo is None or (repo.private and role(ask.user, repo.owner) is None):
        if ask.user is None:
            # The real one says this without a code, and clients know what it means from its https address.
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        raise Refusal(404, "Repository not found", "RepoNotFound")
    return repo


def writable(hub: LocalHub, ask: Ask, message: str = "Authorization error.") -> Repo:
    repo = readable(hub, ask)
    if not may_write(signed_in(ask), repo):
        raise Refusal(403, message)
    return repo


def revision(repo: Repo, name: str) -> str:
    """Return the commit that a revision names."""
    try:
        return repo.head(name)
    except MissingError as error:
        raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound") from error
