#!/usr/bin/env bash
# From nothing to an evaluated network: makes the environment, converts
# scikit-learn's handwritten digits to TFRecord, trains lenet with CBAM,
# evaluates it, and says where everything lies. Run again, it goes on where it
# was, or evaluates again what is finished.
#
# Usage: bash scripts/quickstart.sh [FOLDER]
#   FOLDER  where data and results go (default: quickstart in the checkout)
set -euo pipefail

if [[ $# -gt 1 || ${1-} == -* ]]; then
  echo "usage: bash scripts/quickstart.sh [FOLDER]" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-$root/quickstart}
if ! mkdir -p "$work" || [[ ! -w $work ]]; then
  echo "quickstart: cannot write in $work; name another folder:" \
    "bash scripts/quickstart.sh FOLDER" >&2
  exit 1
fi
work=$(cd "$work" && pwd)
data=$work/digits
train=$work/lenet_cbam_block

# run PROGRAM FLAGS: shows the command, then runs it.
run() {
  printf '\n$ python %s\n' "$*"
  "$root/.venv/bin/python" "$root/$1" "${@:2}"
}

bash "$root/scripts/setup.sh"
# A set is there whole or not at all, and dataset.json is its last file.
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


def shown(*parts):
  return shlex.quote(os.path.join(*parts))


print(f'''
Done: lenet with cbam_block, {results['global_step']} steps on the digits.
  accuracy  {metrics['Accuracy']:.4f} of {results['count']} held-out images
  top-5     {metrics['Recall_5']:.4f}

What there is now:
  checkpoints  {results['checkpoint']}
  best one     {train / 'best'}
  events       {train} and {train / 'eval'}
  plot         {train / 'curves.png'}
  results      {train / 'eval' / 'results.json'}, results.csv,
               confusion_matrix.png
  records      {data}

What to run next:
  See the events (installs TensorBoard first):
    bash {shown(root, 'scripts', 'setup.sh')} tensorboard
    {shown(root, '.venv', 'bin', 'tensorboard')} --logdir {shown(train)}
  Another attention, in a folder of its own:
    bash {shown(root, 'scripts', 'run.sh')} train_image_classifier.py \\
      --dataset_name=digits --dataset_dir={shown(data)} \\
      --model_name=lenet --attention_module='se_block(ratio=4)' \\
      --train_dir={shown(train.parent, 'lenet_se_block')} \\
      --optimizer=momentum --max_number_of_steps=600 --save_interval_secs=3
  and, in a second terminal, each checkpoint evaluated as it appears:
    bash {shown(root, 'scripts', 'run.sh')} eval_image_classifier_loop.py \\
      --dataset_name=digits --dataset_dir={shown(data)} \\
      --model_name=lenet --attention_module='se_block(ratio=4)' \\
      --checkpoint_path={shown(train.parent, 'lenet_se_block')} \\
      --eval_interval_secs=5
  Larger data: bash {shown(root, 'scripts', 'convert.sh')} cifar10 FOLDER,
  or ImageNet's folders of photos and the ready commands in scripts/:
    bash {shown(root, 'scripts', 'convert.sh')} imagenet FOLDER PHOTOS
    bash {shown(root, 'scripts', 'train_resnet_v1_50_cbam_block.sh')} FOLDER TRAIN_DIR''')
SUMMARY
