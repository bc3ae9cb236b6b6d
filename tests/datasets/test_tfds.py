"""TensorFlow Datasets, replaced by a fake module."""

import re
import sys
import types
import weakref

import pytest
from original_files import photo_bytes, read_examples

from datasets import process_pool, tfds
from datasets.convert import Options, convert
from datasets.dataset_factory import get_dataset
from errors import UserError


class Builder:
  """Photos whose label is their number modulo 3."""

  name = 'birds'
  prepared = False
  unlabeled = ()

  def __init__(self, splits, features):
    self.images = {
      split: [photo_bytes(seed=n, size=(8, 8)) for n in range(count)]
      for split, count in splits.items()
    }
    self.info = types.SimpleNamespace(
      features=features,
      splits={
        split: types.SimpleNamespace(num_examples=count)
        for split, count in splits.items()
      },
    )

  def download_and_prepare(self):
    self.prepared = True

  def as_dataset(self, split, decoders, shuffle_files):
    assert decoders == {'image': 'raw'}
    assert not shuffle_files
    name, start, end = re.fullmatch(r'(\w+)\[(\d+):(\d+)\]', split).groups()
    for number in range(int(start), int(end)):
      label = -1 if name in self.unlabeled else number % 3
      yield {'image': self.images[name][number], 'label': label}


FEATURES = {
  'image': types.SimpleNamespace(shape=(None, None, 3)),
  'label': types.SimpleNamespace(num_classes=3, names=['crow', 'gull', 'wren']),
}


@pytest.fixture
def install(monkeypatch):
  """Installs the module with one data set."""

  def with_set(splits, features=FEATURES):
    built = Builder(splits, features)

    def builder(name, data_dir):
      if name != 'birds/small':
        raise ValueError(f'Dataset {name} not found')
      built.data_dir = data_dir
      return built

    module = types.SimpleNamespace(
      builder=builder,
      as_numpy=iter,
      decode=types.SimpleNamespace(SkipDecoding=lambda: 'raw'),
    )
    monkeypatch.setitem(sys.modules, 'tensorflow_datasets', module)
    return built

  return with_set


NAME = 'tfds:birds/small'


def test_images_keep_their_bytes_and_the_set_is_found(tmp_path, install):
  built = install({'train': 12, 'test': 5, 'extra': 3})
  summary = convert(NAME, str(tmp_path / 'out'))
  assert built.prepared
  assert built.data_dir is None
  assert summary.splits == {'train': 12, 'test': 5}
  for split in ('train', 'test'):
    dataset = get_dataset(NAME, split, str(tmp_path / 'out'))
    assert dataset.class_names == ('crow', 'gull', 'wren')
    (path,) = dataset.files
    examples = read_examples(type(tmp_path)(path))
    assert [e['image/encoded'] for e in examples] == built.images[split]
    labels = [e['image/class/label'] for e in examples]
    assert labels == [n % 3 for n in range(len(labels))]


def test_a_split_without_labels_is_left_out(tmp_path, install, warnings):
  built = install({'train': 12, 'validation': 4, 'test': 5})
  built.unlabeled = ('test',)
  summary = convert(NAME, str(tmp_path / 'out'))
  assert summary.splits == {'train': 12, 'validation': 4}
  assert 'birds: its split test has no labels, and is left out.' in warnings


def test_the_last_part_of_a_single_split_is_for_validation(tmp_path, install):
  built = install({'train': 10})
  options = Options(validation_fraction=0.3)
  summary = convert(NAME, str(tmp_path / 'out'), None, options)
  assert summary.splits == {'train': 7, 'validation': 3}
  dataset = get_dataset(NAME, None, str(tmp_path / 'out'))
  examples = read_examples(type(tmp_path)(dataset.files[0]))
  images = [example['image/encoded'] for example in examples]
  assert images == built.images['train'][7:]


def test_few_images_are_in_memory_at_once(tmp_path, install, monkeypatch):
  fill, alive, counts = tfds.Item.__init__, weakref.WeakSet(), []

  def counted(item, *values):
    fill(item, *values)
    alive.add(item)
    counts.append(len(alive))

  monkeypatch.setattr(tfds.Item, '__init__', counted)
  monkeypatch.setattr(process_pool, 'CHUNK', 3)
  install({'train': 20, 'test': 20})
  convert(NAME, str(tmp_path))
  # One chunk waits for its records to be written, another to be sent.
  assert max(counts) <= 2 * 3


def test_a_source_dir_is_used_as_it_is(tmp_path, install):
  built = install({'train': 10, 'test': 1})
  convert(NAME, str(tmp_path / 'out'), str(tmp_path))
  assert not built.prepared
  assert built.data_dir == str(tmp_path)


@pytest.mark.parametrize(
  ('name', 'features', 'options', 'message'),
  [
    (
      'tfds:brids',
      FEATURES,
      {},
      r"Cannot load 'tfds:brids': Dataset brids not",
    ),
    (
      NAME,
      {'text': None, 'label': None},
      {},
      r'one label each; it has label, text',
    ),
    (
      NAME,
      FEATURES,
      {'validation_fraction': 0.1},
      r'its own splits \(train',
    ),
  ],
)
def test_wrong_names_features_and_options_are_refused(
  tmp_path, install, name, features, options, message
):
  install({'train': 4, 'test': 1}, features)
  with pytest.raises(UserError, match=message):
    convert(name, str(tmp_path), None, Options(**options))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  with pytest.raises(UserError, match=r'pip install tensorflow-datasets'):
    convert(NAME, str(tmp_path))
