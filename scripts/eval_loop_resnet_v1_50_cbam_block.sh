#!/usr/bin/env bash
# Evaluates each new checkpoint of ResNet-50 with CBAM blocks on ImageNet.
# Usage: bash scripts/eval_loop_resnet_v1_50_cbam_block.sh \
#          DATASET_DIR TRAIN_DIR [EVAL_DIR] [--flag=value ...]
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
exec bash "$here/resnet_v1_50.sh" eval_loop cbam_block "$@"
