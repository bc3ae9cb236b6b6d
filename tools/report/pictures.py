"""Pictures of mistakes with Grad-CAM and gates, as data URLs for a page."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from engine.config import resolve
from engine.config.jobs import VisualizeJob
from errors import UserError
from tools.report.run import Run
from tools.visualization import images, plot, visualize
from tools.visualization.grad_cam import ExplainedImage, GradCam
from tools.visualization.images import SourceImage

# Side of a picture on the page, in pixels, and JPEG's quality.
SIDE, QUALITY = 160, 75
# Gates of each image: the last of each map size, of these the last.
MAX_GATES = 3


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture: what it shows, its data URL, and whether it is a gate's."""

  caption: str
  url: str
  is_gate: bool = False


def of_mistakes(
  run: Run, mistakes: Sequence[Mapping[str, Any]], dataset_dir: str | None
) -> dict[int, list[Picture]]:
  """Explains the records of mistakes.

  Args:
    run: the run, with an evaluation.
    mistakes: those to show, from results.json.
    dataset_dir: folder of the records; None for the run's.

  Returns:
    Index of the record -> the image, Grad-CAM of the predicted class, gates.

  Raises:
    UserError: if the records or the checkpoint are not there any more.
  """
  checkpoint = run.checkpoint()
  if checkpoint is None:
    step = run.results.content['global_step'] if run.results else 0
    raise UserError(
      f'The checkpoint of step {step:,}, which was evaluated, is deleted: '
      'evaluate the newest one for pictures of its mistakes.'
    )
  setup = resolve.visualization(*_job(run, checkpoint, dataset_dir))
  indices = [mistake['index'] for mistake in mistakes]
  sources = images.read_indices(setup, indices)
  _check_same(sources, mistakes, setup.job.dataset_dir or '')
  with GradCam(setup) as network:
    points = visualize.choose_gates(None, network.gates)[-MAX_GATES:]
    network.restore(checkpoint)
    explained = {
      index: visualize.explain(network, setup, source, None, points)
      for index, source in sources.items()
    }
  return _pictures(explained)


def _check_same(
  sources: Mapping[int, SourceImage],
  mistakes: Sequence[Mapping[str, Any]],
  dataset_dir: str,
) -> None:
  """Raises UserError unless records are those that were evaluated."""
  for mistake in mistakes:
    source = sources.get(mistake['index'])
    file = os.path.basename(mistake['filename'])
    if (
      source is None
      or source.label != mistake['label']
      or (file and source.name != file)
    ):
      raise UserError(
        f'Record {mistake["index"]} in {dataset_dir} is not the one that was '
        'evaluated: set --dataset_dir to the records of the evaluation, or '
        'evaluate again.'
      )


def _job(
  run: Run, checkpoint: str, dataset_dir: str | None
) -> tuple[VisualizeJob, frozenset[str]]:
  """Returns the visualization of the evaluation's records, and what it sets.

  Raises:
    UserError: if the evaluation was on another data set than the training, and
      the folder of its records is not given.
  """
  options: dict[str, Any] = {'checkpoint_path': checkpoint}
  for name in ('skip_bad_records', 'fast_preprocessing'):
    options[name] = run.options.get(name, False)
  if run.results:
    evaluated = run.results.content
    options['dataset_split_name'] = evaluated['split']
    dataset, trained = evaluated.get('dataset'), run.options.get('dataset_name')
    if dataset and dataset != trained:
      options['dataset_name'] = dataset
      if not dataset_dir:
        raise UserError(
          f'The evaluation was on {dataset}, and not on {trained} as the '
          f'training: set --dataset_dir to the records of {dataset}.'
        )
  if dataset_dir:
    options['dataset_dir'] = dataset_dir
  return VisualizeJob(**options), frozenset(options)


def _pictures(
  explained: Mapping[int, ExplainedImage],
) -> dict[int, list[Picture]]:
  """Returns the pictures of each image; gates share their scales."""
  if not explained:
    return {}
  scales = plot.gate_scales([*explained.values()])
  pictures = {}
  for index, image in explained.items():
    heat = image.explanation.grad_cam
    heat = plot.overlay(image.image, plot.relative(heat))
    pictures[index] = [
      Picture('image', _url(plot.enlarge(image.image))),
      Picture(f'Grad-CAM for {image.explained}', _url(heat)),
    ]
    for point, (low, high) in scales.items():
      gate = plot.stretched(image.explanation.gates[point], low, high)
      gate = plot.overlay(image.image, gate)
      pictures[index].append(Picture(f'gate {point}', _url(gate), True))
  return pictures


def _url(pixels: np.ndarray) -> str:
  """Returns an image, float [H, W, 3] in [0, 1], as a small JPEG's data URL."""
  picture = Image.fromarray(np.uint8(np.rint(pixels * 255)))
  picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
  file = io.BytesIO()
  picture.save(file, 'JPEG', quality=QUALITY, optimize=True)
  data = base64.b64encode(file.getvalue()).decode('ascii')
  return f'data:image/jpeg;base64,{data}'
