import dataclasses
import os
import re
import shutil

import pytest
from absl import logging
from original_files import made
from tiny_data import encode_pixels

from datasets import manifest as manifests
from datasets.dataset import Dataset
from datasets.dataset_factory import (
  DATASETS,
  evaluation_split,
  get_dataset,
  splits,
)
from datasets.manifest import Manifest
from datasets.records import write_shard
from errors import UserError


def write(folder, name, count, label=0):
  write_shard(folder / name, [(made(4, 4), label)] * count, encode_pixels)
  return str(folder / name)


@pytest.mark.parametrize('spec', DATASETS.values(), ids=DATASETS)
def test_specs_are_sound(spec):
  assert len(spec.class_names) == spec.num_classes
  assert len(set(spec.splits)) == len(spec.splits)
  assert spec.splits[0] == 'train'
  assert spec.evaluation_split in spec.splits
  assert spec.channels in (1, 3)
  assert '{split}' in spec.file_pattern
  assert set(spec.max_shards) <= set(spec.splits)
  sharded = any(shards > 1 for shards in spec.max_shards.values())
  assert ('{shard}' in spec.file_pattern) == sharded
  for download in spec.downloads:
    assert download.url.startswith('https://')
    assert len(download.md5) == 32


@pytest.mark.parametrize(
  ('name', 'train', 'evaluation'),
  [
    ('digits', 'digits_train.tfrecord', 'digits_test.tfrecord'),
    ('mnist', 'mnist_train.tfrecord', 'mnist_test.tfrecord'),
    (
      'fashion_mnist',
      'fashion_mnist_train.tfrecord',
      'fashion_mnist_test.tfrecord',
    ),
    ('cifar10', 'cifar10_train.tfrecord', 'cifar10_test.tfrecord'),
    ('imagenet', 'train-00000-of-00001', 'validation-00000-of-00001'),
  ],
)
def test_records_of_tf_slim_are_found_and_counted(
  tmp_path, name, train, evaluation
):
  write(tmp_path, train, 3)
  path = write(tmp_path, evaluation, 2)
  spec = DATASETS[name]
  dataset = get_dataset(name, None, str(tmp_path))
  assert dataset == Dataset(
    name=name,
    split=spec.evaluation_split,
    files=(path,),
    num_records=2,
    num_classes=spec.num_classes,
    channels=spec.channels,
    class_names=spec.class_names,
    truncated=(),
  )
  assert evaluation_split(name, str(tmp_path)) == spec.evaluation_split
  assert get_dataset(name, 'train', str(tmp_path)).num_records == 3
  assert manifests.read(tmp_path).num_records() == {
    'train': 3,
    spec.evaluation_split: 2,
  }


def test_labels_txt_names_the_classes(tmp_path):
  write(tmp_path, 'mnist_train.tfrecord', 1)
  (tmp_path / 'labels.txt').write_text('0:nought\n3:tre\n')
  names = get_dataset('mnist', 'train', str(tmp_path)).class_names
  assert names == ('nought', '1', '2', 'tre', '4', '5', '6', '7', '8', '9')


def test_labels_txt_may_be_corrected(tmp_path):
  write(tmp_path, 'birds_train.tfrecord', 2)
  for text, classes in (('0:a\n1:b\n', 2), ('0:a\n1:b\n2:c\n', 3)):
    (tmp_path / 'labels.txt').write_text(text)
    assert get_dataset('birds', 'train', str(tmp_path)).num_classes == classes


def test_missing_shards_cause_a_warning_only(tmp_path, monkeypatch):
  warnings = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: warnings.append(text % values)
  )
  write(tmp_path, 'train-00001-of-00003', 4)
  dataset = get_dataset('imagenet', 'train', str(tmp_path))
  assert dataset.num_records == 4
  assert ['2 of 3 shards' in warning for warning in warnings] == [True]


def test_records_of_tf_slim_without_an_entry(slim_test_data, tmp_path):
  folder = tmp_path / 'flowers'
  shutil.copytree(slim_test_data / 'flowers_slim_tfrecords', folder)
  folder.chmod(0o755)
  dataset = get_dataset('flowers', None, str(folder))
  assert dataset.split == 'validation'
  assert len(dataset.files) == 2
  assert dataset.num_records == 140
  assert (dataset.num_classes, dataset.channels) == (5, 3)
  assert dataset.class_names[4] == 'tulips'
  with pytest.raises(UserError, match=r"Unknown data set 'flower'"):
    get_dataset('flower', None, str(tmp_path))


def test_a_folder_of_photos_by_its_manifest(tmp_path):
  write(tmp_path, 'my_birds_train-00000-of-00001.tfrecord', 2)
  path = write(tmp_path, 'my_birds_test-00000-of-00001.tfrecord', 1)
  manifests.write(Manifest('my_birds', 2, 1, {}), tmp_path)
  assert evaluation_split('my_birds', str(tmp_path)) == 'test'
  assert get_dataset('my_birds', None, str(tmp_path)) == Dataset(
    'my_birds', 'test', (path,), 1, 2, 1, ('0', '1'), truncated=()
  )


def test_a_folder_with_nothing_to_evaluate_on(tmp_path):
  write(tmp_path, 'my_birds_train-00000-of-00001.tfrecord', 2)
  manifests.write(Manifest('my_birds', 2, 3, {}), tmp_path)
  with pytest.raises(UserError, match=r"only 'train'.*--dataset_split_name"):
    get_dataset('my_birds', None, str(tmp_path))
  assert get_dataset('my_birds', 'train', str(tmp_path)).num_records == 2


@pytest.mark.parametrize(
  ('name', 'split', 'message'),
  [
    ('minst', None, r"Unknown data set 'minst'. Did you mean 'mnist'\?"),
    ('mnist', 'validation', r"No split 'validation' .* there is 'train'"),
    ('mnist', None, r"No split 'test' .* there is 'train'"),
    (
      'cifar10',
      None,
      r"No records of 'cifar10' in .*download_and_convert_data\.py "
      r'--dataset_name=cifar10 --dataset_dir=',
    ),
  ],
)
def test_missing_sets_and_splits_are_named(tmp_path, name, split, message):
  write(tmp_path, 'mnist_train.tfrecord', 1)
  with pytest.raises(UserError, match=message):
    get_dataset(name, split, str(tmp_path))


def test_another_set_in_the_folder_is_refused(tmp_path):
  manifests.write(Manifest('mnist', 10, 1, {}), tmp_path)
  for look in (get_dataset, evaluation_split):
    arguments = ('cifar10', None, str(tmp_path))
    with pytest.raises(UserError, match=r"contains the data set 'mnist', not"):
      look(*(arguments if look is get_dataset else arguments[::2]))


@pytest.mark.parametrize('look', [get_dataset, evaluation_split])
def test_a_missing_folder_is_named(tmp_path, look):
  folder = str(tmp_path / 'nowhere')
  split = [None] if look is get_dataset else []
  with pytest.raises(UserError, match=r'There is no folder .*--dataset_name='):
    look('mnist', *split, folder)
  with pytest.raises(
    UserError, match=r"There is no folder .*nowhere\. Unknown data set 'mnits'"
  ):
    look('mnits', *split, folder)


def test_empty_records_are_refused(tmp_path):
  write(tmp_path, 'mnist_test.tfrecord', 0)
  with pytest.raises(UserError, match=r"test records of 'mnist' .* are empty"):
    get_dataset('mnist', None, str(tmp_path))


def test_files_without_read_permission_are_named(tmp_path, monkeypatch):
  path = write(tmp_path, 'mnist_test.tfrecord', 1)
  # As os.access answers users other than root.
  monkeypatch.setattr(os, 'access', lambda file, mode: str(file) != path)
  with pytest.raises(
    UserError, match=r'test\.tfrecord cannot be read: .*chmod'
  ):
    get_dataset('mnist', None, str(tmp_path))


def warned(monkeypatch):
  """Returns the list that warnings are added to."""
  warnings = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: warnings.append(text % values)
  )
  return warnings


NAMINGS = {
  '%s.tfrecord': ('train.tfrecord', 'val.tfrecord'),
  'x-%s.tfrecords': ('x-train.tfrecords', 'x-val.tfrecords'),
  '%s-*': ('train-0000-of-0001', 'val-0000-of-0001'),
  'x_%s_?.tfrecord': ('x_train_7.tfrecord', 'x_val_7.tfrecord'),
}


@pytest.mark.parametrize('pattern', NAMINGS)
def test_a_file_pattern_names_the_records_and_is_kept(tmp_path, pattern):
  train, validation = NAMINGS[pattern]
  write(tmp_path, train, 3)
  write(tmp_path, validation, 2)
  (tmp_path / 'labels.txt').write_text('0:a\n1:b\n')
  folder = str(tmp_path)
  with pytest.raises(UserError, match=re.escape(train)) as caught:
    get_dataset('birds', 'train', folder)
  suggested = re.search(r"--file_pattern='?([^' ]+?)'?\.$", str(caught.value))
  for flag in (suggested[1], None):
    dataset = get_dataset('birds', 'train', folder, flag)
    assert dataset.files == (str(tmp_path / train),)
    assert dataset.num_records == 3
  assert manifests.read(tmp_path).file_pattern == suggested[1]
  # Without a flag, evaluation takes the split that means validation.
  assert evaluation_split('birds', folder) == 'val'
  for split in (None, 'validation', 'val'):
    assert get_dataset('birds', split, folder).num_records == 2
  assert splits('birds', folder) == ('train', 'val')
  # Another pattern starts anew.
  assert get_dataset('birds', 'train', folder, pattern).num_records == 3
  assert manifests.read(tmp_path).file_pattern == pattern


@pytest.mark.parametrize(
  ('pattern', 'message'),
  [
    ('train.tfrecord', r'with %s once, in the place of the split'),
    ('%s/%s', r'with %s once'),
    ('../%s', r'must be the name of a file in --dataset_dir'),
    ('y_%s', r'No file in .* is named like --file_pattern=y_%s'),
    (r'\d%s', r'No file in .* is named like'),
  ],
)
def test_a_file_pattern_that_finds_nothing_is_named(tmp_path, pattern, message):
  write(tmp_path, '1train', 1)
  with pytest.raises(UserError, match=message):
    get_dataset('mnist', 'train', str(tmp_path), pattern)


def test_a_file_pattern_does_not_change_a_converted_set(tmp_path):
  write(tmp_path, 'mnist_train.tfrecord', 1)
  write(tmp_path, 'x-train', 1)
  get_dataset('mnist', 'train', str(tmp_path))
  kept = dataclasses.replace(manifests.read(tmp_path), complete=True)
  manifests.write(kept, tmp_path)
  with pytest.raises(UserError, match=r"names x-train, but .* 'mnist' under"):
    get_dataset('mnist', 'train', str(tmp_path), 'x-%s')
  get_dataset('mnist', 'train', str(tmp_path), 'mnist_%s*')
  assert manifests.read(tmp_path) == kept


@pytest.mark.parametrize('label', [10**6, 10**12, 10**17])
@pytest.mark.parametrize(
  ('names', 'name', 'num_classes', 'stated'),
  [
    ([0, 1, 'last'], 'birds', None, r'labels\.txt names label {}'),
    ([], 'birds', 1, r'dataset\.json has num_classes {}'),
    ([0, 1], 'birds', 1, r'dataset\.json has num_classes {}'),
    ([], 'mnist', 1, r'dataset\.json has num_classes {}'),
  ],
)
def test_more_labels_than_records_can_hold_are_refused(
  tmp_path, label, names, name, num_classes, stated
):
  write(tmp_path, f'{name}_train.tfrecord', 2)
  if names:
    lines = [f'{label if n == "last" else n}:name{n}\n' for n in names]
    (tmp_path / 'labels.txt').write_text(''.join(lines))
  if num_classes:
    manifests.write(Manifest(name, label + num_classes, 3, {}), tmp_path)
  stated = stated.format(label + (num_classes or 0))
  with pytest.raises(UserError, match=rf'{stated}, more than 2 .*run from 0 '):
    get_dataset(name, 'train', str(tmp_path))
  # A corrected file is not answered by what was kept of the wrong one.
  assert (tmp_path / 'dataset.json').exists() == bool(num_classes)


def test_labels_far_apart_cause_a_warning(tmp_path, monkeypatch):
  warnings = warned(monkeypatch)
  write(tmp_path, 'birds_train.tfrecord', 2)
  (tmp_path / 'labels.txt').write_text('1:a\n2:b\n9:c\n')
  assert get_dataset('birds', 'train', str(tmp_path)).num_classes == 10
  (warning,) = warnings
  assert 'labels.txt names 3 of 10 labels: labels run from 0 to' in warning


def test_names_beyond_the_classes_cause_a_warning(tmp_path, monkeypatch):
  warnings = warned(monkeypatch)
  write(tmp_path, 'mnist_train.tfrecord', 2)
  (tmp_path / 'labels.txt').write_text('0:a\n16:b\n')
  get_dataset('mnist', 'train', str(tmp_path))
  (warning,) = warnings
  assert "labels.txt names label 16, but 'mnist' has 10 classes" in warning
