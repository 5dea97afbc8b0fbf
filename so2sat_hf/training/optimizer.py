"""Which parameters learn how fast: layer-wise decay, frozen backbones."""

import re
from typing import Any

LAYER = re.compile(r"(?:^|\.)(?:layer|layers|blocks|block|stages|encoder\.layer)\.(\d+)(?:\.|$)")
"""A numbered layer in the name of a parameter."""

FIRST = ("embed", "cls_token", "pos_", "patch_embed", "stem", "mask_token", "register_tokens")
"""Parts of names that belong before the first layer."""


def parameter_groups(
    model: Any,  # noqa: ANN401
    *,
    learning_rate: float,
    layer_decay: float,
    weight_decay: float,
    decayed: set[str],
) -> list[dict[str, Any]]:
    """Return groups for an optimiser: the head at full rate, each layer at ``layer_decay`` of the next one.

    Args:
        model: with numbered layers; where there are none, all but the head is one layer.
        learning_rate: of the head.
        layer_decay: 0 to 1.
        weight_decay: of the parameters in ``decayed``; others have none.
        decayed: names.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    depth = 1 + max((number for number in map(_layer_number, names) if number is not None), default=-1)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        place, is_decayed = _place(name, depth), name in decayed
        group = groups.setdefault(
            (place, is_decayed),
            {
                "params": [],
                "lr": learning_rate * layer_decay ** (depth + 1 - place),
                "weight_decay": weight_decay if is_decayed else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def _place(name: str, depth: int) -> int:
    """Return 0 for embeddings, 1 to depth for layers, depth + 1 for what comes after them."""
    number = _layer_number(name)
    if number is not None:
        return number + 1
    return 0 if any(part in name for part in FIRST) else depth + 1


def _layer_number(name: str) -> int | None:
    found = LAYER.search(name)
    return int(found.group(1)) if found else None


def freeze_backbone(model: Any) -> int:  # noqa: ANN401
    """Let nothing but the classification head learn; return how many weights that leaves.

    The head is what remains of the model outside its ``base_model``, or timm's classifier.
    """
    head = _head_names(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in head
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _head_names(model: Any) -> set[str]:  # noqa: ANN401
    if model.config.model_type == "timm_wrapper":
        classifier = model.timm_model.get_classifier()
        heads = {id(parameter) for parameter in classifier.parameters()}
        return {name for name, parameter in model.named_parameters() if id(parameter) in heads}
    base = {id(parameter) for parameter in model.base_model.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) not in base}
