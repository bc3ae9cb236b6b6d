"""The catalogue of networks: what each is and costs, and one layer by layer."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence

from engine import console, resolve
from engine.job import ListJob
from nets import cost
from nets.nets_factory import NETWORKS, get_network_fn
from nets.network import Network
from tf_compat import tf

# Classes of the data that small images come from, and of ImageNet.
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
  """What building a network showed.

  Attributes:
    image_size: side of the one image, pixels.
    classes: width of the logits.
    parameters: trainable ones behind the logits: auxiliary heads have others.
    multiply_adds: of the one image.
  """

  image_size: int
  classes: int
  parameters: int
  multiply_adds: int


def print_networks(job: ListJob, given: Collection[str]) -> None:
  """Prints all networks, or the layers of the one that is named.

  Args:
    job: what to build; see ListJob.
    given: names of the flags given; none of them makes a difference here.

  Raises:
    UserError: for unknown names, and an image size that is too small.
  """
  del given
  job = dataclasses.replace(job, **resolve.attention_of(job))
  names = [job.model_name] if job.model_name else NETWORKS
  networks = [NETWORKS[name] for name in names]
  if job.image_size:
    for network in networks:
      resolve.check_size('image_size', job.image_size, network)
  if job.model_name:
    print(aligned(LAYER_HEADINGS, layer_rows(layers(*networks, job))))
  else:
    found = measure(networks, job)
    print(
      aligned(HEADINGS, [row(NETWORKS[name], found[name]) for name in found])
    )


def layers(network: Network, job: ListJob) -> list[cost.Layer]:
  """The layers of a network as evaluation builds it, for one image."""
  side, classes = _size_and_classes(network, job)
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [1, side, side, network.channels or 3])
    logits, _ = get_network_fn(
      network.name,
      classes,
      attention_module=job.attention_module,
      attention_placement=job.attention_placement,
    )(images)
    return cost.layers(logits)


def figures(network: Network, job: ListJob) -> Figures:
  """What a network costs as the job asks for it."""
  size = _size_and_classes(network, job)
  return Figures(*size, *cost.total(layers(network, job)))


def measure(networks: Sequence[Network], job: ListJob) -> dict[str, Figures]:
  """Name -> figures; a bar shows which network is being built."""
  found = {}
  with console.bar(len(networks), unit='network') as bar:
    for network in networks:
      bar.set_postfix_str(network.name)
      found[network.name] = figures(network, job)
      bar.update()
  return found


def row(network: Network, found: Figures) -> Row:
  """One line of the catalogue, under HEADINGS."""
  return (
    network.name,
    f'{found.image_size}',
    f'{found.classes}',
    f'{found.parameters:,}',
    millions(found.multiply_adds),
    f'{network.attention_points}',
    f'{network.stage_points}',
    network.preprocessing,
    network.strides,
  )


def layer_rows(found: Sequence[cost.Layer]) -> list[Row]:
  """The lines of one network, under LAYER_HEADINGS, and their sum."""
  rows = [
    (
      layer.name,
      ' x '.join(map(str, layer.shape)),
      f'{layer.parameters:,}',
      f'{layer.multiply_adds:,}',
    )
    for layer in found
  ]
  return [*rows, ('total', '', *(f'{sum_:,}' for sum_ in cost.total(found)))]


def millions(multiply_adds: int) -> str:
  """3482255360 -> '3,482.3 M'."""
  return f'{multiply_adds / 1e6:,.1f} M'


def aligned(headings: Row, rows: Iterable[Row]) -> str:
  """A table as plain text: numbers to the right, texts to the left."""
  rows = list(rows)
  widths = [
    max(map(len, column)) for column in zip(headings, *rows, strict=True)
  ]
  right = [_is_number(cell) for cell in rows[0]]
  return '\n'.join(
    '  '.join(
      cell.rjust(width) if numeric else cell.ljust(width)
      for cell, width, numeric in zip(line, widths, right, strict=True)
    ).rstrip()
    for line in (headings, *rows)
  )


def markdown(headings: Row, rows: Iterable[Row]) -> str:
  """The same table in Markdown, names as code."""
  rows = list(rows)
  right = [_is_number(cell) for cell in rows[0]]
  lines = [f'`{name}`' for name, *_ in rows]
  return '\n'.join(
    '| ' + ' | '.join(cells) + ' |'
    for cells in (
      headings,
      ['---:' if numeric else '---' for numeric in right],
      *([name, *cells] for name, (_, *cells) in zip(lines, rows, strict=True)),
    )
  )


def _is_number(cell: str) -> bool:
  return cell[:1].isdigit() and ' x ' not in cell


def _size_and_classes(network: Network, job: ListJob) -> tuple[int, int]:
  """The side of images and the classes: those asked for, or its own."""
  usual = SMALL_CLASSES if network.image_size < SMALL_SIDE else CLASSES
  return job.image_size or network.image_size, job.num_classes or usual
