"""The Trainer of transformers as it is: a PatchTable for a dataset, and a collator that transforms.

    python stock_trainer.py SHARDS OUTPUT_DIR

Two things to know. ``remove_unused_columns=False``: Trainer would drop the columns that no model knows, which
are all of them. And transformers 5 does not restore the weights of ViT, DINOv2, BEiT and Swin when it resumes
or loads the best checkpoint at the end: So2SatTrainer does, this Trainer keeps the last weights.
"""

import sys

from transformers import Trainer, TrainingArguments

from so2sat_hf.load.table import PatchTable
from so2sat_hf.training.trainer import compute_metrics
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.from_scratch import scratch_model
from so2sat_hf.vision.transform import So2SatTransform


def main(data: str, output_dir: str) -> dict[str, float]:
    s2 = preset("s2", data=data)
    columns = (*s2.sensors, "label")
    train, test = (PatchTable(data, split, columns=columns) for split in ("train", "test"))

    transform = So2SatTransform(s2).eval()  # .eval(): no flips, since the collator serves evaluation, too
    trainer = Trainer(
        scratch_model("vit-tiny-8", s2),
        TrainingArguments(
            output_dir,
            num_train_epochs=1,
            per_device_train_batch_size=64,
            learning_rate=5e-4,
            remove_unused_columns=False,
            save_strategy="no",
        ),
        data_collator=So2SatCollator(s2, transform=transform),
        train_dataset=train,
        eval_dataset=test,
        compute_metrics=compute_metrics,
    )
    trainer.train()
    metrics = trainer.evaluate()
    print({name: round(value, 3) for name, value in metrics.items() if name in ("eval_oa", "eval_kappa")})
    return metrics


if __name__ == "__main__":
    main(*sys.argv[1:])
