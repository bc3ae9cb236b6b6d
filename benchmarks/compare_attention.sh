#!/usr/bin/env bash
# Compares attention modules on CIFAR-10: a ResNet with 20 layers, 3 epochs, 3
# seeds per module. A second run resumes the first.
#
# Usage: bash benchmarks/compare_attention.sh DATA OUT [--flag=value ...]
#   DATA  folder of cifar10, as written by download_and_convert_data.py
#   OUT   receives comparison.md, .csv, .png and a train_dir for each run
set -euo pipefail

if [[ $# -lt 2 || $1 == -* || $2 == -* ]]; then
  echo "usage: bash $0 DATA OUT [--flag=value ...]" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
data=$1 out=$2
shift 2
exec bash "$root/scripts/run.sh" compare_attention.py "--train_dir=$out" \
  --attention_modules='none;se_block;cbam_block' \
  --seeds=1,2,3 --model_name=resnet_cifar_20 --dataset_name=cifar10 \
  "--dataset_dir=$data/cifar10" --batch_size=128 --max_number_of_steps=1170 \
  --optimizer=momentum --learning_rate=0.1 --end_learning_rate=0 \
  --learning_rate_decay_type=cosine --warmup_epochs=0.5 --weight_decay=0.0001 \
  --batch_norm_decay=0.9 --eval_every_n_steps=390 --log_every_n_steps=50 "$@"
