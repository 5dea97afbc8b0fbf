"""Where a file of a repository is, and what to send with a request for it."""

from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from so2sat_hf import __version__
from so2sat_hf.errors import SourceError


def file_request(
    repo_id: str, path: str, *, revision: str, endpoint: str | None = None
) -> tuple[str, dict[str, str]]:
    """Return the address of a file of a dataset repository, and the headers to ask for it with.

    The headers may hold the user's token: they are for this address alone, not for where it redirects to.

    Args:
        repo_id: e.g. ``"zhu-xlab/So2Sat-LCZ42"``.
        path: of the file in the repository.
        revision: commit, tag or branch.
        endpoint: another Hub than that of ``HF_ENDPOINT``.

    Raises:
        SourceError: ``HF_HUB_OFFLINE`` forbids to ask, or there can be no such repository.
    """
    if constants.HF_HUB_OFFLINE:
        raise SourceError(
            f"{repo_id}/{path}",
            found="HF_HUB_OFFLINE is set",
            expected="permission to ask the Hugging Face Hub",
            remedy="unset it",
        )
    try:
        url = hf_hub_url(repo_id, path, repo_type="dataset", revision=revision, endpoint=endpoint)
    except HFValidationError as error:
        raise SourceError(repo_id, found=str(error), expected="OWNER/NAME") from error
    return url, build_hf_headers(library_name="so2sat_hf", library_version=__version__)
