#!/usr/bin/env bash
# Trains ResNet-50 with SE blocks on ImageNet; resumes an interrupted run.
# Usage: bash scripts/train_resnet_v1_50_se_block.sh \
#          DATASET_DIR TRAIN_DIR [--flag=value ...]
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
exec bash "$here/resnet_v1_50.sh" train se_block "$@"
