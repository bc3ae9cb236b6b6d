#!/usr/bin/env bash
# Converts the digits, trains lenet with CBAM and evaluates it on the oldest
# supported TensorFlow, in the environment .venv-oldest. Needs Python 3.10, 3.11
# or 3.12.
#
# Usage: bash scripts/smoke_oldest.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/scripts/setup.sh" --oldest
python=$root/.venv-oldest/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

model=(--dataset_name=digits "--dataset_dir=$work/digits" --model_name=lenet)
model+=(--attention_module=cbam_block)
"$python" "$root/download_and_convert_data.py" --dataset_name=digits \
  "--dataset_dir=$work/digits"
"$python" "$root/train_image_classifier.py" "${model[@]}" \
  "--train_dir=$work/train" --optimizer=momentum --learning_rate=0.02 \
  --batch_size=32 --max_number_of_steps=60 --log_every_n_steps=20 --seed=1
# XLA compiles preprocessings with random numbers, which that of lenet does not have.
"$python" "$root/train_image_classifier.py" "${model[@]}" \
  --preprocessing_name=cifarnet "--train_dir=$work/compiled" --batch_size=32 \
  --max_number_of_steps=2
"$python" "$root/eval_image_classifier.py" "${model[@]}" \
  "--checkpoint_path=$work/train" "--eval_dir=$work/eval"
# 60 steps reach an accuracy of 0.95; guessing reaches 0.1.
"$python" - "$work/eval/results.json" <<'CHECK'
import importlib.metadata
import json
import sys

results = json.load(open(sys.argv[1]))
accuracy = results['metrics']['Accuracy']
if results['global_step'] != 60 or results['count'] != 360 or accuracy < 0.8:
  sys.exit(f'smoke_oldest: wrong results after 60 steps: {results}')
print(
  f'smoke_oldest: TensorFlow {importlib.metadata.version("tensorflow")} '
  f'trains and evaluates: accuracy {accuracy:.3f}'
)
CHECK
