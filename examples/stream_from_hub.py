"""Train while the patches stream from the Hub: nothing of the dataset comes to the disk.

    python stream_from_hub.py OWNER/NAME [STEPS]

PatchStream reads row groups ahead and mixes the patches of several; only the columns named are fetched.
A folder on this machine works the same way.
"""

import sys

import torch

from so2sat_hf.load.stream import PatchStream
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.from_scratch import scratch_model
from so2sat_hf.vision.transform import So2SatTransform


def main(repo: str, steps: str = "1000") -> list[float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    s2 = preset("s2", data=repo)  # mean and deviation come from the dataset's own statistics
    stream = PatchStream(repo, "train", columns=(*s2.sensors, "label"), batch_size=64, form="torch")
    collate, transform = So2SatCollator(s2), So2SatTransform(s2).to(device)
    model = scratch_model("vit-tiny-8", s2).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)

    losses: list[float] = []
    while len(losses) < int(steps):  # each pass is an epoch, in another order
        for batch in stream:
            loss = model(**transform(collate(batch))).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if len(losses) == int(steps):
                break
    torch.save(
        {"model": model.state_dict(), "stream": stream.state_dict()}, "stream.pt"
    )  # to go on from here
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    return losses


if __name__ == "__main__":
    main(*sys.argv[1:])
