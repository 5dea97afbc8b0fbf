"""Models of every family that is tested, a few thousand weights each, drawn at random."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageClassification

TRANSFORMER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
STAGES = {"depths": [1, 1], "num_heads": [2, 2], "embed_dim": 16}
CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {**TRANSFORMER, "intermediate_size": 64, "image_size": 224, "patch_size": 16},
    "dinov2": {**TRANSFORMER, "image_size": 518, "patch_size": 14},
    "dinov2_with_registers": {**TRANSFORMER, "image_size": 518, "patch_size": 14},
    "beit": {**TRANSFORMER, "intermediate_size": 64, "image_size": 224, "use_relative_position_bias": True},
    "swin": {**STAGES, "image_size": 224},
    "swinv2": {**STAGES, "image_size": 256, "window_size": 8},
    "convnextv2": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "hiera": {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2]},
}


def tiny(family: str, **options: Any) -> Any:
    """Return an image classifier with 17 classes, in evaluation mode."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, num_labels=17, **CONFIGS[family] | options)
    return AutoModelForImageClassification.from_config(config).eval()
