#!/usr/bin/env bash
# Train on all GPUs of this machine (NUM_PROCESSES says how many, the others follow from it).
#   bash many_gpus.sh SHARDS OUTPUT_DIR [FLAGS OF so2sat train]
# 512 patches a step in all: a larger global batch wants a larger learning rate. Interrupted, the same line continues.
set -euo pipefail
data=$1 out=$2
ranks=${NUM_PROCESSES:-$(nvidia-smi --list-gpus | wc -l)}
exec torchrun --standalone --nproc_per_node "$ranks" -m so2sat_hf.training.finetune \
    --data "$data" --output_dir "$out" --model vit-small-8 --preset s2 --bf16 \
    --per_device_train_batch_size $((512 / ranks)) "${@:3}"
