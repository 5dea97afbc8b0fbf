"""Files made to do harm are refused in one line, within seconds and little memory."""

import pytest
from fuzzing.runner import Worker
from fuzzing.surfaces import HOSTILE

SAID = {
    "rows_without_end": "sen1 of shape (1000000000000, 32, 32, 8) in 0 bytes",
    "large_chunk": "chunks of 655,360,000 bytes",
    "archive_that_claims": "claim to unpack to 1,000,000,000,000,000",
    "archive_that_grows": "unpacks to more than",
    "many_rows": "more than 100,000,000 patches",
    "paths_that_lead_out": "'../../../etc/passwd'; expected a relative path",
    "id_that_leads_out": "malformed",
    "layers_without_end": "num_hidden_layers 1e+09",
    "huge_scene": "10,000,000,000 cells",
    "laughing_xml": "a document type",
    "link_in_out": "out/data: a link to",
    "shape_of_pixels": "size 1000000",
}
"""What is worth a look; the others say that a file cannot be read."""


@pytest.mark.parametrize("name", HOSTILE)
def test_refused(worker: Worker, name: str) -> None:
    """In a process with 3 GB of addresses, of which no file may take 800 MB."""
    answer = worker.ask(name, 0)

    assert answer["kind"] == "refused", answer["said"]
    assert SAID.get(name, "") in answer["said"]
    assert answer["seconds"] < 20
