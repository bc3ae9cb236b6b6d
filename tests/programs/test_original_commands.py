"""Commands of TF-Slim's README, as users have them in scripts, on real photos.

A shell runs them verbatim, with folders in environment variables. Flags are
added only for a smaller batch, a short training and a short evaluation.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from engine.run_dir import results_csv

CHECKOUT = pathlib.Path(__file__).parents[2]
TRAIN = """
CUDA_VISIBLE_DEVICES=0 python train_image_classifier.py --train_dir=${TRAIN_DIR} --dataset_name=imagenet \\
    --dataset_split_name=train --dataset_dir=${DATASET_DIR} --model_name=resnet_v1_50 --batch_size=100"""
EVALUATE = """
CUDA_VISIBLE_DEVICES=0 python PROGRAM --alsologtostderr --checkpoint_path=${CHECKPOINT_FILE} \\
    --dataset_dir=${DATASET_DIR} --eval_dir=${EVAL_DIR} --dataset_name=imagenet --dataset_split_name=validation \\
    --model_name=resnet_v1_50 --batch_size=100"""


@pytest.fixture(scope='module')
def photos(slim_test_data, server, tmp_path_factory) -> pathlib.Path:
  """Returns a folder of records: 12 photos for training, 30 for evaluation."""
  folder = tmp_path_factory.mktemp('photos')
  sample = slim_test_data / 'imagenet_sample' / 'validation'
  synsets = sorted(path for path in sample.iterdir() if path.is_dir())[::33]
  for split, folders in (('train', synsets[:12]), ('validation', synsets[:30])):
    for synset in folders:
      shutil.copytree(synset, folder / 'raw' / split / synset.name)
  process = server.start(
    'convert', cwd=folder, dataset_name='imagenet', dataset_dir='records',
    source_dir='raw', keep_empty_classes=True,
  )  # fmt: skip
  assert process.wait() == 0, process.stderr
  return folder / 'records'


@pytest.fixture
def shell(tmp_path, photos):
  """shell(command, more) -> stderr of a command with more flags."""
  (tmp_path / 'bin').mkdir()
  python = tmp_path / 'bin' / 'python'
  python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
  python.chmod(0o755)
  environment = os.environ | {
    'PATH': f'{tmp_path / "bin"}:{os.environ["PATH"]}',
    'DATASET_DIR': str(photos),
    'TRAIN_DIR': str(tmp_path / 'train'),
    'CHECKPOINT_FILE': str(tmp_path / 'train'),
    'EVAL_DIR': str(tmp_path / 'results'),
  }

  def shell(command: str, more: str) -> str:
    process = subprocess.run(
      ['bash', '-c', f'{command} {more}'], cwd=CHECKOUT, env=environment,
      capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert 'Traceback' not in process.stderr
    return process.stderr

  return shell


@pytest.mark.slow
def test_the_commands_of_the_readme(shell, tmp_path):
  flag = '--attention_module=cbam_block'
  stderr = shell(TRAIN, f'{flag} --batch_size=4 --max_number_of_steps=2')
  assert '12 records of imagenet/train, 1001 classes' in stderr
  assert 'images of 224 x 224 x 3' in stderr
  assert 'Finished at step 2' in stderr
  few = f'{flag} --batch_size=8'
  for program, more in (
    ('eval_image_classifier.py', few),
    ('eval_image_classifier_loop.py', f'{few} --max_num_batches=1'),
  ):
    stderr = shell(EVALUATE.replace('PROGRAM', program), more)
    assert 'eval/Accuracy[' in stderr
    assert 'eval/Recall_5[' in stderr
  rows = results_csv.read(tmp_path / 'results' / 'results.csv')
  assert rows[0]['count'] == 30
  assert rows[0]['global_step'] == rows[-1]['global_step'] == 2
  assert {row['count'] for row in rows[1:]} == {8}
  results = json.loads((tmp_path / 'results' / 'results.json').read_text())
  assert len(results['per_class']) == 1001
