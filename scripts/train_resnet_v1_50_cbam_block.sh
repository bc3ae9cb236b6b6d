#!/usr/bin/env bash
# Trains ResNet-50 with CBAM blocks on ImageNet; resumes an interrupted run.
# Usage: bash scripts/train_resnet_v1_50_cbam_block.sh \
#          DATASET_DIR TRAIN_DIR [--flag=value ...]
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
exec bash "$here/resnet_v1_50.sh" train cbam_block "$@"
