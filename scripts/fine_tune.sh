#!/usr/bin/env bash
# Leads from a folder of photos to a model: imports weights that are named,
# converts the photos, fine-tunes by the recipe fine_tune, evaluates and reports. A
# second run resumes.
#
# Usage: bash scripts/fine_tune.sh PHOTOS OUT [WEIGHTS] [--flag=value ...]
#   PHOTOS   folder of photos with a folder for each class, an archive of it, or a
#            list of photos and labels
#   OUT      folder for the records (OUT/data), imported weights (OUT/weights) and
#            the run (OUT/run)
#   WEIGHTS  what --checkpoint_path takes: a run folder, a checkpoint, or a name
#            such as timm:resnet50.a1_in1k (default: keras:MobileNetV2)
#
# Further flags are those of train_image_classifier.py.
set -euo pipefail

if [[ $# -lt 2 || $1 == -* || $2 == -* ]]; then
  echo "usage: bash scripts/fine_tune.sh PHOTOS OUT [WEIGHTS]" \
    "[--flag=value ...]" >&2
  exit 2
fi
photos=$1
out=$2
shift 2
weights=
if [[ $# -gt 0 && $1 != -* ]]; then
  weights=$1
  shift
fi
here=$(dirname "${BASH_SOURCE[0]}")

# run PROGRAM FLAGS: prints the command, then runs it.
run() {
  printf '\n$ python %s\n' "$*"
  bash "$here/run.sh" "$@"
}

fail() {
  echo "fine_tune: $*" >&2
  exit 2
}

# absolute PATH: prints it as a path from the root.
absolute() {
  printf '%s/%s\n' "$(cd "$(dirname "$1")" && pwd)" "$(basename "$1")"
}

# check FILE VALUE: fails if FILE says that OUT was made from another value.
check() {
  if [[ -f $1 && $(cat "$1") != "$2" ]]; then
    fail "$out was made from $(cat "$1"), not $2: name another folder OUT"
  fi
}

[[ -e $photos ]] || fail "no folder, archive or list $photos"
source=$(absolute "$photos")
if [[ -z $weights ]]; then
  weights=$(cat "$out/weights.txt" 2> /dev/null || echo keras:MobileNetV2)
elif [[ -e $weights ]]; then
  weights=$(absolute "$weights")
fi
check "$out/photos.txt" "$source"
check "$out/weights.txt" "$weights"
mkdir -p "$out"
named=$weights
if [[ $weights == *:* && ! -e $weights ]]; then
  if [[ ! -f $out/weights/job.json ]]; then
    run import_weights.py "--weights=$weights" "--output_dir=$out/weights"
  fi
  weights=$out/weights
fi
# dataset.json is written last: if it exists, the records are complete.
if [[ ! -f $out/data/dataset.json ]]; then
  run download_and_convert_data.py --dataset_name=photos \
    "--source_dir=$photos" "--dataset_dir=$out/data" --resume
fi
# A mistaken command has failed by now.
printf '%s\n' "$source" > "$out/photos.txt"
printf '%s\n' "$named" > "$out/weights.txt"
run train_image_classifier.py "--train_dir=$out/run" \
  "--checkpoint_path=$weights" --dataset_name=photos \
  "--dataset_dir=$out/data" --recipe=fine_tune --eval_every_n_epochs=1 "$@"
run eval_image_classifier.py "--checkpoint_path=$out/run"
run report.py "--train_dir=$out/run"
