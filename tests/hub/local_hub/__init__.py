"""A Hugging Face Hub for tests: what unmodified clients ask for, from memory, with faults on demand.

    with serving() as hub:
        token = hub.add_user("maria", orgs={"zhu-xlab": "write"})
        repo = hub.create_repo("zhu-xlab/So2Sat-LCZ42", files={"README.md": b"..."})
        hub.inject(when=lambda request: request.kind == "commit", fault=Fault(status=503))

LFS files are handed out and taken by a storage of its own, at ``localhost`` where the Hub is at
``127.0.0.1``: for clients that is another host, and a token that arrives there is refused. Its downloads
are of the kind ``storage-get``; clients that ask with HEAD first go there at once, without ``resolve-get``.

Not imitated: Xet, gated repositories, spaces beyond their files, limits of rate and of size, the viewer.
"""

from local_hub.faults import Fault, Request
from local_hub.hub import LocalHub, User
from local_hub.serving import free_socket, serving
from local_hub.store import Comment, Commit, Entry, MissingError, Pull, Repo

__all__ = [
    "Comment",
    "Commit",
    "Entry",
    "Fault",
    "LocalHub",
    "MissingError",
    "Pull",
    "Repo",
    "Request",
    "User",
    "free_socket",
    "serving",
]
