#!/usr/bin/env bash
# Evaluates each new checkpoint of ResNet-50 on ImageNet.
# Usage: bash scripts/eval_loop_resnet_v1_50.sh \
#          DATASET_DIR TRAIN_DIR [EVAL_DIR] [--flag=value ...]
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
exec bash "$here/resnet_v1_50.sh" eval_loop none "$@"
