"""What torchgeo makes of versions 2 and 3: ``read_with_torchgeo.py ROOT OUT``, run by a Python that has it.

Writes OUT/VERSION-SPLIT-BANDS.npz with the stacked ``image`` and ``label`` of every sample of ``So2Sat`` in
its order, for every version, split and band set, and prints version, class names and band names as JSON.

torchgeo imports torchvision, whose wheels on the default index are made for CUDA builds of torch: beside a
CPU build their operators cannot be loaded, and the import fails. Nothing here calls them, so it is enough to
declare those two that the import asks for.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch


def main():
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchgeo
    from torchgeo.datasets import So2Sat

    root, out = map(Path, sys.argv[1:])
    for version, splits in So2Sat.filenames_by_version.items():
        for split in splits:
            for name, bands in So2Sat.BAND_SETS.items():
                data = So2Sat(str(root), version=version, split=split, bands=bands, checksum=False)
                samples = [data[row] for row in range(len(data))]
                np.savez(
                    out / f"{version}-{split}-{name}.npz",
                    image=torch.stack([sample["image"] for sample in samples]).numpy(),
                    label=torch.stack([sample["label"] for sample in samples]).numpy(),
                )
    found = {"torchgeo": torchgeo.__version__, "torch": torch.__version__}
    print(json.dumps({**found, "classes": So2Sat.classes, "band_sets": So2Sat.BAND_SETS}))


if __name__ == "__main__":
    main()
