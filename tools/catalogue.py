"""Size and cost of all networks, or of the layers of one: list_networks.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tabulate import tabulate

from engine import console
from engine.config import resolve
from engine.config.jobs import ListJob
from nets import complexity
from nets.nets_factory import NETWORKS, get_network_fn
from nets.spec import NetworkSpec
from tf_compat import tf

# Networks for images smaller than SMALL_SIDE pixels have SMALL_CLASSES classes,
# as their data sets do; others have ImageNet's.
SMALL_SIDE, SMALL_CLASSES, CLASSES = 64, 10, 1000

HEADINGS = (
  'network',
  'image size',
  'classes',
  'parameters',
  'multiply-adds',
  'blocks',
  'stages',
  'preprocessing',
  'strides',
)
LAYER_HEADINGS = ('layer', 'output', 'parameters', 'multiply-adds')
Row = Sequence[str]


@dataclasses.dataclass(frozen=True)
class Figures:
  """Size and cost of a network.

  Attributes:
    image_size: side of the image, in pixels.
    classes: number of logits.
    parameters: trainable parameters, without those of auxiliary heads.
    multiply_adds: multiply-adds of one image.
  """

  image_size: int
  classes: int
  parameters: int
  multiply_adds: int


def print_networks(job: ListJob, explicit: Collection[str]) -> None:
  """Prints a table of all networks, or of the layers of one, to stdout.

  Args:
    job: options of list_networks.py; with model_name, prints its layers.
    explicit: the options set by flags; unused.

  Raises:
    UserError: if a name is unknown, or the image size is too small.
  """
  del explicit
  attention: dict[str, Any] = resolve.check_attention(job)
  job = dataclasses.replace(job, **attention)
  names = [job.model_name] if job.model_name else NETWORKS
  networks = [NETWORKS[name] for name in names]
  if job.image_size:
    for network in networks:
      resolve.check_size('image_size', job.image_size, network)
  if job.model_name:
    rows = layer_rows(layers(networks[0], job))
    print(aligned(LAYER_HEADINGS, rows))
  else:
    by_name = measure(networks, job)
    rows = [row(NETWORKS[name], costs) for name, costs in by_name.items()]
    print(aligned(HEADINGS, rows))


def layers(network: NetworkSpec, job: ListJob) -> list[complexity.Layer]:
  """Builds a network for inference on one image, and returns its layers."""
  side, classes = _size_and_classes(network, job)
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [1, side, side, network.channels or 3])
    logits, _ = get_network_fn(
      network.name,
      classes,
      attention_module=job.attention_module,
      attention_placement=job.attention_placement,
      padding=job.padding,
    )(images)
    return complexity.layers(logits)


def figures(network: NetworkSpec, job: ListJob) -> Figures:
  """Builds a network with the job's options, and returns its size and cost."""
  size = _size_and_classes(network, job)
  return Figures(*size, *complexity.total(layers(network, job)))


def measure(
  networks: Sequence[NetworkSpec], job: ListJob
) -> dict[str, Figures]:
  """Returns name -> figures of several networks; shows a progress bar."""
  by_name = {}
  with console.bar(len(networks), unit='network') as bar:
    for network in networks:
      bar.set_postfix_str(network.name)
      by_name[network.name] = figures(network, job)
      bar.update()
  return by_name


def row(network: NetworkSpec, costs: Figures) -> Row:
  """Returns the cells of a network, in the order of HEADINGS."""
  return (
    network.name,
    f'{costs.image_size}',
    f'{costs.classes}',
    f'{costs.parameters:,}',
    millions(costs.multiply_adds),
    f'{network.attention_points}',
    f'{network.stage_points}',
    network.preprocessing,
    network.strides,
  )


def layer_rows(network_layers: Sequence[complexity.Layer]) -> list[Row]:
  """Returns the cells of layers, in the order of LAYER_HEADINGS, and a sum."""
  rows = [
    (
      layer.name,
      ' x '.join(map(str, layer.shape)),
      f'{layer.parameters:,}',
      f'{layer.multiply_adds:,}',
    )
    for layer in network_layers
  ]
  sums = (f'{total:,}' for total in complexity.total(network_layers))
  return [*rows, ('total', '', *sums)]


def millions(multiply_adds: int) -> str:
  """3482255360 -> '3,482.3 M'."""
  return f'{multiply_adds / 1e6:,.1f} M'


def aligned(headings: Row, rows: Iterable[Row]) -> str:
  """Formats a table as plain text: numbers on the right, texts on the left."""
  return _table(headings, list(rows), 'plain')


def markdown(headings: Row, rows: Iterable[Row]) -> str:
  """Formats a table in Markdown, with the first column as code."""
  rows = [(f'`{name}`', *cells) for name, *cells in rows]
  return _table(headings, rows, 'pipe')


def _table(headings: Row, rows: Sequence[Row], tablefmt: str) -> str:
  """Formats a table whose first row shows which columns are numbers."""
  alignments = ['right' if _is_number(cell) else 'left' for cell in rows[0]]
  # The cells stay as they are: tabulate would turn '1,000' into 1000.
  return tabulate(
    rows,
    headings,
    tablefmt=tablefmt,
    colalign=alignments,
    disable_numparse=True,
  )


def _is_number(cell: str) -> bool:
  """Whether a cell is a number, with or without a unit, and no shape."""
  return cell[:1].isdigit() and ' x ' not in cell


def _size_and_classes(network: NetworkSpec, job: ListJob) -> tuple[int, int]:
  """Returns image size and classes: the job's, or the network's defaults."""
  is_small = network.image_size < SMALL_SIDE
  classes = SMALL_CLASSES if is_small else CLASSES
  return job.image_size or network.image_size, job.num_classes or classes
