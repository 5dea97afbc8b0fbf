"""Let a torchvision that was built for another torch be imported: nobody here needs an operator of it.

Load it before anything that may import torchvision: ``pytest -p torchvision_stub``.
"""

import torch

LIBRARY = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):  # those that torchvision gives a meta kernel when it is imported
    LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
