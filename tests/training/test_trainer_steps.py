"""A step of So2SatTrainer: a loss that stays what it is, and how fast each layer learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_trainer import SMALL, arguments, built, table, weights
from tiny_models import CONFIGS, tiny
from torch import nn

from so2sat_hf.errors import So2SatError
from so2sat_hf.training.loss import class_weights, cross_entropy
from so2sat_hf.training.optimizer import freeze_backbone, parameter_groups
from so2sat_hf.training.trainer import So2SatTrainer
from so2sat_hf.vision.augmentation import Augmentation
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.from_scratch import scratch_model
from so2sat_hf.vision.transform import So2SatTransform

__all__ = ["built"]  # a fixture


# ---- loss


def test_the_loss_is_that_of_torch() -> None:
    """Labels alone, smoothed, weighted, soft; divided by the patches of the whole step."""
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(6, 17)), dtype=torch.float32)
    labels = torch.tensor(rng.integers(0, 17, 6))
    soft = torch.tensor(rng.dirichlet(np.ones(17), 6), dtype=torch.float32)
    weights = torch.tensor(rng.random(17), dtype=torch.float32)
    plain = nn.functional.cross_entropy

    assert torch.allclose(cross_entropy(logits, labels), plain(logits, labels))
    assert torch.allclose(cross_entropy(logits, labels, num_items=12), plain(logits, labels) / 2)
    smoothed = cross_entropy(logits, labels, smoothing=0.1)
    assert torch.allclose(smoothed, plain(logits, labels, label_smoothing=0.1))
    assert torch.allclose(cross_entropy(logits, labels, soft), plain(logits, soft))
    weighted = cross_entropy(logits, labels, weights=weights)
    assert torch.allclose(weighted, plain(logits, labels, weight=weights, reduction="sum") / 6)


def test_class_weights() -> None:
    """The weighted patches are as many as the patches; rare classes weigh more."""
    counts = [0, 1, 4, 100] + [10] * 13

    inverse, root = class_weights(counts, "inverse"), class_weights(counts, "sqrt")

    assert class_weights(counts, "none") is None
    for found in (inverse, root):
        assert float((found * torch.tensor(counts)).sum()) == pytest.approx(sum(counts), rel=1e-5)
        assert found[0] == 0
    assert inverse[1] / inverse[2] == pytest.approx(4)
    assert root[1] / root[2] == pytest.approx(2)
    with pytest.raises(So2SatError, match="class weights: 'square'"):
        class_weights(counts, "square")
    with pytest.raises(So2SatError, match="not all 0"):
        class_weights([0] * 17, "sqrt")


def test_accumulated_gradients_are_those_of_the_large_batch(built: Path, tmp_path: Path) -> None:
    """One step of 32, or four of 8: the same weights within rounding."""
    s2 = preset("s2", built)

    def after_a_step(batch: int, accumulation: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        known = {"max_steps": 2, "optim": "sgd", "learning_rate": 0.1}
        sizes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        run = So2SatTrainer(
            scratch_model("vit-tiny-8", s2, **SMALL),
            arguments(tmp_path, **known, **sizes),
            transform=So2SatTransform(s2, augment=Augmentation(flips=False)),
            train_dataset=table(built, "train"),
        )
        run.train()
        return weights(run.model)

    one, four = after_a_step(32, 1), after_a_step(8, 4)

    assert all(torch.allclose(one[name], four[name], atol=1e-5) for name in one)


# ---- optimiser


@pytest.mark.parametrize("family", CONFIGS)
def test_layers_learn_slower_the_earlier_they_are(family: str) -> None:
    """Head at full rate, embeddings slowest, every parameter once."""
    model = tiny(family)
    groups = parameter_groups(
        model, learning_rate=1.0, layer_decay=0.5, weight_decay=0.1, decayed={"classifier.weight"}
    )

    rates = {id(each): group["lr"] for group in groups for each in group["params"]}
    by_name = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}

    assert len(rates) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert all(rate == 1.0 for name, rate in by_name.items() if name.startswith("classifier"))
    embeddings = [rate for name, rate in by_name.items() if "patch_embed" in name]
    assert max(embeddings) == min(by_name.values()) < 0.6
    assert all(group["weight_decay"] == 0 for group in groups if group["lr"] < 1)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_linear_probe_learns_the_head_alone(family: str) -> None:
    """17 classes x features, and nothing else."""
    model = tiny(family)

    left = freeze_backbone(model)

    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {"classifier.weight", "classifier.bias"}
    assert left == sum(parameter.numel() for parameter in model.classifier.parameters())


def test_layer_decay_arrives_in_the_optimiser(built: Path, tmp_path: Path) -> None:
    """With the rates of the groups."""
    s2 = preset("s2", built)
    run = So2SatTrainer(
        scratch_model("vit-tiny-8", s2, **SMALL),
        arguments(tmp_path),
        transform=So2SatTransform(s2),
        train_dataset=table(built, "train"),
        layer_decay=0.5,
    )

    rates = {group["lr"] for group in run.create_optimizer().param_groups}

    assert rates == {1e-3, 5e-4, 2.5e-4, 1.25e-4}


def test_the_smoothing_of_transformers_is_refused(built: Path, tmp_path: Path) -> None:
    """It crashes on blended labels, and inflates the loss of evaluation."""
    with pytest.raises(So2SatError, match=r"label_smoothing_factor: 0\.1"):
        So2SatTrainer(
            tiny("vit"),
            arguments(tmp_path, label_smoothing_factor=0.1),
            transform=So2SatTransform(preset("rgb", built)),
        )
