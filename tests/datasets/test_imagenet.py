import io
import json
import os
import tarfile

import numpy as np
import pytest
from absl import logging
from original_files import (
  photo_bytes,
  read_examples,
  write_files,
  write_photos,
  write_tree,
)
from PIL import Image

from datasets.convert import Options, convert
from datasets.imagenet import labels, read, synsets
from errors import UserError


def only(folder):
  (example,) = read_examples(folder / 'validation-00000-of-00001')
  return example


def convert_sample(source, target):
  """Converts photos of a few of the thousand classes."""
  options = Options(keep_empty_classes=True)
  return convert('imagenet', str(target), str(source), options)


def convert_one(tmp_path, data, name='photo.JPEG'):
  write_files(tmp_path / 'in/validation/n02123045', {name: data})
  convert_sample(tmp_path / 'in', tmp_path / 'out')
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


def test_order_is_shuffled_and_reproducible(tmp_path):
  names = sorted(labels())[:8]
  write_photos(tmp_path, 'train', names, count=4)
  first, second = read(tmp_path)['train'], read(tmp_path)['train']
  assert first == second
  order = [photo.synset for photo in first]
  assert order != sorted(order)
  assert sorted(order) == sorted(names * 4)


def test_missing_synsets_are_named_and_kept_by_an_option(tmp_path):
  write_photos(tmp_path / 'in', 'train', ['n01440764', 'n02123045'])
  with pytest.raises(
    UserError,
    match=r'no photos in: n01443537, .* and 993 more\. --keep_empty_c',
  ):
    convert('imagenet', str(tmp_path / 'out'), str(tmp_path / 'in'))
  summary = convert_sample(tmp_path / 'in', tmp_path / 'out')
  assert summary.num_classes == 1001
  assert len(summary.empty_classes) == 998
  # Label 0 has no originals.
  assert 'background' not in summary.empty_classes


@pytest.mark.parametrize('other', ['test', 'val', 'n01440764'])
def test_photos_in_folders_that_are_not_read_are_refused(tmp_path, other):
  write_photos(tmp_path / 'in', 'train', ['n01440764'])
  write_photos(tmp_path / 'in', 'validation', ['n01440764'])
  write_photos(tmp_path / 'in', other, ['n02123045'])
  with pytest.raises(
    UserError,
    match=rf'has photos in {other}, but .* in train and validation: move',
  ):
    convert_sample(tmp_path / 'in', tmp_path / 'out')


def test_the_validation_photos_may_be_in_val(tmp_path):
  write_photos(tmp_path / 'in', 'train', ['n01440764'])
  write_photos(tmp_path / 'in', 'val', ['n02123045'])
  summary = convert_sample(tmp_path / 'in', tmp_path / 'out')
  assert summary.splits == {'train': 2, 'validation': 2}


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_one_split_alone(tmp_path, split):
  write_photos(tmp_path / 'in', split, ['n01440764'])
  summary = convert_sample(tmp_path / 'in', tmp_path / 'out')
  assert summary.splits == {split: 2}


def test_an_unknown_synset_is_named(tmp_path):
  write_photos(tmp_path / 'in', 'train', ['n01440764', 'n99999999'])
  with pytest.raises(
    UserError,
    match=r"train does not hold the classes of 'imagenet': unknown folders: "
    r'n99999999; no photos in: n01443537, .* and 994 more\. .*=my_imagenet',
  ):
    convert_sample(tmp_path / 'in', tmp_path / 'out')


@pytest.mark.parametrize('cut', [0, 1, 100, 300])
def test_a_photo_that_does_not_decode_is_named(tmp_path, cut):
  with pytest.raises(UserError, match=r'n02123045/photo\.JPEG (is|does not)'):
    convert_one(tmp_path, photo_bytes(size=(64, 64))[:cut])


def test_other_files_are_skipped_with_a_warning(tmp_path, monkeypatch):
  warnings = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: warnings.append(text % values)
  )
  folder = tmp_path / 'in/validation/n02123045'
  write_files(folder, {'.DS_Store': b'', 'notes.txt': b'', '._a.JPEG': b''})
  example = convert_one(tmp_path, photo_bytes())
  assert example['image/filename'] == b'photo.JPEG'
  assert [warning.partition(': ')[2] for warning in warnings] == [
    'ignored 1 files that are not photos (1 .txt)'
  ]


def tar_bytes(files):
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode='w') as tar:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))
  return file.getvalue()


def write_official(folder):
  """Writes the official archives and list; returns file name -> bytes."""
  train = {
    f'{synset}_{number}.JPEG': photo_bytes(seed=10 * seed + number)
    for seed, synset in enumerate(['n01440764', 'n02123045'])
    for number in range(3)
  }
  by_synset = {
    f'{synset}.tar': tar_bytes(
      {name: data for name, data in train.items() if name.startswith(synset)}
    )
    for synset in ('n01440764', 'n02123045')
  }
  validation = {
    f'ILSVRC2012_val_0000000{number}.JPEG': photo_bytes(seed=100 + number)
    for number in (1, 2, 3)
  }
  write_files(
    folder,
    {
      'ILSVRC2012_img_train.tar': tar_bytes(by_synset),
      'ILSVRC2012_img_val.tar': tar_bytes(validation),
      'imagenet_2012_validation_synset_labels.txt': (
        b'n02123045\nn01440764\nn15075141\n'
      ),
    },
  )
  return train, validation


def test_the_official_archives(tmp_path):
  train, validation = write_official(tmp_path / 'in')
  convert_sample(tmp_path / 'in', tmp_path / 'out')
  for split, files in (('train', train), ('validation', validation)):
    examples = read_examples(tmp_path / 'out' / f'{split}-00000-of-00001')
    found = {
      example['image/filename'].decode(): example['image/encoded']
      for example in examples
    }
    assert found == files
    for example in examples:
      name = example['image/filename'].decode()
      synset = {'1': 'n02123045', '2': 'n01440764', '3': 'n15075141'}.get(
        name[-6] if split == 'validation' else '', name[:9]
      )
      assert example['image/class/synset'].decode() == synset
      assert example['image/class/label'] == labels()[synset]


def test_archives_and_folders_make_the_same_records(tmp_path):
  """Also if the archives are only partly unpacked."""
  train, validation = write_official(tmp_path / 'in')
  whole, half = tmp_path / 'whole', tmp_path / 'half'
  lists = 'imagenet_2012_validation_synset_labels.txt'
  for folder in (whole, half):
    write_files(folder / 'validation', validation)
    write_files(folder, {lists: (tmp_path / 'in' / lists).read_bytes()})
  for name, data in train.items():
    write_files(whole / 'train' / name[:9], {name: data})
  with tarfile.open(tmp_path / 'in/ILSVRC2012_img_train.tar') as tar:
    for member in tar:
      data = tar.extractfile(member).read()
      write_files(half / 'train', {member.name: data})
  written = []
  for source in (tmp_path / 'in', whole, half):
    convert_sample(source, source / 'out')
    shards = sorted((source / 'out').glob('*-of-*'))
    written.append([shard.read_bytes() for shard in shards])
  assert written[0] == written[1] == written[2]


@pytest.mark.parametrize(
  ('listed', 'name', 'message'),
  [
    (
      None,
      'ILSVRC2012_val_00000001.JPEG',
      r'is not in the folder of a synset, and ',
    ),
    (
      b'n02123045',
      'ILSVRC2012_val_00000002.JPEG',
      r'is not one of the 1 photos',
    ),
    (b'n02123045', 'mine.JPEG', r'mine\.JPEG in .* is not one of the 1 photos'),
    (
      b'cat',
      'ILSVRC2012_val_00000001.JPEG',
      r'unknown folders: cat; no photos',
    ),
  ],
)
def test_validation_photos_without_a_label(tmp_path, listed, name, message):
  write_files(tmp_path / 'validation', {name: photo_bytes()})
  if listed:
    list_name = 'imagenet_2012_validation_synset_labels.txt'
    write_files(tmp_path, {list_name: listed})
  with pytest.raises(UserError, match=message):
    convert_sample(tmp_path, tmp_path / 'out')


ANNOTATION = """<annotation><filename>photo</filename>
  <size><width>200</width><height>100</height><depth>3</depth></size>
  <object><name>n02123045</name><bndbox>
    <xmin>20</xmin><ymin>-5</ymin><xmax>100</xmax><ymax>50</ymax>
  </bndbox></object>
  <object><name>n02123045</name><bndbox>
    <xmin>0</xmin><ymin>0</ymin><xmax>210</xmax><ymax>100</ymax>
  </bndbox></object>
  <object><name>n01440764</name><bndbox>
    <xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>
  </bndbox></object>
  <object><name>n02123045</name><bndbox>
    <xmin>9</xmin><ymin>1</ymin><xmax>9</xmax><ymax>2</ymax>
  </bndbox></object></annotation>"""
LINES = 'photo.JPEG,0.1,0,0.5,0.5\nphoto.JPEG,0,0,1,1\nelse.JPEG,0,0,1,1\n'


@pytest.mark.parametrize(
  ('path', 'text'),
  [
    ('annotations/n02123045/photo.xml', ANNOTATION),
    ('bounding_boxes/photo.xml', ANNOTATION),
    ('imagenet_2012_bounding_boxes.csv', LINES),
  ],
)
def test_bounding_boxes_under_tf_slims_keys(tmp_path, path, text):
  write_tree(tmp_path / 'in', {path: text.encode()})
  example = convert_one(tmp_path, photo_bytes())
  boxes = {
    key.rpartition('/')[2]: value
    for key, value in example.items()
    if key.startswith('image/object/bbox/')
  }
  expected = {
    'xmin': [0.1, 0],
    'ymin': [0, 0],
    'xmax': [0.5, 1],
    'ymax': [0.5, 1],
    'label': [282, 282],
  }
  assert boxes == {key: pytest.approx(value) for key, value in expected.items()}


def test_a_rotated_photo_loses_its_boxes(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  file = io.BytesIO()
  Image.new('RGB', (40, 20)).save(file, 'JPEG', exif=exif.tobytes())
  write_tree(tmp_path / 'in', {'bounding_boxes.csv': LINES.encode()})
  example = convert_one(tmp_path, file.getvalue())
  assert (example['image/height'], example['image/width']) == (40, 20)
  assert not [key for key in example if 'bbox' in key]


def test_photos_without_boxes_have_no_such_keys(tmp_path):
  text = LINES.replace('photo', 'other').encode()
  write_tree(tmp_path / 'in', {'bounding_boxes.csv': text})
  assert not [
    key for key in convert_one(tmp_path, photo_bytes()) if 'bb' in key
  ]


@pytest.mark.parametrize('text', ['', '<annotation/>', ANNOTATION[:300]])
def test_unreadable_annotations_cost_only_the_boxes(tmp_path, text):
  files = {'annotations/photo.xml': text.encode()}
  write_tree(tmp_path / 'in', files)
  write_files(tmp_path / 'in/train/n02123045', {'photo.JPEG': photo_bytes()})
  summary = convert_sample(tmp_path / 'in', tmp_path / 'out')
  assert summary.splits == {'train': 1}
  assert summary.notes == {'unreadable boxes skipped': 1}


def test_an_annotation_that_is_a_pipe_costs_only_the_boxes(tmp_path):
  (tmp_path / 'in/annotations').mkdir(parents=True)
  os.mkfifo(tmp_path / 'in/annotations/photo.xml')
  write_files(tmp_path / 'in/train/n02123045', {'photo.JPEG': photo_bytes()})
  summary = convert_sample(tmp_path / 'in', tmp_path / 'out')
  assert summary.notes == {'unreadable boxes skipped': 1}


@pytest.mark.parametrize(
  ('line', 'problem'),
  [
    ('a.JPEG,0,0,1', 'line 1 has 4 fields'),
    ('a.JPEG,0,0,1,1\na', 'line 2 has 1 fields'),
    ('a.JPEG,0,0,1,x', "'x'"),
    ('"a', 'unexpected end'),
    ('', 'it is empty'),
  ],
)
def test_a_damaged_list_of_boxes_is_named(tmp_path, line, problem):
  write_files(tmp_path, {'bounding_boxes.csv': line.encode()})
  write_files(tmp_path / 'train/n02123045', {'a.JPEG': photo_bytes()})
  with pytest.raises(UserError, match=rf'\.csv: .*{problem}.*xmin, ymin'):
    convert_sample(tmp_path, tmp_path / 'out')


@pytest.mark.parametrize('target', ['/dev/zero', 'pipe', 'nowhere'])
def test_an_archive_of_a_synset_that_is_no_file_is_named(tmp_path, target):
  (tmp_path / 'in/train').mkdir(parents=True)
  os.mkfifo(tmp_path / 'in/train/pipe')
  (tmp_path / 'in/train/n01440764.tar').symlink_to(target)
  with pytest.raises(UserError, match=r'n01440764\.tar as a tar archive'):
    convert('imagenet', str(tmp_path / 'out'), str(tmp_path / 'in'))
