"""One's own photos: converted, inspected, trained on and evaluated."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image


def write_photos(folder):
  """Stripes that run down, across, or nowhere; one file is no photo."""
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
def test_photos_become_a_set_that_a_network_learns(run, tmp_path):
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
  assert '  2:plain  15  5' in inspected.stderr
  assert (tmp_path / 'sheet.png').stat().st_size > 10_000
  offered = re.search(r'Train on it with (.*)', convert.stderr)[1].split()
  training = run(
    'train', *offered, train_dir='train', model_name='cifarnet',
    preprocessing_name='lenet', optimizer='adam', opt_epsilon=1e-8,
    learning_rate=0.002, max_number_of_steps=40, batch_size=15, seed=1,
  )  # fmt: skip
  assert training.code == 0, training.stderr
  evaluation = run('eval', *offered, checkpoint_path='train')
  assert evaluation.code == 0, evaluation.stderr
  found = json.loads((tmp_path / 'train/eval/results.json').read_text())
  assert (found['split'], found['count']) == ('validation', 15)
  assert [c['name'] for c in found['per_class']] == ['across', 'down', 'plain']
  assert found['metrics']['Accuracy'] > 0.8
