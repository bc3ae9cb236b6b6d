"""Draws Grad-CAM and spatial gates for some images: visualize_attention.py."""

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

import files
from engine import console, error_translation
from engine.checkpoints import matching, store
from engine.config import resolve
from engine.config.jobs import VisualizeJob
from engine.config.resolve import Setup
from errors import UserError
from preprocessing.preprocessing_factory import get_spec
from registry import unknown
from tools.visualization import images
from tools.visualization.grad_cam import ExplainedImage, GradCam
from tools.visualization.images import SourceImage

GRID = 'attention.png'


def visualize(
  job: VisualizeJob, explicit: Collection[str] = frozenset()
) -> list[ExplainedImage]:
  """Draws Grad-CAM and spatial gates for some images, and prints the classes.

  Args:
    job: options of visualize_attention.py.
    explicit: the options set by flags, which win over the checkpoint's job.

  Returns:
    The images with their explanations.

  Raises:
    UserError: for wrong input, before anything is written.
  """
  job = resolve.import_checkpoint(job, explicit)
  checkpoint = store.find(job.checkpoint_path)
  setup = resolve.visualization(job, explicit)
  label = _label(job.class_name, setup.class_names)
  grid = _grid_path(job, checkpoint)
  if job.output_dir:
    resolve.check_writable(job.output_dir, '--output_dir')
  _check_grid(grid)
  sources = list(images.read_images(setup))
  with (
    error_translation.translate_lost_server(job.master),
    GradCam(setup, job.end_point) as network,
  ):
    points = choose_gates(job.points, network.gates)
    if setup.job.attention_module and not network.gates:
      console.say(
        f'{setup.job.attention_module} has no spatial gates: only Grad-CAM is '
        'shown.'
      )
    network.restore(checkpoint)
    explained = [
      explain(network, setup, source, label, points) for source in sources
    ]
  _write(explained, grid, setup.job, _title(setup.job, checkpoint))
  return explained


def _label(text: str | None, class_names: Sequence[str]) -> int | None:
  """Returns the class that a name or a number denotes; None for None."""
  if text is None or text in class_names:
    return None if text is None else class_names.index(text)
  numbers = [str(label) for label in range(len(class_names))]
  if text in numbers:
    return numbers.index(text)
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
  """Returns the absolute path of the grid."""
  folder = job.output_dir or os.path.dirname(os.path.abspath(checkpoint))
  return os.path.abspath(job.output_file or os.path.join(folder, GRID))


def _check_grid(path: str) -> None:
  """Raises UserError unless a PNG file can be written to a path."""
  if os.path.isdir(path) or not path.lower().endswith('.png'):
    raise UserError(
      f'--output_file={path}: must be a .png file; --plot_format draws it in '
      'another format, too.'
    )
  resolve.check_writable(os.path.dirname(path), '--output_file')


def choose_gates(
  points: str | None, gates: Mapping[str, tuple[int, int]]
) -> list[str]:
  """Returns the attention points to show, in the order of the network.

  Args:
    points: 'first', 'last', 'all', 'none', numbers from 0, or scopes, separated
      by commas; None for the last gate of each size.
    gates: attention point -> height and width of its gate, in the order of the
      network.

  Raises:
    UserError: if a part of `points` matches no gate.
  """
  names = list(gates)
  if points is None:
    return sorted({gates[n]: n for n in names}.values(), key=names.index)
  chosen = {
    n for p in points.split(',') for n in _matching_gates(p.strip(), names)
  }
  return [name for name in names if name in chosen]


def _matching_gates(point: str, names: Sequence[str]) -> Sequence[str]:
  """Returns the gates that one part of --points matches."""
  if point == 'none' or (not names and point in ('first', 'last', 'all')):
    return []
  words = {'first': names[:1], 'last': names[-1:], 'all': names}
  if point in words:
    return words[point]
  if point in (numbers := [str(number) for number in range(len(names))]):
    return [names[numbers.index(point)]]
  matches = [name for name in names if matching.in_scope(name, point)]
  if not matches:
    raise UserError(_no_match(point, names))
  return matches


def _no_match(point: str, names: Sequence[str]) -> str:
  """Returns the message for a part of --points that matches no gate."""
  if not names:
    return (
      f'--points={point}: the network has no attention with spatial gates; '
      'leave the flag out for Grad-CAM alone.'
    )
  known = ('first', 'last', 'all', 'none', *names)
  message = unknown('attention point', point, known)[:-1]
  return f'{message}; or a number from 0 to {len(names) - 1}.'


def explain(
  network: GradCam,
  setup: Setup[VisualizeJob],
  source: SourceImage,
  label: int | None,
  points: Sequence[str],
) -> ExplainedImage:
  """Explains an image, and selects the gates of the attention points."""
  explanation = network.explain(source.image, label)
  names = setup.class_names
  visible = get_spec(setup.job.preprocessing).visible
  gates = {point: explanation.gates[point] for point in points}
  return ExplainedImage(
    name=source.name,
    image=visible(source.image).clip(0, 1),
    truth=None if source.label is None else names[source.label],
    explained=names[explanation.label],
    explanation=dataclasses.replace(explanation, gates=gates),
  )


def _write(
  explained: Sequence[ExplainedImage],
  grid: str,
  job: VisualizeJob,
  title: str,
) -> None:
  """Writes the grid, and the files of --output_dir; prints the classes."""
  # Matplotlib takes half a second to import.
  from tools.visualization import plot

  output_dir = job.output_dir
  plot.draw(explained, title, grid, job.plot_format)
  if output_dir:
    for number, image in enumerate(explained):
      stem = re.sub(r'[^\w.-]+', '_', pathlib.Path(image.name).stem)
      _write_separate(image, pathlib.Path(output_dir, f'{number:03}_{stem}'))
  for image in explained:
    truth = f', true class {image.truth}' if image.truth else ''
    console.say(
      f'{image.name}: {image.explained} {image.probability:.4f}{truth}'
    )
  points = len(explained[0].explanation.gates)
  gates = f' and {points} spatial gates' if points else ''
  separate = f'; separate files in {output_dir}' if output_dir else ''
  console.say(
    f'Grad-CAM{gates} of {len(explained)} images in {grid}{separate}.'
  )


def _write_separate(image: ExplainedImage, folder: pathlib.Path) -> None:
  """Writes an image, its Grad-CAM and gates as PNG files, and arrays.npz."""
  from tools.visualization import plot

  explanation = image.explanation
  arrays: dict[str, Any] = {
    'image': image.image,
    'label': explanation.label,
    'probabilities': explanation.probabilities,
    'grad_cam': explanation.grad_cam,
  }
  for name, gate in explanation.gates.items():
    arrays[f'gates/{name}'] = gate
  with files.replacing(folder / 'arrays.npz') as temporary:
    np.savez(temporary, **arrays)
  save = functools.partial(plot.save_single, image.image)
  save(None, folder / 'image.png')
  save(plot.relative(explanation.grad_cam), folder / 'grad_cam.png')
  for name, gate in explanation.gates.items():
    scaled = plot.stretched(gate, gate.min(), gate.max())
    save(scaled, folder / f'{name.replace("/", "-")}.png')
