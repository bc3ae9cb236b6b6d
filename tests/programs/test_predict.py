"""predict.py as a command: photos without labels, beside an evaluation."""

import csv
import json
import os
import re
import shutil

import numpy as np
import pytest
from original_files import photo_bytes, write_tree

from datasets import photo

FORMS = 'JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF'


@pytest.fixture(scope='module')
def classified(server, tmp_path_factory):
  """A folder of photos, a run on them, and its evaluation's predictions.csv."""
  folder = tmp_path_factory.mktemp('classified')
  photos = {
    f'photos/{kind}/{n}.{form.lower()}': photo_bytes(form, seed=n)
    for kind in ('cat', 'dog')
    for n, form in enumerate(FORMS)
  }
  write_tree(folder, photos)

  def run(program, **flags):
    process = server.start(program, cwd=folder, tiny=True, **flags)
    assert process.wait() == 0, process.stderr

  data = {'dataset_name': 'mine', 'dataset_dir': 'records'}
  run('convert', source_dir='photos', num_processes=1, **data)
  run(
    'train', train_dir='train', model_name='tiny', batch_size=4,
    max_number_of_steps=3, num_readers=1, **data,
  )  # fmt: skip
  run(
    'eval', checkpoint_path='train', predictions_file='predictions.csv',
    dataset_split_name='train',
  )  # fmt: skip
  shutil.copytree(folder / 'train', folder / 'bare')
  (folder / 'bare/job.json').unlink()
  return folder


@pytest.mark.slow
def test_probabilities_are_those_of_evaluation(server, classified, tmp_path):
  process = server.start(
    'predict', cwd=classified, tiny=True, checkpoint_path='train',
    images='photos', output=tmp_path / 'out.csv', sort_into=tmp_path / 'sorted',
    batch_size=3, embeddings=tmp_path / 'features.npz',
  )  # fmt: skip
  assert process.wait() == 0, process.stderr
  archive = np.load(tmp_path / 'features.npz')
  assert archive['features'].shape[0] == 12
  assert np.ptp(archive['features'], axis=0).max() > 0
  with (tmp_path / 'out.csv').open(newline='') as file:
    rows = {
      row['file'].removeprefix('photos/'): row for row in csv.DictReader(file)
    }
  assert len(rows) == 12
  assert [f'photos/{name}' for name in rows] == list(archive['files'])
  with (classified / 'predictions.csv').open(newline='') as file:
    expected = list(csv.DictReader(file))
  assert expected
  for line in expected:
    row = rows[line['filename']]
    for rank in ('1', '2'):
      assert row[f'name_{rank}'] == line[f'top{rank}_name']
      assert float(row[f'probability_{rank}']) == pytest.approx(
        float(line[f'top{rank}_probability']), abs=2e-6
      )
  links = [
    path for path in (tmp_path / 'sorted').rglob('*') if path.is_symlink()
  ]
  assert len(links) == 12
  for link in links:
    name = str(link.resolve().relative_to(classified / 'photos'))
    assert rows[name]['name_1'] == link.parent.name
  assert f'Written: {tmp_path / "out.csv"}.' in process.stderr
  # Other predictions would be sorted among these.
  process = server.start(
    'predict', cwd=classified, tiny=True, checkpoint_path='train',
    images='photos', sort_into=tmp_path / 'sorted',
  )  # fmt: skip
  assert process.wait() == 2
  assert 'is not an empty folder' in process.stderr


@pytest.mark.slow
def test_images_that_cannot_be_read_are_listed_and_the_rest_goes_on(
  server, classified, tmp_path
):
  (tmp_path / 'broken.jpg').write_bytes(b'no photo')
  # Its markers are intact, so that only decoding tells.
  data = bytearray(photo_bytes('JPEG', seed=9))
  data[data.index(b'\xff\xc4') + 5] = 255  # codes of one bit
  (tmp_path / 'table.jpg').write_bytes(data)
  assert photo.is_ordinary(bytes(data))
  os.mkfifo(tmp_path / 'pipe.jpg')
  (tmp_path / 'list.csv').write_text(
    'path\ntable.jpg\nbroken.jpg\nmissing.png\npipe.jpg\n'
  )
  process = server.start(
    'predict', cwd=classified, tiny=True, checkpoint_path='train', top=1,
    images=f'{tmp_path}/list.csv,photos/cat', output=tmp_path / 'out.jsonl',
  )  # fmt: skip
  assert process.wait() == 1
  assert '4 of 10 images failed' in process.stderr
  assert re.search(
    r'table.jpg: does not decode: .*\n.*broken.jpg: is not an image.*\n'
    r'.*missing.png: No such file.*\n.*pipe.jpg: it is a device or pipe',
    process.stderr,
  )
  lines = (tmp_path / 'out.jsonl').read_text().splitlines()
  assert len(lines) == 6
  assert {*json.loads(lines[0])} == {
    'file', 'label_1', 'name_1', 'probability_1',
  }  # fmt: skip


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ({}, r'--images is required'),
    ({'images': 'nowhere.jpg'}, r'There is no image nowhere.jpg'),
    ({'images': 'records'}, r'names no image'),
    ({'images': 'photos', 'output': 'a.xls'}, r'ending is one of .csv'),
    ({'images': 'photos', 'embeddings': 'a.csv'}, r'ending is .npz'),
    ({'images': 'photos', 'checkpoint_path': 'x'}, r'No checkpoint x'),
    (
      {'images': 'photos', 'checkpoint_path': 'bare'},
      r'bare has no job.json: set --model_name, and as in training',
    ),
  ],
)
@pytest.mark.slow
def test_wrong_input_is_refused(server, classified, flags, message):
  process = server.start(
    'predict',
    cwd=classified,
    tiny=True,
    **{'checkpoint_path': 'train', **flags},
  )
  assert process.wait() == 2
  assert re.search(message, process.error)
