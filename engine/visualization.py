"""Pictures of what a network looks at: what visualize_attention.py does."""

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

import files
from datasets import photo
from datasets.content import UnusableError
from engine import checkpoints, console, data_errors, inputs, resolve
from engine.gaze import Looker, Picture
from engine.job import VisualizeJob
from engine.resolve import Setup
from errors import UserError
from preprocessing.preprocessing_factory import (
  PREPROCESSINGS,
  get_preprocessing,
)
from registry import unknown
from tf_compat import tf

GRID = 'attention.png'


@dataclasses.dataclass(frozen=True, eq=False)
class _Source:
  """An image before anybody looked: its name, input [H, W, C] and label."""

  name: str
  image: np.ndarray
  label: int | None = None


def visualize(
  job: VisualizeJob, given: Collection[str] = frozenset()
) -> list[Picture]:
  """Writes Grad-CAM and spatial gates of some images as one PNG, and tells.

  Args:
    job: what to look at; engine/job.py says what each option means.
    given: the options that were given, which win over the checkpoint's job.

  Raises:
    UserError: for wrong input, before anything is written.
  """
  checkpoint = checkpoints.find(job.checkpoint_path)
  setup = resolve.looking(job, given)
  label = _label(job.class_name, _class_names(setup))
  grid = _grid_path(job, checkpoint)
  for folder in filter(None, (job.output_dir, os.path.dirname(grid))):
    resolve.writable(folder)
  sources = list(_sources(setup))
  with Looker(setup, job.end_point) as looker:
    points = choose(job.points, looker.gates)
    if setup.job.attention_module and not looker.gates:
      console.say(
        f'{setup.job.attention_module} has no gate that differs from place to '
        'place: Grad-CAM is shown alone.'
      )
    looker.restore(checkpoint)
    pictures = [_look(looker, setup, s, label, points) for s in sources]
  _write(pictures, grid, job.output_dir, _title(setup.job, checkpoint))
  return pictures


def _class_names(setup: Setup) -> tuple[str, ...]:
  """Names of the network's classes."""
  return setup.dataset.class_names[setup.job.labels_offset :]


def _label(text: str | None, class_names: Sequence[str]) -> int | None:
  """The class that a name or a number says; None for none."""
  if text is None or text in class_names:
    return None if text is None else class_names.index(text)
  if text.isdecimal() and int(text) < len(class_names):
    return int(text)
  known = class_names if len(class_names) <= 20 else class_names[:20]
  raise UserError(
    f'{unknown("class", text, known)[:-1]}{", …" * (known is not class_names)}; '
    f'or a number from 0 to {len(class_names) - 1}.'
  )


def _title(job: VisualizeJob, checkpoint: str) -> str:
  """'lenet with cbam_block, model.ckpt-150'."""
  attention = f' with {job.attention_module}' if job.attention_module else ''
  return f'{job.model_name}{attention}, {os.path.basename(checkpoint)}'


def _grid_path(job: VisualizeJob, checkpoint: str) -> str:
  """Where the grid goes."""
  folder = job.output_dir or os.path.dirname(os.path.abspath(checkpoint))
  return os.path.abspath(job.output_file or os.path.join(folder, GRID))


# Images ----------------------------------------------------------------------


def _sources(setup: Setup) -> Iterator[_Source]:
  """The images to look at, as the network takes them."""
  if setup.job.images is None:
    return _of_records(setup)
  paths = _image_files(setup.job.images)
  most = setup.job.num_images
  if len(paths) > most:
    console.say(
      f'The first {most} of {len(paths)} images; --num_images shows more.'
    )
  return _of_files(setup, _pictures(paths[:most]))


def _image_files(images: str) -> list[pathlib.Path]:
  """Files, and those in folders, of a list separated by commas."""
  whole = pathlib.Path(images).expanduser()
  parts = [whole] if whole.exists() else map(_path, images.split(','))
  found = [path for part in parts for path in _image_files_of(part)]
  if not found:
    raise UserError(
      f'--images={images} names no image: give files, or a folder of '
      f'{", ".join(photo.SUFFIXES)}.'
    )
  return found


def _path(text: str) -> pathlib.Path:
  return pathlib.Path(text.strip()).expanduser()


def _image_files_of(path: pathlib.Path) -> Iterable[pathlib.Path]:
  """The file itself, or the images in a folder by name."""
  if path.is_dir():
    inside = path.iterdir()
    return sorted(p for p in inside if p.suffix.lower() in photo.SUFFIXES)
  if not path.is_file():
    raise UserError(
      f'There is no image {path}: --images names files, separated by commas, '
      'or a folder of them.'
    )
  return [path]


def _pictures(paths: Sequence[pathlib.Path]) -> list[tuple[str, bytes]]:
  """Names, and images as conversion has them: upright, in RGB or gray."""
  pictures = []
  for path in paths:
    try:
      read = photo.check_bytes(path.read_bytes(), path.name)
      pictures.append((path.name, read.data))
    except (UnusableError, OSError) as error:
      console.say(f'Left out: {path} cannot be read as an image: {error}.')
  if not pictures:
    raise UserError('--images names nothing that can be read as an image.')
  return pictures


def _of_files(
  setup: Setup, pictures: Sequence[tuple[str, bytes]]
) -> Iterator[_Source]:
  """Decodes and preprocesses encoded images."""
  with tf.Graph().as_default(), tf.Session() as session:
    encoded = tf.placeholder(tf.string, [])
    preprocess = get_preprocessing(
      setup.job.preprocessing_name,
      use_grayscale=setup.job.use_grayscale,
      fast=setup.job.fast_preprocessing,
    )
    side = setup.image_size
    image = preprocess.from_encoded(encoded, side, side, _decoded(setup))
    for name, data in pictures:
      yield _Source(name, session.run(image, {encoded: data}))


def _decoded(setup: Setup) -> int:
  """Channels to decode to: color becomes gray in preprocessing if asked."""
  return setup.dataset.channels if setup.job.use_grayscale else setup.channels


def _of_records(setup: Setup) -> Iterator[_Source]:
  """The first records of the split."""
  dataset = setup.dataset
  with (
    tf.Graph().as_default(),
    tf.Session() as session,
    data_errors.named(dataset, setup.job.labels_offset),
  ):
    batches = inputs.batches(setup, is_training=False)
    batch = batches.get_next()
    session.run(inputs.initializer(batches))
    values = session.run(batch)
  for image, label, index, filename in zip(
    *(values[name] for name in ('image', 'label', 'index', 'filename')),
    strict=True,
  ):
    name = filename.decode('utf-8', 'replace') or f'{dataset.split} {index}'
    yield _Source(os.path.basename(name), image, int(label))


# Looking ---------------------------------------------------------------------


def choose(
  points: str | None, gates: Mapping[str, tuple[int, int]]
) -> list[str]:
  """The names of the gates to show, in the order of the network.

  Args:
    points: 'first', 'last', 'all', 'none', numbers from 0, or scopes, separated
      by commas; None for the last gate of each size.
    gates: name -> height and width, in the order of the network.

  Raises:
    UserError: if one of them names no gate.
  """
  names = list(gates)
  if points is None:
    return sorted({gates[n]: n for n in names}.values(), key=names.index)
  chosen = {n for p in points.split(',') for n in _named(p.strip(), names)}
  return [name for name in names if name in chosen]


def _named(point: str, names: Sequence[str]) -> Sequence[str]:
  """The gates that one part of --points says."""
  if point == 'none' or (not names and point in ('first', 'last', 'all')):
    return []
  words = {'first': names[:1], 'last': names[-1:], 'all': names}
  if point in words:
    return words[point]
  if point.isdecimal() and int(point) < len(names):
    return [names[int(point)]]
  inside = [name for name in names if checkpoints.in_scope(name, point)]
  if not inside:
    raise UserError(_no_point(point, names))
  return inside


def _no_point(point: str, names: Sequence[str]) -> str:
  """The message for a point that does not exist."""
  if not names:
    return (
      f'--points={point}: the network has no attention with spatial gates; '
      'leave the flag out for Grad-CAM alone.'
    )
  kind = f'point of the {len(names)} from 0 to {len(names) - 1},'
  return unknown(kind, point, ('first', 'last', 'all', 'none', *names))


def _look(
  looker: Looker,
  setup: Setup,
  source: _Source,
  label: int | None,
  points: Sequence[str],
) -> Picture:
  """One image, looked at."""
  gaze = looker.look(source.image, label)
  names = _class_names(setup)
  visible = PREPROCESSINGS[setup.job.preprocessing_name].visible
  shown = {point: gaze.gates[point] for point in points}
  return Picture(
    name=source.name,
    image=visible(source.image).clip(0, 1),
    truth=None if source.label is None else names[source.label],
    explained=names[gaze.label],
    gaze=dataclasses.replace(gaze, gates=shown),
  )


# Writing ---------------------------------------------------------------------


def _write(
  pictures: Sequence[Picture],
  grid: str,
  output_dir: str | None,
  title: str,
) -> None:
  """The grid, the separate files if asked for, and a line that says where."""
  # Matplotlib takes half a second to import.
  from engine import gaze_plot

  gaze_plot.draw(pictures, title, grid)
  if output_dir:
    for number, picture in enumerate(pictures):
      stem = re.sub(r'[^\w.-]+', '_', pathlib.Path(picture.name).stem)
      _write_one(picture, pathlib.Path(output_dir, f'{number:03}_{stem}'))
  for picture in pictures:
    truth = f', in truth {picture.truth}' if picture.truth else ''
    console.say(
      f'{picture.name}: {picture.explained} {picture.probability:.4f}{truth}'
    )
  points = len(pictures[0].gaze.gates)
  gates = f' and {points} spatial gates' if points else ''
  separate = f'; separate files in {output_dir}' if output_dir else ''
  console.say(f'Grad-CAM{gates} of {len(pictures)} images in {grid}{separate}.')


def _write_one(picture: Picture, folder: pathlib.Path) -> None:
  """One image's folder: image, Grad-CAM and gates as PNGs, and the arrays."""
  from engine import gaze_plot

  gaze = picture.gaze
  arrays = {f'gates/{name}': gate for name, gate in gaze.gates.items()}
  with files.replacing(folder / 'arrays.npz') as temporary:
    np.savez(
      temporary,
      image=picture.image,
      label=gaze.label,
      probabilities=gaze.probabilities,
      grad_cam=gaze.grad_cam,
      **arrays,
    )
  save = functools.partial(gaze_plot.save_alone, picture.image)
  save(None, folder / 'image.png')
  save(gaze_plot.relative(gaze.grad_cam), folder / 'grad_cam.png')
  for name, gate in gaze.gates.items():
    scaled = gaze_plot.stretched(gate, gate.min(), gate.max())
    save(scaled, folder / f'{name.replace("/", "-")}.png')
