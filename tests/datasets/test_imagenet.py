import io
import json

import numpy as np
import pytest
from absl import logging
from original_files import photo_bytes, read_examples, write_files, write_photos
from PIL import Image

from datasets.convert import convert
from datasets.imagenet import labels, read, synsets
from errors import UserError


def only(folder):
  (example,) = read_examples(folder / 'validation-00000-of-00001')
  return example


def convert_one(tmp_path, data, name='photo.JPEG'):
  write_files(tmp_path / 'in/validation/n02123045', {name: data})
  convert('imagenet', str(tmp_path / 'out'), str(tmp_path / 'in'))
  return only(tmp_path / 'out')


def test_keys_as_tf_slim_wrote_them(tmp_path):
  data = photo_bytes(size=(16, 12))
  assert convert_one(tmp_path, data) == {
    'image/encoded': data,
    'image/format': b'JPEG',
    'image/class/label': 282,
    'image/class/synset': b'n02123045',
    'image/class/text': b'tabby',
    'image/colorspace': b'RGB',
    'image/channels': 3,
    'image/filename': b'photo.JPEG',
    'image/height': 12,
    'image/width': 16,
  }


def test_labels_count_all_synsets_from_one():
  assert len(labels()) == 1000
  assert list(labels()) == sorted(labels())
  # As in every published list of these classes.
  for synset, label, name in (
    ('n01440764', 1, 'tench'),
    ('n02123045', 282, 'tabby'),
    ('n03134739', 523, 'croquet ball'),
    ('n15075141', 1000, 'toilet tissue'),
  ):
    assert labels()[synset] == label
    assert synsets()[synset] == name


def test_synsets_are_those_of_the_sample(slim_test_data):
  path = slim_test_data / 'imagenet_sample/synsets.json'
  sample = dict(json.loads(path.read_text()))
  assert {key: name.replace(' ', '_') for key, name in synsets().items()} == (
    sample
  )


def test_gray_photos_keep_their_bytes(tmp_path):
  data = photo_bytes(mode='L')
  assert convert_one(tmp_path, data)['image/encoded'] == data


@pytest.mark.parametrize(
  ('kind', 'mode'), [('PNG', 'RGB'), ('PNG', 'RGBA'), ('JPEG', 'CMYK')]
)
def test_odd_photos_become_rgb_jpegs(tmp_path, kind, mode):
  image = Image.linear_gradient('L').resize((20, 12)).convert(mode)
  file = io.BytesIO()
  image.save(file, kind)
  example = convert_one(tmp_path, file.getvalue())
  photo = Image.open(io.BytesIO(example['image/encoded']))
  assert (photo.format, photo.mode, photo.size) == ('JPEG', 'RGB', (20, 12))
  assert (example['image/height'], example['image/width']) == (12, 20)
  expected = Image.open(file).convert('RGB')
  assert np.abs(np.asarray(photo, float) - np.asarray(expected)).max() <= 4


def test_order_is_mixed_and_fixed(tmp_path):
  names = sorted(labels())[:8]
  write_photos(tmp_path, 'train', names, count=4)
  first, second = read(tmp_path)['train'], read(tmp_path)['train']
  assert first == second
  order = [photo.synset for photo in first]
  assert order != sorted(order)
  assert sorted(order) == sorted(names * 4)


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_one_split_alone(tmp_path, split):
  write_photos(tmp_path / 'in', split, ['n01440764'])
  summary = convert('imagenet', str(tmp_path / 'out'), str(tmp_path / 'in'))
  assert summary['splits'] == {split: 2}


def test_an_unknown_synset_is_named(tmp_path):
  write_photos(tmp_path / 'in', 'train', ['n01440764', 'n99999999'])
  with pytest.raises(
    UserError, match=r'train/n99999999 is not named after one'
  ):
    convert('imagenet', str(tmp_path / 'out'), str(tmp_path / 'in'))


@pytest.mark.parametrize('cut', [0, 1, 100, 300])
def test_a_photo_that_does_not_decode_is_named(tmp_path, cut):
  with pytest.raises(UserError, match=r'photo\.JPEG does not decode'):
    convert_one(tmp_path, photo_bytes(size=(64, 64))[:cut])


def test_other_files_are_passed_over_and_told(tmp_path, monkeypatch):
  warnings = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: warnings.append(text % values)
  )
  folder = tmp_path / 'in/validation/n02123045'
  write_files(folder, {'.DS_Store': b'', 'notes.txt': b'', '._a.JPEG': b''})
  example = convert_one(tmp_path, photo_bytes())
  assert example['image/filename'] == b'photo.JPEG'
  assert [warning.partition(': ')[2] for warning in warnings] == [
    '3 files that are no photos ignored'
  ]


@pytest.mark.slow
def test_the_sample_keeps_every_byte(slim_test_data, tmp_path):
  source = slim_test_data / 'imagenet_sample'
  summary = convert('imagenet', str(tmp_path), str(source))
  assert summary['splits'] == {'validation': 1000}
  order = [
    synset for synset, _ in json.loads((source / 'synsets.json').read_text())
  ]
  seen = {}
  for shard in sorted(tmp_path.glob('validation-*-of-00007')):
    for example in read_examples(shard):
      synset = example['image/class/synset'].decode()
      path = source / 'validation' / synset / example['image/filename'].decode()
      assert example['image/encoded'] == path.read_bytes()
      assert example['image/class/label'] == 1 + order.index(synset)
      size = example['image/width'], example['image/height']
      with Image.open(path) as photo:
        assert photo.size == size
      seen[path] = True
  assert len(seen) == 1000
