#!/usr/bin/env bash
# Compares attention modules on CIFAR-10: airbench_cifar, 1.5 epochs, 3 seeds per
# module, at equal steps and at equal time. A second run resumes the first.
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
  --recipe=cifar10_airbench --num_epochs=1.5 --warmup_epochs=0.35 \
  --mixed_precision=bfloat16 --seeds=1,2,3 --equal_time \
  --attention_modules='none;se_block;eca_block;cbam_block;ema_block' \
  --dataset_name=cifar10 "--dataset_dir=$data/cifar10" "$@"
