"""What a download will do, and where versions are that it does not fetch, in words."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from so2sat_hf.facts import SourceFile, Version
from so2sat_hf.hub.download import hash_of
from so2sat_hf.hub.pieces import Piece, Plan, Selection, State, choose, nearest_folder

HASHES = ("md5", "sha256", "sha512")


def describe(plan: Plan, folder: Path) -> str:
    """Return a line for each file of a plan, what all need together, and what cannot be continued."""
    mirror = plan.mirror
    place = f"{mirror.repo_id} at {mirror.revision}" if mirror.repo_id else mirror.page
    lines = [f"Version {plan.version.name} from {mirror.title} ({place}) into {folder}:"]
    lines += [f"  {piece.path.name:20}{_state(piece)}" for piece in plan.pieces]
    needs = f"{readable(plan.bytes_missing)} to fetch"
    if plan.selection.unpack:
        needs += f", {readable(plan.bytes_to_unpack)} to unpack"
    lines.append(f"{needs}; {readable(shutil.disk_usage(nearest_folder(folder)).free)} free")
    lines += _warnings(plan)
    return "\n".join(lines)


def _state(piece: Piece) -> str:
    match piece.state:
        case State.FINISHED:
            return f"{readable(piece.bytes_there):>10}  there already"
        case State.UNPACKED:
            return f"{'':>10}  there already, unpacked: {piece.plain_path}"
        case State.PARTIAL:
            there = readable(piece.bytes_there)
            return f"{readable(piece.bytes_missing):>10}  more to fetch, {there} are there"
        case State.MISSING:
            most = "at most " if len(piece.files) > 1 else ""
            return f"{readable(piece.bytes_missing):>10}  {most}to fetch"


def _warnings(plan: Plan) -> Iterator[str]:
    """Say what a user should know before hours have passed."""
    archives = {file.path for file in plan.version.files if file.path.endswith(".gz")}
    for piece in plan.pieces:
        if piece.bytes_missing and not piece.with_ranges:
            name = piece.path.name
            yield (
                f"{plan.mirror.title} cannot continue {name}: if the connection is cut, its "
                f"{readable(piece.bytes_missing)} start again from the beginning."
            )
            if f"{name}.gz" in archives:
                yield f"  The Hub has it gzipped and continues: --from hub --files {name}.gz"


def describe_addresses(version: Version, folder: Path, selection: Selection) -> str:
    """Return addresses, sizes and hashes of the files of a version, and the commands to get and check them.

    Raises:
        So2SatError: there is no such split or file.
    """
    paths = choose(version.files, selection)
    files = [file for file in version.files if file.path in paths]
    lines = [f"So2Sat LCZ42, version {version.name}, {version.licence}. {version.note}"]
    lines += [f"  https://doi.org/{version.doi}"] if version.doi else []
    lines += [f"  {url}" for url in version.urls]
    for file in files:
        lines += ["", *_file_lines(file)]
    ftp = next((url for url in version.urls if url.startswith("ftp://")), None)
    if ftp:
        lines += ["", "Get them (user and password are the same for everybody; -c continues after a cut):"]
        lines += [_wget(ftp, file, folder) for file in files]
    lines += ["", "Compare the hashes:"]
    lines += [_check(file, folder) for file in files if hash_of(file)[1]]
    return "\n".join(lines)


def _file_lines(file: SourceFile) -> Iterator[str]:
    size = f"{file.bytes:,} bytes ({readable(file.bytes)})" if file.bytes else "size not stated anywhere"
    yield f"{file.path}  {size}{_inferred(file, 'bytes')}"
    for name in HASHES:
        if getattr(file, name):
            yield f"  {name:8}{getattr(file, name)}{_inferred(file, name)}"
    if file.note:
        yield f"  {file.note}"


def _inferred(file: SourceFile, name: str) -> str:
    return "  (follows from another version or the layout)" if name in file.inferred else ""


def _wget(ftp: str, file: SourceFile, folder: Path) -> str:
    return shlex.join(["wget", "-c", "-P", str((folder / file.path).parent), f"{ftp}{file.path}"])


def _check(file: SourceFile, folder: Path) -> str:
    """Return a shell command; hashes that were stated of this very file come first."""
    stated = [name for name in HASHES if getattr(file, name) and name not in file.inferred]
    name = stated[0] if stated else hash_of(file)[0]
    line = f"{getattr(file, name)}  {folder / file.path}"
    return f"echo {shlex.quote(line)} | {name}sum -c"


def readable(size: int) -> str:
    """Return a number of bytes as people say it.

    >>> readable(16_002_423_246), readable(238_950)
    ('16.00 GB', '0.24 MB')
    """
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.2f} MB"
