"""Small originals in every form, and an independent reader of records."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
from PIL import Image

TRAIN, TEST = 20, 10
FLOWERS = 'daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'


def made(*shape, seed=0):
  return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def idx_bytes(array):
  header = struct.pack('>HBB', 0, 8, array.ndim)
  return header + struct.pack(f'>{array.ndim}I', *array.shape) + array.tobytes()


def write_idx(folder, separator='-', compress=False):
  """Writes four IDX files; returns split -> (images, labels)."""
  folder.mkdir(parents=True, exist_ok=True)
  splits = {}
  for split, stem, count in (('train', 'train', TRAIN), ('test', 't10k', TEST)):
    images, labels = made(count, 28, 28), np.arange(count, dtype=np.uint8) % 10
    splits[split] = images, labels
    for kind, rank, array in (('images', 3, images), ('labels', 1, labels)):
      name = f'{stem}-{kind}{separator}idx{rank}-ubyte'
      data = idx_bytes(array)
      if compress:
        name, data = f'{name}.gz', gzip.compress(data)
      (folder / name).write_bytes(data)
  return splits


def cifar_batches():
  """Returns batch -> (planes [4, 3072], labels [4])."""
  names = [f'data_batch_{batch}' for batch in range(1, 6)] + ['test_batch']
  return {
    name: (made(4, 3072, seed=seed), np.arange(4, dtype=np.uint8) + seed)
    for seed, name in enumerate(names)
  }


def cifar_binary(planes, labels):
  labels = labels.reshape(len(planes), -1)
  return np.concatenate([labels, planes], axis=1).tobytes()


def cifar_pickle(planes, labels):
  batch = {b'data': planes, b'labels': labels.tolist(), b'batch_label': b'one'}
  return pickle.dumps(batch, protocol=2)


def cifar100_pickle(planes, labels):
  coarse, fine = labels.T.tolist()
  keys = b'data', b'coarse_labels', b'fine_labels', b'filenames'
  values = planes, coarse, fine, [b'name.png'] * len(planes)
  return pickle.dumps(dict(zip(keys, values, strict=True)), protocol=2)


def cifar100_batches():
  """Returns batch -> (planes [5, 3072], coarse and fine labels [5, 2])."""
  fine = np.array([0, 99, 50, 3, 98], np.uint8)
  return {
    name: (made(5, 3072, seed=seed), np.stack([fine // 5, fine], 1))
    for seed, name in enumerate(('train', 'test'))
  }


def cifar100_files(form):
  """Returns file name -> bytes of the two batches in a form."""
  encode, end = {
    'binary': (cifar_binary, '.bin'),
    'python': (cifar100_pickle, ''),
  }[form]
  batches = cifar100_batches().items()
  return {f'{name}{end}': encode(*batch) for name, batch in batches}


def cifar_python2_pickle(planes, labels):
  """Returns the dict as Python 2 and NumPy 1 pickled it, opcode by opcode."""
  data = planes.tobytes()
  return b''.join(
    [
      b'\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n',
      b'cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K',
      bytes([len(planes)]),
      b'M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN',
      b'J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T',
      struct.pack('<I', len(data)) + data,
      b'tbU\x06labels](',
      *(b'K' + bytes([label]) for label in labels),
      b'eu.',
    ]
  )


def cifar_files(form):
  """Returns file name -> bytes of the six batches in a form."""
  encode, end = {
    'binary': (cifar_binary, '.bin'),
    'python': (cifar_pickle, ''),
    'python2': (cifar_python2_pickle, ''),
  }[form]
  return {
    f'{name}{end}': encode(*batch) for name, batch in cifar_batches().items()
  }


def write_files(folder, files):
  folder.mkdir(parents=True, exist_ok=True)
  for name, data in files.items():
    (folder / name).write_bytes(data)


def write_tarball(path, files, compression='gz'):
  with tarfile.open(path, f'w:{compression}') as tar:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))


def cifar_splits():
  """Returns split -> (images [N, 32, 32, 3], labels [N])."""
  batches = cifar_batches()
  test = batches.pop('test_batch')
  train = [
    np.concatenate(arrays) for arrays in zip(*batches.values(), strict=True)
  ]
  return {
    split: (planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels)
    for split, (planes, labels) in (('train', train), ('test', test))
  }


def photo_bytes(kind='JPEG', mode='RGB', size=(16, 12), seed=0):
  channels = len(mode) if mode != 'L' else 1
  pixels = made(size[1], size[0], channels, seed=seed)
  image = Image.frombytes(mode, size, pixels.tobytes())
  file = io.BytesIO()
  image.save(file, kind)
  return file.getvalue()


def write_photos(source, split, synsets, count=2):
  """Writes `count` photos per synset; returns file name -> bytes."""
  photos = {}
  for seed, synset in enumerate(synsets):
    for number in range(count):
      name = f'{synset}_{number}.JPEG'
      photos[name] = photo_bytes(seed=1000 * seed + number)
      write_files(source / split / synset, {name: photos[name]})
  return photos


def flower_files(count=72):
  """Returns path -> bytes of `count` photos per class, and a license."""
  files = {'LICENSE.txt': b'CC-BY'}
  for seed, kind in enumerate(FLOWERS):
    for number in range(count):
      data = photo_bytes(size=(4, 3), seed=1000 * seed + number)
      files[f'{kind}/{number}.jpg'] = data
  return files


def write_tree(folder, files):
  """Writes path -> bytes."""
  for path, data in files.items():
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def read_examples(path):
  """Returns key -> value of each record, without TensorFlow's reader."""
  from tf_compat import tf

  data = path.read_bytes()
  examples = []
  while data:
    (length,) = struct.unpack('<Q', data[:8])
    example = tf.train.Example.FromString(data[12 : 12 + length])
    features = example.features.feature
    examples.append({key: _value(feature) for key, feature in features.items()})
    data = data[16 + length :]
  return examples


def _value(feature):
  """Returns the bytes or number of a feature, or its list of numbers."""
  values = list(
    feature.bytes_list.value
    or feature.int64_list.value
    or feature.float_list.value
  )
  return values if len(values) > 1 or feature.float_list.value else values[0]


def read_pixels(path):
  """Returns ([N, H, W(, 3)], [N]) of a record file, decoded by Pillow."""
  examples = read_examples(path)
  images = [
    np.asarray(Image.open(io.BytesIO(example['image/encoded'])))
    for example in examples
  ]
  labels = [example['image/class/label'] for example in examples]
  return np.stack(images), np.array(labels)
