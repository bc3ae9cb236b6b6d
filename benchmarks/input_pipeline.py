"""Speed of the input, compared with bare reading, bare decoding and Keras.

Usage: SLIM_TEST_DATA=… .venv/bin/python benchmarks/input_pipeline.py
    [--parts photos small conversion] [--turns 5] [--seconds 3] [--photos 600] …

Prints a Markdown table for each part:
  photos      images/s of each preprocessing, from records of photos to batches,
              compared with reading the records, decoding the full JPEGs, and
              image_dataset_from_directory of Keras, which reads files
  small       records/s of a data set of 32 x 32 PNGs, compared with processing
              one record at a time
  conversion  photos/s from a folder to TFRecord, compared with reading and
              checking the same files in the same number of processes

The photos are those of SLIM_TEST_DATA, enlarged to the usual size of ImageNet's
photos in pixels and bytes. All sides of a part take turns in one run, and the
median turn is printed: only ratios within a run are meaningful. On a busy
machine, `--clock processor` counts the processor time of this benchmark instead,
divided by the number of processors.

Each side has one thread per processor, since the automatic choice of tf.data
takes longer than a turn to settle; Keras offers only that.
"""

import argparse
import contextlib
import functools
import io
import multiprocessing
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

PARTS = ('photos', 'small', 'conversion')
SHORTER_SIDE = 375
QUALITY = 100  # gives about 100 KB, as ImageNet: enlarging leaves little detail
BATCH = 32
SMALL = 32
CLASSES = 10
THREADS = os.cpu_count() or 1

# A side of a comparison opens a context that prepares a turn and cleans up. Each
# call of its step does a part of the work and returns the number of items.
Step = Callable[[], int]
Side = Callable[[], contextlib.AbstractContextManager[Step]]


# The data.


def write_photos(folder: pathlib.Path, count: int) -> None:
  """Enlarges photos of SLIM_TEST_DATA into class folders."""
  from PIL import Image

  root = pathlib.Path(os.environ['SLIM_TEST_DATA'], 'imagenet_sample')
  paths = sorted(root.glob('validation/*/*.JPEG'))
  for number, path in enumerate(paths[:: max(1, len(paths) // count)][:count]):
    image = Image.open(path).convert('RGB')
    scale = SHORTER_SIDE / min(image.size)
    image = image.resize([round(side * scale) for side in image.size])
    class_folder = folder / f'class_{number % CLASSES}'
    class_folder.mkdir(parents=True, exist_ok=True)
    image.save(class_folder / f'{number:04d}.jpg', quality=QUALITY)


def write_records(folder: pathlib.Path, images: Sequence[bytes], shards: int):
  """Writes encoded images to record files; returns their `Dataset`."""
  from datasets.dataset import Dataset
  from tf_compat import tf

  folder.mkdir()
  files = [str(folder / f'{number}.tfrecord') for number in range(shards)]
  for number, file in enumerate(files):
    with tf.io.TFRecordWriter(file) as writer:
      for label, data in enumerate(images[number::shards]):
        features = {
          'image/encoded': {'bytes_list': {'value': [data]}},
          'image/class/label': {'int64_list': {'value': [label % CLASSES]}},
        }
        example = tf.train.Example(features={'feature': features})
        writer.write(example.SerializeToString())
  return Dataset(
    'benchmark', 'train', tuple(files), len(images), CLASSES, 3, ('',) * CLASSES
  )


def small_images(count: int) -> list[bytes]:
  """Returns PNGs of 32 x 32 pixels, as noisy as CIFAR."""
  import numpy as np
  from PIL import Image

  rng = np.random.default_rng(0)
  images = []
  for _ in range(count):
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    pixels = np.asarray(coarse.resize((SMALL, SMALL)), np.int64)
    pixels = pixels + rng.integers(-4, 5, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, 'PNG')
    images.append(file.getvalue())
  return images


# The sides.


def pipeline(make: Callable[[], object], batch: int = BATCH) -> Side:
  """Returns a side that reads the batches of a tf.data.Dataset.

  Each turn has its own session, which ends with all its threads and buffers.
  """
  from tf_compat import tf

  with tf.Graph().as_default() as graph:
    iterator = tf.data.make_initializable_iterator(make())
    fetch = tf.group(*tf.nest.flatten(iterator.get_next()))

  @contextlib.contextmanager
  def turn() -> Iterator[Step]:
    with tf.Session(graph=graph) as session:
      session.run(iterator.initializer)

      def step() -> int:
        session.run(fetch)
        return batch

      yield step

  return turn


def bare_records(dataset):
  """Returns serialized examples, read from one file after the other."""
  from tf_compat import tf

  return tf.data.TFRecordDataset(list(dataset.files)).repeat()


def bare_reading(dataset, batch: int = BATCH):
  """Returns batches of serialized examples."""
  return bare_records(dataset).batch(batch).prefetch(2)


def bare_decoding(dataset, batch: int = BATCH):
  """Decodes full images on all cores; returns batches of their sizes."""
  from datasets import example
  from tf_compat import tf

  def decode(data):
    encoded = tf.io.parse_example(data, example.features())['image/encoded']
    return tf.size(tf.image.decode_image(encoded, 3, expand_animations=False))

  sizes = bare_records(dataset).map(decode, num_parallel_calls=THREADS)
  return sizes.batch(batch).prefetch(2)


def keras_folder(folder: pathlib.Path, size: int):
  """Returns the pipeline of Keras, which decodes and resizes files."""
  import keras

  return keras.utils.image_dataset_from_directory(
    folder, image_size=(size, size), batch_size=BATCH, verbose=False
  ).repeat()


def preprocessing(
  dataset,
  name: str,
  is_training: bool,
  size: int,
  batch: int = BATCH,
  fast: bool = False,
):
  """Returns batches of the reader, as the programs use it."""
  from datasets import reader
  from preprocessing.preprocessing_factory import get_preprocessing

  preprocess = get_preprocessing(name, is_training, fast=fast)
  return reader.read(
    dataset,
    preprocess,
    size,
    batch,
    is_training,
    threads=THREADS,
  ).repeat()


def one_at_a_time(dataset, name: str, is_training: bool, batch: int):
  """Returns batches of the reader that processes one record at a time."""
  from datasets import reader

  group, reader.GROUP_BYTES = reader.GROUP_BYTES, 0
  try:
    return preprocessing(dataset, name, is_training, SMALL, batch)
  finally:
    reader.GROUP_BYTES = group


def check_file(path: str) -> int:
  """Reads and checks the compressed data of a JPEG, as the converter does."""
  from PIL import Image

  image = Image.open(io.BytesIO(pathlib.Path(path).read_bytes()))
  image.draft(None, (1, 1))
  image.load()
  return image.width


# The parts return name -> side; the first side is the limit of the others.


def photos(folder: pathlib.Path, options: argparse.Namespace) -> dict:
  """Returns the sides of photos: preprocessings for training and evaluation."""
  write_photos(folder / 'photos', options.photos)
  paths = sorted((folder / 'photos').glob('*/*.jpg'))
  data = write_records(
    folder / 'records', [path.read_bytes() for path in paths], shards=8
  )
  sides = {
    'JPEG decoding': pipeline(lambda: bare_decoding(data)),
    'record reading': pipeline(lambda: bare_reading(data)),
    'Keras, from files': pipeline(
      lambda: keras_folder(folder / 'photos', options.image_size)
    ),
  }
  for name in ('inception', 'vgg'):
    for is_training in (True, False):
      for fast in (False, True):
        side = f'{name}, {"training" if is_training else "evaluation"}'
        if fast and (name, is_training) == ('inception', False):
          continue  # It has no fast form.
        sides[f'{side}, fast' if fast else side] = pipeline(
          functools.partial(
            preprocessing,
            data,
            name,
            is_training,
            options.image_size,
            fast=fast,
          )
        )
  return sides


def small(folder: pathlib.Path, options: argparse.Namespace) -> dict:
  """Returns the sides of small images: in groups, and a record at a time."""
  del options
  batch = 128
  data = write_records(folder / 'small', small_images(8192), shards=1)
  sides = {
    'PNG decoding': pipeline(lambda: bare_decoding(data, batch), batch),
    'record reading': pipeline(lambda: bare_reading(data, batch), batch),
  }
  for name in ('cifarnet', 'lenet'):
    for is_training in (True, False):
      side = f'{name}, {"training" if is_training else "evaluation"}'
      sides[side] = pipeline(
        functools.partial(preprocessing, data, name, is_training, SMALL, batch),
        batch,
      )
      sides[f'{side}, a record at a time'] = pipeline(
        functools.partial(one_at_a_time, data, name, is_training, batch), batch
      )
  return sides


def conversion(folder: pathlib.Path, options: argparse.Namespace) -> dict:
  """Returns the sides of converting a folder of photos to records."""
  from datasets import convert, process_pool

  write_photos(folder / 'originals', options.photos)
  paths = [str(path) for path in (folder / 'originals').glob('*/*.jpg')]
  processes = max(1, min(THREADS, len(paths) // process_pool.ITEMS_PER_WORKER))

  def check() -> int:
    # A fork of a process with the threads of TensorFlow can hang.
    spawn = multiprocessing.get_context('spawn')
    with futures.ProcessPoolExecutor(processes, mp_context=spawn) as pool:
      return len(list(pool.map(check_file, paths, chunksize=16)))

  def write() -> int:
    with tempfile.TemporaryDirectory(dir=folder) as target:
      convert.convert('photos', target, str(folder / 'originals'))
    return len(paths)

  return {
    'reading and checking': lambda: contextlib.nullcontext(check),
    'conversion': lambda: contextlib.nullcontext(write),
  }


# The comparison.


def processor_seconds() -> float:
  """Returns the mean time per processor of this process and ended children."""
  times = os.times()
  return sum(times[:4]) / THREADS


CLOCKS = {'wall': time.perf_counter, 'processor': processor_seconds}


def speed(side: Side, seconds: float, clock: Callable[[], float]) -> float:
  """Returns a side's items per second, measured over a number of seconds."""
  with side() as step:
    began = clock()
    while clock() - began < seconds / 4:  # Warm up.
      step()
    count, began = 0, clock()
    while (passed := clock() - began) < seconds or not count:
      count += step()
    return count / passed


def compare(sides: dict[str, Side], options: argparse.Namespace) -> None:
  """Prints each side's median speed, and its median ratio to the first side."""
  clock = CLOCKS[options.clock]
  speeds: dict[str, list[float]] = {name: [] for name in sides}
  for _ in range(options.turns):
    for name, side in sides.items():
      speeds[name].append(speed(side, options.seconds, clock))
  limit = next(iter(speeds))
  print(f'| | per second | of {limit} |\n|---|---|---|')
  for name, turns in speeds.items():
    ratios = [a / b for a, b in zip(turns, speeds[limit], strict=True)]
    print(
      f'| {name} | {statistics.median(turns):,.0f} | '
      f'{statistics.median(ratios):.2f} |',
      flush=True,
    )
  print()


def main() -> None:
  """Runs the requested parts."""
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS)
  parser.add_argument('--turns', type=int, default=5)
  parser.add_argument('--seconds', type=float, default=3)
  parser.add_argument('--photos', type=int, default=600)
  parser.add_argument('--image_size', type=int, default=224)
  parser.add_argument('--clock', choices=CLOCKS, default='wall')
  options = parser.parse_args()
  for part in options.parts:
    with tempfile.TemporaryDirectory() as folder:
      sides = globals()[part](pathlib.Path(folder), options)
      compare(sides, options)


if __name__ == '__main__':
  main()
