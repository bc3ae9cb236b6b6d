"""Converts a source of weights to the variables of one of our networks."""

from __future__ import annotations

import dataclasses
import gzip
import lzma
import math
import os
import pathlib
import re
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

import files
from errors import UserError
from nets import nets_factory
from nets.attention import attention_factory
from tf_compat import tf
from weights import recognition, sources, tensor_files, translation
from weights.architectures import Architecture
from weights.modules import Weights
from weights.slim_releases import RELEASES, Release

# Classes of ImageNet, without and with a background.
IMAGENET_CLASSES = 1000, 1001
# timm's kinds of interpolation -> those of the preprocessing, the nearest of which
# stands for lanczos.
_INTERPOLATIONS = {
  'bilinear': 'bilinear',
  'bicubic': 'bicubic',
  'lanczos': 'bicubic',
}
# What is read of the config.json beside timm's weights.
_HUB_KINDS = {
  'architecture?': str,
  'pretrained_cfg?': {
    'input_size?': [int],
    'crop_pct?': float,
    'interpolation?': str,
    'mean?': [float],
    'std?': [float],
  },
  'label_names?': [str],
}
# Endings of a checkpoint's tensors that are not weights of the network.
_AVERAGE = '/ExponentialMovingAverage'
_SLOTS = re.compile(r'/(Adam(_1)?|Momentum|RMSProp(_1)?|Adagrad)$')
# Files of a checkpoint.
CHECKPOINT_FILE = re.compile(r'\.(index|meta|data-\d+-of-\d+)$')
_INITIAL_AUXILIARY = (
  'The auxiliary classifier, which only training computes, has initial values.'
)
# The most that is unpacked from an archive, in bytes.
_MAX_UNPACKED = 8 << 30


@dataclasses.dataclass(frozen=True)
class Converted:
  """A network with the weights of another project, or of a release.

  Attributes:
    source: where they come from.
    origin: architecture or release, as the tables name it.
    network: our network's name.
    num_classes: width of the logits.
    image_size: height and width of the images, pixels.
    preprocessing: preprocessing, with its options.
    values: variable -> value.
    attention: attention module, or None.
    padding: how strided layers pad, one of nets.layers.PADDINGS.
    class_names: names of the classes, or ().
    notes: what the user should know, in sentences.
    architecture: the weights' entry of the table; None for TF-Slim's own weights.
    weights: the other project's arrays; None for TF-Slim's own weights.
  """

  source: str
  origin: str
  network: str
  num_classes: int
  image_size: int
  preprocessing: str
  values: Mapping[str, np.ndarray]
  attention: str | None = None
  padding: str = 'same'
  class_names: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()
  architecture: Architecture | None = None
  weights: Weights | None = None


def convert(
  source: str, model_name: str | None = None, image_size: int | None = None
) -> Converted:
  """Converts a file of weights, or what a name stands for.

  Args:
    source: see sources.fetch; also a checkpoint of TF-Slim.
    model_name: the network; None recognizes it.
    image_size: height and width of the images, pixels; None takes those of the
      training.

  Raises:
    UserError: if the source cannot be had, read, recognized or converted.
  """
  if model_name:
    nets_factory.NETWORKS[model_name]  # Refuses an unknown name.
  path = sources.fetch(source)
  if path.is_dir():
    raise UserError(
      f'{source} is a folder: pass one of its files, which end in '
      f'{", ".join(tensor_files.ENDINGS)}, or a checkpoint in it.'
    )
  if path.name.endswith(tensor_files.ENDINGS):
    return _convert_weights(source, path, model_name, image_size)
  return _convert_checkpoint(source, path, model_name, image_size)


def _convert_weights(
  source: str,
  path: pathlib.Path,
  model_name: str | None,
  image_size: int | None,
) -> Converted:
  """Converts weights of the first architecture that they fit."""
  weights = tensor_files.read(path)
  hub_facts = _hub_facts(path)
  facts = {**hub_facts, **weights.facts}
  declared = _timm_name(source) or hub_facts.get('architecture')
  refusals = []
  for architecture in recognition.candidates(weights, model_name, declared):
    named = recognition.name_classifier(weights, architecture)
    try:
      num_classes = _num_classes(named, architecture)
      size = image_size or facts.get('image_size', architecture.image_size)
      _check_image_size(source, architecture.network, size)
      network = translation.describe(
        architecture.network,
        num_classes,
        size,
        architecture.attention,
        architecture.padding,
      )
      values = translation.translate(named, architecture, network)
    except UserError as refusal:
      refusals.append(refusal)
      continue
    names = facts.get('class_names', ())
    doubt = recognition.doubt(weights, architecture, declared)
    return Converted(
      source=source,
      origin=architecture.name,
      network=architecture.network,
      num_classes=num_classes,
      image_size=size,
      preprocessing=facts.get('preprocessing', architecture.preprocessing),
      values=values,
      attention=architecture.attention,
      padding=architecture.padding,
      class_names=names if len(names) == num_classes else (),
      notes=(
        *_notes(weights, architecture, network),
        *([doubt] if doubt else []),
      ),
      architecture=architecture,
      weights=named,
    )
  raise min(refusals, key=translation.num_differences)


def _timm_name(source: str) -> str | None:
  """Returns timm's name of a network in a source such as timm:resnet50.a1_in1k."""
  project, _, name = source.partition(':')
  is_name = project == 'timm' and not os.path.exists(source)
  return name.partition('.')[0] if is_name else None


def _num_classes(weights: Weights, architecture: Architecture) -> int:
  """Returns the width of the logits; of other networks, 1000 if unknown.

  Raises:
    UserError: if weights of the architecture lack the layer of the logits.
  """
  width = recognition.num_classes(weights, architecture)
  if width is None and recognition.has_size(weights, architecture):
    raise UserError(
      f'{weights.source} has no layer {architecture.classifier} that computes '
      f'the logits of {architecture.name}: take the weights with their top.'
    )
  return width or IMAGENET_CLASSES[0]


def _check_image_size(source: str, network: str, size: int) -> None:
  """Raises UserError if images are too small for a network."""
  minimum = nets_factory.NETWORKS[network].min_image_size
  if size < minimum:
    raise UserError(
      f'{source}: {network} needs images of at least {minimum} pixels, not of '
      f'{size}: set --image_size.'
    )


def _notes(
  weights: Weights, architecture: Architecture, network: translation.Network
) -> tuple[str, ...]:
  """Returns what the user should know of the conversion."""
  notes = []
  if weights.omitted:
    notes.append(
      f"{weights.omitted} arrays of an optimizer, of averages or of Keras' own "
      'bookkeeping were left out.'
    )
  if weights.converted:
    notes.append(f'{weights.converted} arrays were converted to float32.')
  if network.initial:
    notes.append(_INITIAL_AUXILIARY)
  if not any(v.leaf == 'gamma' for v in network.variables) and any(
    'gamma' in module for module in weights.modules.values()
  ):
    notes.append(
      "Scales of batch norms (gamma) are part of the kernels, as the network's "
      'norms have none.'
    )
  return tuple(notes)


def _hub_facts(path: pathlib.Path) -> dict[str, Any]:
  """Returns what the config.json beside a timm file says of its training."""
  if not path.name.endswith('.safetensors'):
    return {}
  content = files.read_json(
    path.with_name('config.json'),
    _HUB_KINDS,
    'Move it away, to import without it.',
  )
  if not content or 'pretrained_cfg' not in content:
    return {}
  trained = content['pretrained_cfg']
  facts: dict[str, Any] = {}
  if 'architecture' in content:
    facts['architecture'] = content['architecture']
  size = trained.get('input_size')
  if size and len(size) == 3 and size[1] == size[2]:
    facts['image_size'] = size[1]
  options = {
    'crop_fraction': trained.get('crop_pct'),
    'mean': trained.get('mean'),
    'std': trained.get('std'),
    'interpolation': _INTERPOLATIONS.get(trained.get('interpolation')),
  }
  given = [
    f'{name}={tuple(value) if isinstance(value, list) else value!r}'
    for name, value in options.items()
    if value is not None
  ]
  if given:
    facts['preprocessing'] = f'imagenet({", ".join(given)})'
  if content.get('label_names'):
    facts['class_names'] = tuple(content['label_names'])
  return facts


def _convert_checkpoint(
  source: str,
  path: pathlib.Path,
  model_name: str | None,
  image_size: int | None,
) -> Converted:
  """Converts a checkpoint of TF-Slim: the network's variables, without others."""
  release = _release(path.name)
  if release is None and model_name is None:
    raise UserError(
      f'{source} does not say which network it is of: set --model_name.'
    )
  network = model_name or (release.network if release else '')
  if release and network != release.network:
    raise UserError(
      f'{source} holds weights of {release.network}, not of '
      f'--model_name={network}: omit it.'
    )
  spec = nets_factory.NETWORKS[network]
  size = image_size or (release and release.image_size) or spec.image_size
  _check_image_size(source, network, size)
  checkpoint = CHECKPOINT_FILE.sub('', str(path))
  if path.name.endswith(sources.ARCHIVES):
    checkpoint = str(_unpack(path))
  tensors, omitted = _read_checkpoint(
    source, checkpoint, bool(release and release.moving_averages)
  )
  tensors = {spec.own_name(key): value for key, value in tensors.items()}
  num_classes = _count_classes(source, tensors)
  values, initial = _select(
    source, tensors, network, translation.describe(network, num_classes, size)
  )
  omitted += len(tensors.keys() - values.keys())
  notes = [f'{omitted} tensors besides the weights were left out.'] * bool(
    omitted
  )
  if initial:
    notes.append(_INITIAL_AUXILIARY)
  if release:
    notes.append(f'Published top-1 accuracy on ImageNet: {release.accuracy} %.')
  return Converted(
    source=source,
    origin=f'slim:{release.name}' if release else f'slim:{network}',
    network=network,
    num_classes=num_classes,
    image_size=size,
    preprocessing=(release and release.preprocessing) or spec.preprocessing,
    values={**values, **initial},
    notes=tuple(notes),
  )


def _release(name: str) -> Release | None:
  """Returns the release that a file's name tells, or None."""
  stem = re.sub(r'(\.tar\.gz|\.tgz|\.tar|\.ckpt.*)$', '', name)
  return next((each for each in RELEASES.values() if each.name == stem), None)


def _unpack(path: pathlib.Path) -> pathlib.Path:
  """Unpacks the checkpoint in an archive; returns its path."""
  folder = files.temporary_folder('slim_weights_')
  unpacked = 0
  try:
    with tarfile.open(path) as archive:
      for member in archive:
        name = pathlib.PurePosixPath(member.name).name
        if not member.isfile() or '.ckpt' not in name or name.endswith('.meta'):
          continue
        unpacked += member.size
        if unpacked > _MAX_UNPACKED:
          raise UserError(
            f'{path} holds more than {_MAX_UNPACKED >> 30} GB: unpack the '
            'checkpoint to import, and pass its path.'
          )
        with (folder / name).open('wb') as target:
          content = archive.extractfile(member)
          assert content
          shutil.copyfileobj(content, target)
  except (
    tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError,
  ) as error:  # fmt: skip
    raise UserError(
      f'{path} is not a tar archive, or its download was interrupted: {error}.'
    ) from error
  found = {CHECKPOINT_FILE.sub('', each.name) for each in folder.iterdir()}
  if not found:
    raise UserError(
      f'{path} holds no checkpoint of TF-Slim, whose files have names with .ckpt.'
    )
  if len(found) > 1:
    raise UserError(
      f'{path} holds {len(found)} checkpoints ({", ".join(sorted(found))}): '
      'unpack the one to import, and pass its path.'
    )
  return folder / found.pop()


def _read_checkpoint(
  source: str, checkpoint: str, averages: bool
) -> tuple[dict[str, np.ndarray], int]:
  """Returns weights by name, or their moving averages, and how many others."""
  try:
    reader = tf.train.load_checkpoint(checkpoint)
    names = reader.get_variable_to_shape_map()
    types = reader.get_variable_to_dtype_map()
    kept = {
      name: f'{name}{_AVERAGE}'
      if averages and f'{name}{_AVERAGE}' in names
      else name
      for name in names
      if not name.endswith(_AVERAGE)
      and not _SLOTS.search(name)
      and types[name].is_floating
    }
    num_bytes = sum(
      math.prod(names[key]) * types[key].size for key in kept.values()
    )
    tensor_files.check_memory(source, num_bytes)
    tensors = {name: reader.get_tensor(key) for name, key in kept.items()}
  except (tf.errors.OpError, ValueError, RuntimeError) as error:
    problem = str(error).splitlines()[0]
    raise UserError(
      f'{source} is not a checkpoint, or is damaged: {problem}.'
    ) from error
  return tensors, len(names) - len(tensors)


def _count_classes(source: str, tensors: Mapping[str, np.ndarray]) -> int:
  """Returns the number of classes of a checkpoint's logits."""
  widths = {
    value.size
    for name, value in tensors.items()
    if name.endswith(('/biases', '/bias')) and 'aux' not in name.lower()
  }
  num_classes = max(widths & {*IMAGENET_CLASSES}, default=0)
  if not num_classes:
    raise UserError(
      f'{source} has no logits of 1000 or 1001 classes. If the network was '
      'trained on others, unpack it if it is an archive, and fine-tune it by '
      '--checkpoint_path without importing it.'
    )
  return num_classes


def _select(
  source: str,
  tensors: Mapping[str, np.ndarray],
  name: str,
  network: translation.Network,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """Returns a network's values in a checkpoint, and initial ones.

  The initial ones are those of an auxiliary classifier that the checkpoint lacks,
  or has for images of another size.
  """
  shapes = {v.name: v.shape for v in network.variables}
  values = {key: tensors[key] for key in shapes if key in tensors}
  reshaped = [key for key in values if values[key].shape != shapes[key]]
  initial = {
    key: network.initial[key]
    for key in shapes
    if key in network.initial and (key not in values or key in reshaped)
  }
  differing = [
    f'{key} is {list(values[key].shape)}, not {list(shapes[key])}'
    for key in reshaped
    if key not in initial
  ] + [
    f'{key} is missing'
    for key in shapes
    if key not in values and key not in initial
  ]
  if differing:
    raise UserError(
      f'{source} does not fit {name}: {"; ".join(differing[:3])}.'
    )
  unused = {
    key: value.shape for key, value in tensors.items() if key not in shapes
  }
  if attention_factory.has_attention(unused):
    module = attention_factory.recognize(unused) or 'its module'
    unpacked = 'unpack it, and ' * source.endswith(sources.ARCHIVES)
    raise UserError(
      f'{source} was trained with attention, which importing would drop: '
      f"{unpacked}pass it by --checkpoint_path, with --attention_module='{module}'."
    )
  return {k: v for k, v in values.items() if k not in initial}, initial
