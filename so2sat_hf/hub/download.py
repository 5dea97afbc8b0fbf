"""The published files of version 4, from the Hub or from mediaTUM into a folder."""

import base64
import hashlib
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from so2sat_hf.convert.unpack import unpack
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.facts import Mirror, SourceFile
from so2sat_hf.hub.partial import CHUNK_BYTES
from so2sat_hf.hub.patience import Patience
from so2sat_hf.hub.pieces import Piece, Plan, State, check_space, size_of
from so2sat_hf.hub.request import file_request
from so2sat_hf.hub.transfer import Remote, Wanted, Watch, fetch

ALGORITHMS = ("sha256", "sha512", "md5")
"""Fields of a published file that hold a hash; the first one that is stated is compared."""


def download(
    plan: Plan,
    folder: Path,
    *,
    checksum: bool = False,
    patience: Patience | None = None,
    watch: Watch | None = None,
) -> tuple[SourceFile, ...]:
    """Fetch what is missing, and unpack it if that was asked for.

    Args:
        plan: what :func:`plan_download` says of the same folder.
        folder: where the files go; created if missing.
        checksum: hash the files that are there already, too.
        patience: with the server.
        watch: who is told.

    Returns:
        Which published file each piece is, in the order of the plan.

    Raises:
        SourceError: a server cannot be reached, or a file is not the published one.
        FolderError: too little space, or the folder cannot be written.
    """
    patience, watch = patience or Patience(), watch or Watch()
    check_space(plan, folder)
    found = []
    for piece in plan.pieces:
        if piece.is_here:
            found.append(_present(piece, watch, checksum=checksum))
        else:
            wanted = fetch(_remote(plan, piece), folder, patience=patience, watch=watch)
            found.append(next(file for file in piece.files if file.bytes == wanted.bytes))
    for piece in plan.pieces:
        if piece.bytes_to_unpack:
            unpack(piece.path, plan.selection.work or folder, progress=watch.unpacked)
    return tuple(found)


def _present(piece: Piece, watch: Watch, *, checksum: bool) -> SourceFile:
    """Return which published file is there already, compared by its hash if that was asked for."""
    path, files = piece.path, piece.files
    if piece.state is State.UNPACKED and piece.plain and piece.plain_path:
        path, files = piece.plain_path, (piece.plain,)
    file = next(file for file in files if file.bytes == path.stat().st_size)
    algorithm, expected = hash_of(file)
    if checksum and expected:
        digest = _digest(path, algorithm, watch)
        if digest != expected:
            raise SourceError(
                path,
                found=f"{algorithm} {digest}",
                expected=expected,
                remedy="remove it and run the same command again",
            )
    return file


def _digest(path: Path, algorithm: str, watch: Watch) -> str:
    digest, done, total = hashlib.new(algorithm), 0, path.stat().st_size
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            watch.checked(path.name, done, total)
    return digest.hexdigest()


def hash_of(file: SourceFile) -> tuple[str, str | None]:
    """Return the name and the digits of the best hash that is stated of a file; None if there is none."""
    stated = ((name, getattr(file, name)) for name in ALGORITHMS)
    return next(((name, digest) for name, digest in stated if digest), (ALGORITHMS[0], None))


def _remote(plan: Plan, piece: Piece) -> Remote:
    """Say where a file is, and what it must be."""
    mirror, name = plan.mirror, piece.path.name
    if mirror.repo_id and mirror.revision:
        url, headers = file_request(
            mirror.repo_id,
            f"{mirror.folder}/{name}",
            revision=mirror.revision,
            endpoint=plan.selection.endpoint,
        )
        place = f"{mirror.page}/tree/{quote(mirror.revision, safe='')}/{mirror.folder}"
    else:
        url, headers = _web_request(mirror, name, plan.selection.base_url)
        place = mirror.page
    others = [other.name for other in plan.version.mirrors if other.name != mirror.name]
    hashes = [hash_of(file) for file in piece.files]
    return Remote(
        name=name,
        url=url,
        headers=headers,
        wanted=tuple(_wanted(file) for file in piece.files),
        algorithm=next((algorithm for algorithm, digest in hashes if digest), ALGORITHMS[0]),
        with_ranges=piece.with_ranges,
        advice=f"see {place}, or take --from {' or '.join(others)}",
    )


def _wanted(file: SourceFile) -> Wanted:
    algorithm, digest = hash_of(file)
    is_inferred = algorithm in file.inferred
    return Wanted(size_of(file), digest, "as in earlier versions" if is_inferred else "")


def _web_request(mirror: Mirror, name: str, base_url: str | None) -> tuple[str, dict[str, str]]:
    """Return the address of a file in a web folder, and headers with its user, or that of the base URL."""
    parts = urlsplit((base_url or mirror.folder).rstrip("/") + "/")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise So2SatError(
            "--base-url", found=f"not a web address: {parts.scheme or base_url}", expected="https://..."
        )
    user, password = mirror.user, mirror.password
    if parts.username is not None:
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise So2SatError(
                "--base-url",
                found=f"a password for {parts.hostname} without encryption",
                expected="https://...",
            )
        user, password = unquote(parts.username), unquote(parts.password or "")
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"authorization": f"Basic {token}"} if user is not None else {}
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() + quote(name), headers
