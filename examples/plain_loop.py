"""A PyTorch loop: compact batches from a DataLoader, transformed on the device where the model is.

python plain_loop.py SHARDS
"""

import sys

import torch
from torch.utils.data import DataLoader

from so2sat_hf.load.table import PatchTable
from so2sat_hf.training.metrics import from_predictions
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.from_scratch import scratch_model
from so2sat_hf.vision.transform import So2SatTransform


def main(data: str, epochs: int = 1) -> dict[str, float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    everything = preset("all", data=data)  # both sensors, 18 bands
    columns = (*everything.sensors, "label")
    train, test = (PatchTable(data, split, columns=columns) for split in ("train", "test"))
    collate = So2SatCollator(everything)
    batches = DataLoader(train, batch_size=64, shuffle=True, collate_fn=collate)

    transform = So2SatTransform(everything).to(device)  # flips and quarter turns while it is in training mode
    model = scratch_model("vit-tiny-8", everything).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.05)
    for _ in range(epochs):
        model.train(), transform.train()
        for batch in batches:
            loss = model(**transform(batch)).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    model.eval(), transform.eval()
    said, labels = [], []
    with torch.inference_mode():
        for batch in DataLoader(test, batch_size=256, collate_fn=collate):
            labels.append(batch["labels"])
            said.append(model(**transform(batch)).logits.softmax(dim=-1).cpu())
    metrics = from_predictions(torch.cat(labels).numpy(), torch.cat(said).numpy())
    print({name: round(metrics[name], 3) for name in ("oa", "kappa", "macro_f1")})
    return metrics


if __name__ == "__main__":
    main(*sys.argv[1:])
