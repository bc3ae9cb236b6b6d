#!/usr/bin/env bash
# Converts a data set to TFRecord, from originals in SOURCE_DIR or, if the data
# set allows it, from a download.
# Usage: bash scripts/convert.sh \
#          DATASET_NAME DATASET_DIR [SOURCE_DIR] [--flag=value ...]
set -euo pipefail

if [[ $# -lt 2 || $1 == -* || $2 == -* ]]; then
  echo "usage: bash scripts/convert.sh DATASET_NAME DATASET_DIR" \
    "[SOURCE_DIR] [--flag=value ...]" >&2
  exit 2
fi
flags=("--dataset_name=$1" "--dataset_dir=$2")
shift 2
if [[ $# -gt 0 && $1 != -* ]]; then
  flags+=("--source_dir=$1")
  shift
fi
here=$(dirname "${BASH_SOURCE[0]}")
exec bash "$here/run.sh" download_and_convert_data.py "${flags[@]}" "$@"
