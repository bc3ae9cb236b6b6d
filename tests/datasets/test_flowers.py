import itertools
import random

import pytest
from original_files import (
  FLOWERS,
  flower_files,
  read_examples,
  write_tarball,
  write_tree,
)

from datasets.convert import Options, convert
from errors import UserError

FOLDER = 'flower_photos'


def place(where, tmp_path):
  """Writes the photos to a usual location; returns --source_dir."""
  files = flower_files()
  if where.endswith('.tgz'):
    members = {f'{FOLDER}/{path}': files[path] for path in files}
    (tmp_path / 'in').mkdir()
    write_tarball(tmp_path / 'in/flower_photos.tgz', members)
  else:
    write_tree(tmp_path / 'in' / FOLDER, files)
  return tmp_path / 'in' / where if where != 'above' else tmp_path / 'in'


@pytest.mark.parametrize('where', ['above', FOLDER, 'flower_photos.tgz'])
def test_records_are_drawn_and_named_as_tf_slims(tmp_path, where):
  source = place(where, tmp_path)
  convert('flowers', str(tmp_path / 'out'), str(source))
  files = flower_files()
  paths = sorted(path for path in files if path.endswith('.jpg'))
  random.seed(0)
  random.shuffle(paths)
  for split, part in (('train', paths[350:]), ('validation', paths[:350])):
    shards = [
      tmp_path / 'out' / f'flowers_{split}_{shard:05d}-of-00005.tfrecord'
      for shard in range(5)
    ]
    records = [read_examples(shard) for shard in shards]
    assert {len(shard) for shard in records} == {len(part) // 5}
    for path, example in zip(part, itertools.chain(*records), strict=True):
      assert example['image/encoded'] == files[path]
      assert example['image/class/label'] == FLOWERS.index(path.split('/')[0])


def test_keys_and_labels_are_those_of_tf_slims_records(
  tmp_path, slim_test_data
):
  source = place('above', tmp_path)
  convert('flowers', str(tmp_path / 'out'), str(source))
  original = slim_test_data / 'flowers_slim_tfrecords'
  name = 'flowers_validation_00001-of-00005.tfrecord'
  ours = read_examples(tmp_path / 'out' / name)
  theirs = read_examples(original / name)
  assert len(ours) == len(theirs) == 70
  for key, value in theirs[0].items():
    assert type(ours[0][key]) is type(value)
  assert set(ours[0]) == set(theirs[0])
  assert ours[0]['image/format'] == theirs[0]['image/format']
  labels = (tmp_path / 'out/labels.txt').read_text()
  assert labels == (original / 'labels.txt').read_text()


def test_too_few_photos_are_refused(tmp_path):
  write_tree(tmp_path / 'in', flower_files(70))
  with pytest.raises(
    UserError, match=r'^Only 350 photos of flowers in .*\.tgz, or'
  ):
    convert('flowers', str(tmp_path / 'out'), str(tmp_path / 'in'))


def test_folders_of_other_names_are_refused_and_lose_no_photo(tmp_path):
  """Today's names of the same photos: three of them would vanish."""
  files = {
    path.replace('s/', '/'): data for path, data in flower_files(150).items()
  }
  write_tree(tmp_path / 'in', files)
  with pytest.raises(
    UserError,
    match=r"does not hold the classes of 'flowers': unknown folders: rose, "
    r'sunflower, tulip; no photos in: roses, sunflowers, tulips\. Another '
    r'name, such as --dataset_name=my_flowers, converts',
  ):
    convert('flowers', str(tmp_path / 'out'), str(tmp_path / 'in'))


@pytest.mark.parametrize('ending', ['', '.txt'])
def test_a_class_without_photos_is_refused_or_kept(tmp_path, ending):
  files = {
    path.replace('.jpg', ending) if path.startswith('tulips/') else path: data
    for path, data in flower_files(100).items()
  }
  write_tree(tmp_path / 'in', files)
  with pytest.raises(
    UserError, match=r'no photos in: tulips\. --keep_empty_classes converts'
  ):
    convert('flowers', str(tmp_path / 'out'), str(tmp_path / 'in'))
  options = Options(keep_empty_classes=True)
  summary = convert(
    'flowers', str(tmp_path / 'out'), str(tmp_path / 'in'), options
  )
  assert summary.empty_classes == ('tulips',)
  assert summary.splits == {'train': 50, 'validation': 350}
