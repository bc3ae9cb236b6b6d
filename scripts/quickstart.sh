#!/usr/bin/env bash
# Leads from a fresh checkout to an evaluated network: creates the environment,
# converts scikit-learn's handwritten digits to TFRecord, trains lenet with CBAM,
# evaluates it and prints where the results are. A second run resumes training,
# or evaluates again if training is finished.
#
# Usage: bash scripts/quickstart.sh [FOLDER]
#   FOLDER  folder for data and results (default: quickstart in the checkout)
set -euo pipefail

if [[ $# -gt 1 || ${1-} == -* ]]; then
  echo "usage: bash scripts/quickstart.sh [FOLDER]" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-$root/quickstart}
if ! mkdir -p "$work" || [[ ! -w $work ]]; then
  echo "quickstart: cannot write to $work; name another folder:" \
    "bash scripts/quickstart.sh FOLDER" >&2
  exit 1
fi
work=$(cd "$work" && pwd)
data=$work/digits
train=$work/lenet_cbam_block

# run PROGRAM FLAGS: prints the command, then runs it.
run() {
  printf '\n$ python %s\n' "$*"
  "$root/.venv/bin/python" "$root/$1" "${@:2}"
}

bash "$root/scripts/setup.sh"
# dataset.json is written last: if it exists, the data set is complete.
if [[ ! -f $data/dataset.json ]]; then
  run download_and_convert_data.py --dataset_name=digits "--dataset_dir=$data"
fi
run train_image_classifier.py "--train_dir=$train" --dataset_name=digits \
  "--dataset_dir=$data" --model_name=lenet --attention_module=cbam_block \
  --batch_size=64 --optimizer=momentum --learning_rate=0.02 \
  --learning_rate_decay_type=cosine --end_learning_rate=0 --warmup_epochs=1 \
  --max_number_of_steps=600 --eval_every_n_steps=150 --log_every_n_steps=25 \
  --save_summaries_secs=10 --seed=1
run eval_image_classifier.py "--checkpoint_path=$train" --dataset_name=digits \
  "--dataset_dir=$data" --model_name=lenet --attention_module=cbam_block

"$root/.venv/bin/python" - "$root" "$data" "$train" <<'SUMMARY'
import json
import os
import pathlib
import shlex
import sys

root, data, train = map(pathlib.Path, sys.argv[1:])
results = json.loads((train / 'eval' / 'results.json').read_text())
metrics = results['metrics']


def quoted(*parts):
  return shlex.quote(os.path.join(*parts))


print(f'''
Done: lenet with cbam_block, {results['global_step']} steps on the digits.
  accuracy  {metrics['Accuracy']:.4f} of {results['count']} held-out images
  top-5     {metrics['Recall_5']:.4f}

Results:
  checkpoints  {results['checkpoint']}
  best one     {train / 'best'}
  events       {train} and {train / 'eval'}
  plot         {train / 'curves.png'}
  results      {train / 'eval' / 'results.json'}, results.csv,
               confusion_matrix.png
  records      {data}

Next steps:
  Show the events (installs TensorBoard first):
    bash {quoted(root, 'scripts', 'setup.sh')} tensorboard
    {quoted(root, '.venv', 'bin', 'tensorboard')} --logdir {quoted(train)}
  Train another attention module, in another folder:
    bash {quoted(root, 'scripts', 'run.sh')} train_image_classifier.py \\
      --dataset_name=digits --dataset_dir={quoted(data)} \\
      --model_name=lenet --attention_module='se_block(ratio=4)' \\
      --train_dir={quoted(train.parent, 'lenet_se_block')} \\
      --optimizer=momentum --max_number_of_steps=600 --save_interval_secs=3
  and evaluate each checkpoint as it appears, in a second terminal:
    bash {quoted(root, 'scripts', 'run.sh')} eval_image_classifier_loop.py \\
      --dataset_name=digits --dataset_dir={quoted(data)} \\
      --model_name=lenet --attention_module='se_block(ratio=4)' \\
      --checkpoint_path={quoted(train.parent, 'lenet_se_block')} \\
      --eval_interval_secs=5
  Convert larger data: bash {quoted(root, 'scripts', 'convert.sh')} cifar10 FOLDER,
  or ImageNet's folders of photos, and train with the commands in scripts/:
    bash {quoted(root, 'scripts', 'convert.sh')} imagenet FOLDER PHOTOS
    bash {quoted(root, 'scripts', 'train_resnet_v1_50_cbam_block.sh')} FOLDER TRAIN_DIR''')
SUMMARY
