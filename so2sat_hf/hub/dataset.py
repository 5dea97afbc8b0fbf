"""A dataset on the Hub as a source of a build: the manifest is read at once, files when they are needed."""

from collections.abc import Callable

from so2sat_hf.convert.built import BuiltSource
from so2sat_hf.convert.manifest import FORMAT_VERSION, MANIFEST, Manifest
from so2sat_hf.errors import FolderError, HubError
from so2sat_hf.hub.address import Address
from so2sat_hf.hub.patience import Patience, ignore
from so2sat_hf.hub.remote import RemoteFile
from so2sat_hf.hub.repository import Repository
from so2sat_hf.hub.shelf import HubShelf


def open_dataset(
    address: Address,
    splits: tuple[str, ...] = (),
    *,
    endpoint: str | None = None,
    patience: Patience | None = None,
    say: Callable[[str], None] = ignore,
) -> BuiltSource:
    """Open a dataset on the Hub at the commit that its revision points to now.

    Args:
        address: repository and revision.
        splits: as if there were no others; empty for all.
        endpoint: another Hub than that of ``HF_ENDPOINT``.
        patience: with the Hub.
        say: told of every pause.

    Raises:
        HubError: there is no such dataset, or not for this user, or it was not built by this package, or in a
            format that this version does not read, or its files are not those of its manifest.
        SourceError: it has no such split.
    """
    patience = patience or Patience()
    try:
        with Repository(address.repo_id, endpoint=endpoint, patience=patience, say=say).open() as repository:
            commit = _commit(repository, address)
            files = repository.tree(commit)
            content = repository.read(MANIFEST, commit) if MANIFEST in files else None
    except HubError as error:
        raise _as_reader(error, address) from error
    place = f"{address.repo_id} at {address.revision or 'main'}"
    if content is None:
        raise HubError(
            place,
            found=f"no {MANIFEST}",
            expected="a dataset that `so2sat build` wrote",
            remedy="take another --revision; `so2sat download` fetches the published HDF5 files",
        )
    shelf = HubShelf(address.repo_id, commit, endpoint, patience)
    source = BuiltSource(shelf, _manifest(content, place)).only(splits)
    _check_files(source.manifest, files, place)
    return source


def _commit(repository: Repository, address: Address) -> str:
    commit = repository.head(address.revision or "main")
    if commit is None:
        revision = f", or it has no revision {address.revision}" if address.revision else ""
        raise HubError(
            address.repo_id,
            found=f"no such dataset on the Hub, or a private one that this token may not see{revision}",
            remedy="check OWNER/NAME, and `hf auth whoami`",
        )
    return commit


def _as_reader(error: HubError, address: Address) -> HubError:
    """Say what an error means for somebody who only reads, and that a folder may have been meant."""
    found, remedies = error.found, [error.remedy]
    if getattr(getattr(error.__cause__, "response", None), "status_code", None) == 401:  # also for a name
        found = f"no such dataset on the Hub, or a private one: {found}"
        remedies = ["check OWNER/NAME; `hf auth login` or HF_TOKEN give a token"]
    if not address.is_explicit:
        remedies.append(f"if a folder was meant: there is no {address.repo_id} here")
    return HubError(
        error.thing, found=found, expected=error.expected, remedy="; ".join(filter(None, remedies))
    )


def _manifest(content: bytes, place: str) -> Manifest:
    """Understand a manifest of the Hub, or say which versions there are."""
    try:
        return Manifest.parse(content, f"{MANIFEST} of {place}")
    except FolderError as error:
        raise HubError(
            error.thing,
            found=error.found,
            expected=error.expected or f"format version {FORMAT_VERSION}",
            remedy=f"take --revision format-{FORMAT_VERSION}, or install the so2sat_hf that fits",
        ) from error


def _check_files(manifest: Manifest, files: dict[str, RemoteFile], place: str) -> None:
    """Refuse a revision whose files are not those of its manifest, before any is fetched."""
    for shard in manifest.shards:
        file = files.get(shard.path)
        if file is None:
            found = f"no {shard.path}, which {MANIFEST} lists"
        elif file.num_bytes != shard.bytes or file.sha256 not in (None, shard.sha256):
            found = f"another {shard.path} than {MANIFEST} says"
        else:
            continue
        raise HubError(
            place, found=found, expected="one dataset", remedy="take another --revision, or tell its owner"
        )
