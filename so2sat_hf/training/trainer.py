"""A Trainer of transformers that prepares batches on the device, and goes on exactly where it was stopped.

What differs from the stock one:

* batches stay compact until they are on the device, where a
  :class:`~so2sat_hf.vision.transform.So2SatTransform` makes of them what the model eats;
* checkpoints are loaded through ``from_pretrained``, strictly: transformers 5.24 writes the weights of ViT,
  DINOv2, BEiT and others under other names than it looks for on resuming, and goes on with the old ones;
* the loss takes blended labels, smoothing and class weights, and never makes a multi-label model of it;
* :class:`~so2sat_hf.training.feed.Feed` takes the place of a dataset where whole batches come.
"""

import time
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from so2sat_hf.errors import So2SatError
from so2sat_hf.training.checkpoint import damage_named, load_weights
from so2sat_hf.training.feed import Feed
from so2sat_hf.training.loss import cross_entropy
from so2sat_hf.training.metrics import from_predictions
from so2sat_hf.training.optimizer import parameter_groups
from so2sat_hf.vision.checkpoints import saving
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.processor import image_processor
from so2sat_hf.vision.transform import So2SatTransform


class So2SatTrainer(Trainer):
    """See above; everything else is as in :class:`transformers.Trainer`."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        args: TrainingArguments,
        *,
        transform: So2SatTransform,
        train_dataset: Any = None,  # noqa: ANN401
        eval_dataset: Any = None,  # noqa: ANN401
        class_weights: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
        layer_decay: float = 1.0,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Prepare.

        Args:
            model: an image classifier of transformers with the channels of the preset.
            args: of the training.
            transform: with the preset, the size and the augmentation; moved to the device.
            train_dataset: a PatchTable, a ``datasets.Dataset`` or a :class:`Feed`.
            eval_dataset: a PatchTable or a ``datasets.Dataset``.
            class_weights: (17,) in the loss of training.
            label_smoothing: in the loss of training.
            layer_decay: factor of the learning rate from a layer to the one before it; 1: the same for all.
            options: of :class:`transformers.Trainer`.

        Raises:
            So2SatError: the smoothing of transformers was asked for, which knows no blended labels.
        """
        if args.label_smoothing_factor:
            raise So2SatError(
                "label_smoothing_factor", found=f"{args.label_smoothing_factor}", expected="0",
                remedy="label_smoothing does the same, also for blended labels, and leaves evaluation alone",
            )  # fmt: skip
        args.remove_unused_columns = False
        options.setdefault("data_collator", So2SatCollator(transform.preset))
        options.setdefault("processing_class", image_processor(transform.preset))
        options.setdefault("compute_metrics", compute_metrics)
        super().__init__(model, args, train_dataset=train_dataset, eval_dataset=eval_dataset, **options)
        self.transform = transform.to(args.device)
        self.transform.rank = args.process_index
        self._weights, self._smoothing, self._layer_decay = class_weights, label_smoothing, layer_decay
        self.loss_is_scaled_for_ga = self.model_accepts_loss_kwargs = True  # see compute_loss
        self._logged = (time.perf_counter(), 0)

    def get_train_dataloader(self) -> "DataLoader[Any]":
        """Return the batches of training."""
        if isinstance(self.train_dataset, Feed):
            return self.train_dataset.loader(self.data_collator)
        return super().get_train_dataloader()

    def _get_dataloader(self, *dataset: Any, is_training: bool = False, **options: Any) -> Any:  # noqa: ANN401
        """Leave incomplete batches out of training alone: a test is about every patch."""
        drop = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = drop and is_training
        try:
            options["is_training"] = is_training
            return super()._get_dataloader(*dataset, **options)
        finally:
            self.args.dataloader_drop_last = drop

    def num_examples(self, dataloader: "DataLoader[Any]") -> int:
        """Return the patches of an epoch."""
        if isinstance(dataloader.dataset, Feed):
            return dataloader.dataset.num_patches
        return super().num_examples(dataloader)

    def _run_epoch(self, **arguments: Any) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Run an epoch; what is random in it depends on its number and the batches used, not on the past."""
        epoch = arguments["epoch"]
        is_resumed = arguments["resume_from_checkpoint"] is not None and epoch == arguments["epochs_trained"]
        used = arguments["steps_trained_in_current_epoch"] if is_resumed else 0
        if isinstance(self.train_dataset, Feed):
            self.train_dataset.begin(epoch, used)
        self.transform.step = epoch * arguments["steps_in_epoch"] + used
        return super()._run_epoch(**arguments)  # type: ignore[no-untyped-call]

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Move a batch to the device and transform it there."""
        moved = super()._prepare_inputs(inputs)
        self.transform.train(self._is_training)
        with torch.no_grad():
            return self.transform(moved)

    @property
    def _is_training(self) -> bool:
        """Whether the batch at hand is one of training."""
        return bool(self.model and self.model.training)

    def compute_loss(
        self,
        model: Any,  # noqa: ANN401
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 (as transformers has it)
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401
        """Return the loss; the model gets no labels, so that it stays a classifier of single labels."""
        given = {name: inputs[name] for name in self.transform.preset.inputs}
        outputs = model(**given)
        is_training = self._is_training
        loss = cross_entropy(
            outputs.logits,
            inputs["labels"],
            inputs.get("soft_labels") if is_training else None,
            weights=self._weights if is_training else None,
            smoothing=self._smoothing if is_training else 0.0,
            num_items=num_items_in_batch,
        )
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over ranks
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:  # noqa: ANN401
        """Return the optimiser, with a learning rate for each layer if they differ."""
        if self.optimizer is None and self._layer_decay != 1:
            trained: Any = self.model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            groups = parameter_groups(
                trained,
                learning_rate=self.args.learning_rate,
                layer_decay=self._layer_decay,
                weight_decay=self.args.weight_decay,
                decayed=set(self.get_decay_parameter_names(trained)),
            )
            self.optimizer = kind(groups, **options)
        return super().create_optimizer(model)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ANN401
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        load_weights(self.model if model is None else model, resume_from_checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with damage_named(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with damage_named(checkpoint):
            super()._load_rng_state(checkpoint)

    def _load_best_model(self) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_best_model()
            return
        load_weights(self.model, str(self.state.best_model_checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401
        with saving(str(self.args.output_dir)):
            super()._save_checkpoint(model, trial)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:  # noqa: FBT001, FBT002
        """Write the model and its processor.

        Raises:
            FolderError: the disk is full, or has an error.
        """
        with saving(output_dir or str(self.args.output_dir)):
            super().save_model(output_dir, _internal_call)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with the patches per second since the last time."""
        if "loss" in logs:
            now, step = time.perf_counter(), self.state.global_step
            then, before = self._logged
            self._logged = (now, step)
            if before and step > before:
                patches = (step - before) * self._train_batch_size * self.args.gradient_accumulation_steps
                logs["patches_per_second"] = round(patches * self.args.world_size / (now - then), 1)
        super().log(logs, start_time)


def compute_metrics(found: EvalPrediction) -> dict[str, float]:
    """Return every metric of :mod:`so2sat_hf.training.metrics`, of logits and labels."""
    logits = torch.from_numpy(found.predictions).float()
    return from_predictions(found.label_ids, torch.softmax(logits, dim=-1).double().numpy())
