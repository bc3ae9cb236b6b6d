"""The model card: README.md of an exported model."""

from __future__ import annotations

import html
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tabulate

from engine.config import job_file
from engine.config.jobs import ExportJob
from engine.config.resolve import Setup
from engine.evaluation.results import Result
from tools.export.proof import Row

HEADINGS = (
  'file',
  'numbers',
  'MB',
  'largest difference',
  'same class',
  'accuracy',
  'ms an image',
)
# Ending of a file -> the packages that wrote it, and that run it.
_PACKAGES = {
  'tflite': ('ai-edge-litert',),
  'onnx': ('onnx', 'onnxruntime', 'tf2onnx'),
}
# Options of training that a card tells.
_TRAINING = (
  'batch_size',
  'optimizer',
  'learning_rate',
  'learning_rate_decay_type',
  'weight_decay',
  'label_smoothing',
  'augment',
  'moving_average_decay',
  'checkpoint_path',
  'seed',
)
# A card lists all classes up to this number, else the worst ones.
_CLASSES = 100
_WORST = 20

_LOADING = {
  'saved_model': """\
import tensorflow as tf
model = tf.saved_model.load('{file}').signatures['serving_default']
image = open('photo.jpg', 'rb').read()  # upright, in RGB or gray
outputs = model(image_bytes=tf.constant([image]))
print(outputs['class_names'].numpy(), outputs['probabilities'].numpy())
""",
  'tflite': """\
import zipfile
import numpy as np
from ai_edge_litert.interpreter import Interpreter
pixels = np.zeros([1, {side}, {side}, {channels}], np.float32)  # a photo
model = Interpreter('{file}')
model.allocate_tensors()
model.set_tensor(model.get_input_details()[0]['index'], pixels[:1])
model.invoke()
probabilities = model.get_tensor(model.get_output_details()[0]['index'])
names = zipfile.ZipFile('{file}').read('labels.txt').decode().splitlines()
print(names[probabilities[0].argmax()], probabilities)
""",
  'onnx': """\
import json
import numpy as np
import onnxruntime
pixels = np.zeros([1, {side}, {side}, {channels}], np.float32)  # photos
model = onnxruntime.InferenceSession('{file}')
names = json.loads(model.get_modelmeta().custom_metadata_map['classes'])
(probabilities,) = model.run(None, {{'pixels': pixels}})
print(names[probabilities[0].argmax()], probabilities)
""",
}


def table(rows: Iterable[Row]) -> tuple[list[list[str]], Sequence[str]]:
  """Returns the cells and headings of a table of files."""
  cells = [
    [
      row.file,
      row.quantized or 'float32',
      f'{row.bytes / 1e6:.2f}',
      f'{row.max_difference:.1e}',
      f'{row.agreement:.4f}',
      f'{row.accuracy:.4f}',
      f'{row.milliseconds:.2f}',
    ]
    for row in rows
  ]
  return cells, HEADINGS


def package_versions(names: Iterable[str]) -> dict[str, str]:
  """Returns the versions of the packages that some files need."""
  endings = {name.rpartition('.')[2] for name in names}
  packages = [
    p for ending in sorted(endings) for p in _PACKAGES.get(ending, ())
  ]
  return {name: importlib.metadata.version(name) for name in packages}


def text(
  facts: Mapping[str, Any],
  setup: Setup[ExportJob],
  result: Result,
  rows: Sequence[Row],
  recorded: Mapping[str, Any] | None,
) -> str:
  """Returns the card in Markdown.

  Args:
    facts: the content of export.json.
    setup: the export.
    result: the evaluation of the checkpoint on the compared records.
    rows: how the checkpoint and each file compare.
    recorded: the checkpoint's job.json, or None.
  """
  colors = 'RGB' if setup.channels == 3 else 'gray'
  sections = [
    f'# {facts["model_name"]} on {result.dataset}',
    _model(facts),
    '## Files',
    f'Compared with the checkpoint on {result.count} records of '
    f'{result.dataset}/{result.split}; times are of one image, on the processor.',
    _markdown(*table(rows)),
    '## Load',
    f'Pixels are float32 {colors} in 0..255, [N, {setup.image_size}, '
    f'{setup.image_size}, {setup.channels}] (one image in TFLite): the photo '
    f'cropped and resized as the preprocessing `{setup.job.preprocessing}` does. Normalization '
    'is in the model.',
    *_loading(facts, rows),
    '## Training',
    _training(result, recorded),
    '## Accuracy by class',
    *_classes(result),
    '## Versions',
    _markdown([[k, v] for k, v in facts['versions'].items()], ('package', 'version')),
  ]  # fmt: skip
  return '\n\n'.join(sections) + '\n'


def _model(facts: Mapping[str, Any]) -> str:
  """Returns a table of network and data."""
  side = facts['image_size']
  rows = [
    ('network', facts['model_name']),
    ('attention', facts['attention_module'] or 'none'),
    ('input', f'{side} x {side} pixels, {facts["channels"]} channels'),
    ('preprocessing', facts['preprocessing_name']),
    ('classes', len(facts['class_names'])),
    ('parameters', f'{facts["parameters"]:,}'),
    ('multiply-adds', f'{facts["multiply_adds"]:,}'),
    ('data set', facts['dataset']),
    ('step', facts['global_step']),
  ]
  return _markdown(rows, ('', ''))


def _loading(facts: Mapping[str, Any], rows: Iterable[Row]) -> list[str]:
  """Returns a heading and code for each file."""
  sections = []
  for row in rows:
    kind = row.file.partition('/')[0].rpartition('.')[2]
    if kind in _LOADING:
      code = _LOADING[kind].format(
        file=row.file, side=facts['image_size'], channels=facts['channels']
      )
      sections += [f'`{row.file}`:', f'```python\n{code}```']
  return sections


def _training(result: Result, recorded: Mapping[str, Any] | None) -> str:
  """Returns how the network was trained, as far as it is known."""
  if not recorded:
    return 'Unknown: the checkpoint had no job.json.'
  if 'imported' in recorded:
    return f'Imported from {recorded["imported"]["source"]}.'
  options = recorded['options']
  rows = [
    (name, options[name])
    for name in _TRAINING
    if options.get(name) not in (None, '')
  ]
  rows += job_file.unusual(options).items()
  rows.insert(0, ('steps', result.global_step))
  rows.insert(1, ('records', recorded.get('num_records', 'unknown')))
  return _markdown(rows, ('option', 'value'))


def _classes(result: Result) -> list[str]:
  """Returns a table of the classes, or of the worst of many."""
  seen = [each for each in result.per_class if each['count']]
  remark = []
  if len(seen) > _CLASSES:
    seen = sorted(seen, key=lambda each: each['recall'])[:_WORST]
    remark = [f'The {_WORST} worst of {len(result.per_class)} classes.']
  rows = [
    (each['name'], each['count'], f'{each["recall"]:.4f}') for each in seen
  ]
  return [*remark, _markdown(rows, ('class', 'records', 'accuracy'))]


def _markdown(rows: Iterable[Sequence[Any]], headings: Sequence[str]) -> str:
  """Returns a table; names of classes may hold markup."""
  cells = [
    [html.escape(str(cell), quote=False).replace('|', '\\|') for cell in row]
    for row in rows
  ]
  return tabulate.tabulate(
    cells, headings, tablefmt='pipe', disable_numparse=True
  )
