#!/usr/bin/env bash
# Runs the commands of the original repository for ResNet-50 on ImageNet. The six
# scripts train_resnet_v1_50*.sh and eval_loop_resnet_v1_50*.sh call it.
#
# Usage: bash scripts/resnet_v1_50.sh train ATTENTION \
#          DATASET_DIR TRAIN_DIR [--flag=value ...]
#        bash scripts/resnet_v1_50.sh eval_loop ATTENTION \
#          DATASET_DIR TRAIN_DIR [EVAL_DIR] [--flag=value ...]
#   ATTENTION  none, or the name of an attention module
#
# Further flags come last, so they override those below.
set -euo pipefail

job=$1
attention=$2
caller=${job}_resnet_v1_50.sh
if [[ $attention != none ]]; then caller=${job}_resnet_v1_50_$attention.sh; fi
shift 2

usage() {
  local folders='DATASET_DIR TRAIN_DIR'
  if [[ $job == eval_loop ]]; then folders+=' [EVAL_DIR]'; fi
  echo "usage: bash scripts/$caller $folders [--flag=value ...]" >&2
  exit 2
}

[[ $# -ge 2 && $1 != -* && $2 != -* ]] || usage
dataset_dir=$1
train_dir=$2
shift 2

flags=("--dataset_name=imagenet" "--dataset_dir=$dataset_dir")
flags+=("--model_name=resnet_v1_50" "--batch_size=100")
if [[ $attention != none ]]; then
  flags+=("--attention_module=$attention")
fi
case $job in
  train)
    program=train_image_classifier.py
    flags+=("--train_dir=$train_dir" "--dataset_split_name=train")
    ;;
  eval_loop)
    program=eval_image_classifier_loop.py
    flags+=("--alsologtostderr" "--checkpoint_path=$train_dir")
    flags+=("--dataset_split_name=validation")
    if [[ $# -gt 0 && $1 != -* ]]; then
      flags+=("--eval_dir=$1")
      shift
    fi
    ;;
  *) usage ;;
esac

# Use the first GPU unless the caller chose others.
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-0}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run.sh" "$program" "${flags[@]}" "$@"
