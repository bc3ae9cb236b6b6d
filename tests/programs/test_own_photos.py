"""A user's own photos: conversion, inspection, training and evaluation."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image


def write_photos(folder):
  """Writes photos with vertical, horizontal or no stripes, and a text file."""
  rng = np.random.default_rng(0)
  stripes = np.where(np.arange(48) // 4 % 2, 220, 30)
  for name, pattern in (
    ('across', np.tile(stripes[:, None], (1, 48))),
    ('down', np.tile(stripes, (48, 1))),
    ('plain', np.full((48, 48), 120)),
  ):
    (folder / name).mkdir(parents=True)
    for number in range(20):
      noise = rng.integers(-20, 20, (48, 48, 3))
      image = Image.fromarray((pattern[..., None] + noise).astype(np.uint8))
      file = io.BytesIO()
      image.save(file, 'JPEG')
      (folder / name / f'{number}.jpg').write_bytes(file.getvalue())
  (folder / 'plain/20.jpg').write_text('no photo')


@pytest.mark.slow
def test_a_network_learns_from_converted_photos(run, tmp_path):
  write_photos(tmp_path / 'photos')
  convert = run(
    'convert', dataset_name='stripes', source_dir='photos', dataset_dir='out',
    validation_fraction=0.25, seed=3,
  )  # fmt: skip
  assert convert.code == 0, convert.stderr
  assert '1 of the originals cannot be used: see out/rejected.csv' in (
    convert.stderr
  )
  assert '45 train, 15 validation records of 3 classes' in convert.stderr
  inspected = run('inspect', dataset_dir='out', output='sheet.png')
  assert inspected.code == 0, inspected.stderr
  assert '  2:plain  15  5' in inspected.stdout
  assert (tmp_path / 'sheet.png').stat().st_size > 10_000
  suggested = re.search(r'Train on it with (.*)', convert.stderr)[1].split()
  training = run(
    'train', *suggested, train_dir='train', model_name='cifarnet',
    preprocessing_name='lenet', optimizer='adam', opt_epsilon=1e-8,
    learning_rate=0.002, max_number_of_steps=40, batch_size=15, seed=1,
  )  # fmt: skip
  assert training.code == 0, training.stderr
  evaluation = run('eval', *suggested, checkpoint_path='train')
  assert evaluation.code == 0, evaluation.stderr
  results = json.loads((tmp_path / 'train/eval/results.json').read_text())
  assert (results['split'], results['count']) == ('validation', 15)
  assert [c['name'] for c in results['per_class']] == [
    'across',
    'down',
    'plain',
  ]
  assert results['metrics']['Accuracy'] > 0.8
