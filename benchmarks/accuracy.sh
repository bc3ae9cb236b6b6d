#!/usr/bin/env bash
# Trains and evaluates the runs of the README's table of results, one after
# another, and prints a row of the table for each.
#
# Usage: bash benchmarks/accuracy.sh DATA OUT [RUN...]
#   DATA  folder of fashion_mnist and cifar10, as written by
#         download_and_convert_data.py
#   OUT   receives a train_dir for each run
#   RUN   fashion_mnist, cifar10, cifar10_se_block or cifar10_cbam_block
#         (default: all)
set -euo pipefail

if [[ $# -lt 2 ]]; then
  echo "usage: bash $0 DATA OUT [RUN...]" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
data=$1 out=$2
shift 2
runs=("$@")
if [[ $# -eq 0 ]]; then
  runs=(fashion_mnist cifar10 cifar10_se_block cifar10_cbam_block)
fi

# train NAME FLAGS: trains and evaluates a run, and prints its row.
train() {
  local train_dir=$out/$1 began=$SECONDS
  bash "$root/scripts/run.sh" train_image_classifier.py \
    "--train_dir=$train_dir" --batch_size=128 --optimizer=adam \
    --opt_epsilon=1e-8 --learning_rate=0.001 --end_learning_rate=0.00001 \
    --learning_rate_decay_type=cosine --warmup_epochs=1 --seed=1 \
    --log_every_n_steps=100 "${@:2}"
  local seconds=$((SECONDS - began))
  bash "$root/scripts/run.sh" eval_image_classifier.py \
    "--checkpoint_path=$train_dir" 2>&1 | tee "$train_dir/eval.log"
  local accuracy
  accuracy=$(sed -n 's/^eval.Accuracy\[\(.*\)\]$/\1/p' "$train_dir/eval.log")
  printf '| %s | %s | %d:%02d min |\n' "$1" "$accuracy" \
    $((seconds / 60)) $((seconds % 60)) | tee -a "$out/table.md"
}

cifar10=(--dataset_name=cifar10 "--dataset_dir=$data/cifar10"
  --model_name=cifarnet --max_number_of_steps=9000)
mkdir -p "$out"
for run in "${runs[@]}"; do
  case $run in
    fashion_mnist)
      train "$run" --dataset_name=fashion_mnist \
        "--dataset_dir=$data/fashion_mnist" --model_name=lenet \
        --max_number_of_steps=5000
      ;;
    cifar10) train "$run" "${cifar10[@]}" ;;
    cifar10_*) train "$run" "${cifar10[@]}" "--attention_module=${run#*_}" ;;
    *)
      echo "accuracy.sh: unknown run $run" >&2
      exit 2
      ;;
  esac
done
