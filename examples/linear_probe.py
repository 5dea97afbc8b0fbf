"""What a frozen backbone of the Hub knows of local climate zones: features once, then one linear layer.

    python linear_probe.py SHARDS MODEL [PRESET]

MODEL is a folder or a Hub id, PRESET what it eats: `so2sat presets` lists them. `so2sat train --freeze` does
the same with augmentation, validation and a report; here the features are computed once, much faster.
"""

import sys

import torch
from transformers import AutoModel

from so2sat_hf.load.table import PatchTable
from so2sat_hf.training.metrics import from_predictions
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.transform import So2SatTransform

BATCH = 128


@torch.no_grad()
def features(model, table, eats, device):
    """Return (n, width) features and (n,) labels: the mean over the patches of the last layer."""
    collate, transform = So2SatCollator(eats), So2SatTransform(eats).to(device).eval()
    found, labels = [], []
    for start in range(0, len(table), BATCH):
        batch = transform(collate(table[start : start + BATCH]))
        found.append(model(pixel_values=batch["pixel_values"]).last_hidden_state.mean(dim=1))
        labels.append(batch["labels"])
    return torch.cat(found), torch.cat(labels)


def main(data: str, name: str, eats: str = "dinov2") -> dict[str, float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = AutoModel.from_pretrained(name, trust_remote_code=False).to(device).eval()
    shown = preset(eats, data=data)
    columns = (*shown.sensors, "label")
    (x, y), (x_test, y_test) = (
        features(backbone, PatchTable(data, split, columns=columns), shown, device)
        for split in ("train", "test")
    )
    mean, std = x.mean(dim=0), x.std(dim=0) + 1e-6
    x, x_test = ((values - mean) / std for values in (x, x_test))

    head = torch.nn.Linear(x.shape[1], 17).to(device)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(head(x), y) + 1e-3 * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    metrics = from_predictions(y_test.cpu().numpy(), head(x_test).softmax(dim=-1).detach().cpu().numpy())
    print({name: round(metrics[name], 3) for name in ("oa", "kappa", "macro_f1")})
    return metrics


if __name__ == "__main__":
    main(*sys.argv[1:])
