"""A stream that keeps a diary of the patches it gave, and goes on where it was killed."""

import json
import os
import sys
from pathlib import Path


def main(args: list[str]) -> None:
    """Stream a split once; end as a command would.

    Args:
        args: the folder of the dataset, and the diary: state of the stream and ids so far, in one file.
    """
    from so2sat_hf.errors import So2SatError

    try:
        stream_once(args[0], Path(args[1]))
    except So2SatError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def stream_once(place: str, diary: Path) -> None:
    from so2sat_hf.load.stream import PatchStream

    stream, ids = PatchStream(place, columns=["id", "label", "sen2"], batch_size=16, window=4), []
    if diary.is_file():
        kept = json.loads(diary.read_text())
        stream.load_state_dict(kept["state"])
        ids = kept["ids"]
        if kept["done"]:
            return
    for batch in stream:
        ids += list(batch["id"])
        state = stream.state_dict()
        is_done = state["epoch"] == 1  # the next pass would be another epoch
        _keep(diary, {"state": state, "ids": ids, "done": is_done})


def _keep(diary: Path, content: dict[str, object]) -> None:
    part = diary.with_suffix(".part")
    try:
        with part.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(diary)
    except OSError as error:
        sys.exit(f"Error: {diary}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
