"""Speed of the networks, compared with keras.applications; graph building.

Usage: .venv/bin/python benchmarks/networks.py [--parts training building]
    [--networks mobilenet_v2] [--precisions bfloat16] [--seconds 20] …

Prints a Markdown table for each part:
  inference  images/s of evaluation's graph, compared with predict_on_batch
  training   images/s of SGD with momentum, compared with train_on_batch
  folding    what folding batch norm gains: images/s of evaluation's graph, whose
             folded kernels are variables, compared with the network as it is
             and with folded kernels that are constants
  building   processor seconds to build each training graph, slowest first

Every side runs in its own process, with the same random images, batch size and
image size, without L2. Keras is version 3, with and without XLA; the ratios
compare with the faster of the two. Sides take turns, and the median turn is
printed.
"""

import argparse
import dataclasses
import itertools
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks.turns import Step, serve
from benchmarks.turns import measure as take_turns

PEERS = {
  'resnet_v1_50': 'ResNet50',
  'inception_v4': 'InceptionResNetV2',  # Keras has no Inception v4.
  'mobilenet_v2': 'MobileNetV2',
}
PRECISIONS = ('float32', 'bfloat16')
PARTS = ('inference', 'training', 'folding', 'building')
CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Spec:
  """A step that a side computes."""

  network: str
  training: bool
  precision: str
  batch: int
  image_size: int
  attention: str = 'none'


def random_batch(spec: Spec):
  """Returns random images in [-1, 1] and labels."""
  import numpy as np

  rng = np.random.default_rng(0)
  shape = (spec.batch, spec.image_size, spec.image_size, 3)
  images = rng.uniform(-1, 1, shape).astype(np.float32)
  return images, rng.integers(0, CLASSES, spec.batch)


# The sides: functions that build a step, compiled and ready to run.


def slim_step(
  spec: Spec, fold: bool = True, build_network: Callable | None = None
) -> Step:
  """Returns session.run of the graph, in the precision of a spec.

  Args:
    spec: what to compute.
    fold: whether to fold batch norm for inference, as evaluation does.
    build_network: builds images and logits of a spec in place of `build`.
  """
  from deployment.devices import session_config
  from nets import folding
  from tf_compat import tf

  images, labels = random_batch(spec)
  placeholder, fetch = (build_network or build)(spec)
  fill = tf.no_op()
  if spec.training:
    fetch = train_op(fetch, tf.constant(labels))
  elif fold:
    fetch, fill = folding.fold(placeholder, fetch)
  session = tf.Session(config=session_config(spec.precision))
  initialize(session)
  session.run(fill)
  return lambda: session.run(fetch, {placeholder: images})


def constant_step(spec: Spec) -> Step:
  """Returns session.run of a graph whose folded kernels are constants."""
  import numpy as np

  from deployment.devices import session_config
  from nets import folding
  from tf_compat import tf

  images, _ = random_batch(spec)
  placeholder, logits = build(spec)
  folded, fill = folding.fold(placeholder, logits)
  feed = {placeholder.name: images}
  with tf.Session() as session:
    initialize(session)
    session.run(fill)
    expected = session.run(logits, feed)
    graph = tf.graph_util.convert_variables_to_constants(
      session, session.graph_def, [folded.op.name]
    )
  with tf.Graph().as_default() as frozen:
    tf.import_graph_def(graph, name='')
  session = tf.Session(graph=frozen, config=session_config(spec.precision))
  if spec.precision == 'float32':
    actual = session.run(folded.name, feed)
    np.testing.assert_allclose(actual, expected, atol=1e-3 * expected.std())
  return lambda: session.run(folded.name, feed)


def initialize(session) -> None:
  """Gives variables their first values, and batch norm a mean.

  Without one, TensorFlow would leave out what adds an offset of zero.
  """
  import numpy as np

  from tf_compat import tf

  session.run(tf.global_variables_initializer())
  rng = np.random.default_rng(0)
  for variable in tf.global_variables():
    if variable.op.name.endswith('/moving_mean'):
      variable.load(rng.normal(0, 0.1, variable.shape.as_list()), session)


def keras_step(spec: Spec, jit_compile: bool) -> Step:
  """Returns train_on_batch or predict_on_batch of Keras 3."""
  import keras

  if spec.precision == 'bfloat16':
    keras.mixed_precision.set_dtype_policy('mixed_bfloat16')
  images, labels = random_batch(spec)
  model = getattr(keras.applications, PEERS[spec.network])(
    weights=None,
    input_shape=(spec.image_size, spec.image_size, 3),
    classes=CLASSES,
    classifier_activation=None,
  )
  model.compile(
    keras.optimizers.SGD(0.01, momentum=0.9),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    jit_compile=jit_compile,
  )
  if spec.training:
    return lambda: model.train_on_batch(images, labels)
  return lambda: model.predict_on_batch(images)


SIDES = {
  'slim': slim_step,
  'unfolded': lambda spec: slim_step(spec, fold=False),
  'constants': constant_step,
  'keras': lambda spec: keras_step(spec, jit_compile=False),
  'keras_xla': lambda spec: keras_step(spec, jit_compile=True),
}


def build(spec: Spec, batch: int | None = None):
  """Builds the images' placeholder and the logits in the default graph."""
  from nets.nets_factory import NETWORKS, get_network_fn
  from tf_compat import tf

  # The networks of Keras have no auxiliary heads.
  compared = spec.network in PEERS and NETWORKS[spec.network].aux_logits
  plain = {'create_aux_logits': False} if compared else {}
  shape = [batch or spec.batch, spec.image_size, spec.image_size, 3]
  images = tf.placeholder(tf.float32, shape, 'images')
  fn = get_network_fn(
    spec.network,
    CLASSES,
    is_training=spec.training,
    attention_module=spec.attention,
  )
  return images, fn(images, **plain)[0]


def train_op(logits, labels):
  """Returns a step of SGD with momentum and batch norm, and its loss."""
  from tf_compat import tf

  loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  with tf.control_dependencies(updates):
    # As in training.
    step = tf.train.MomentumOptimizer(0.01, 0.9).minimize(
      loss, gate_gradients=tf.train.Optimizer.GATE_NONE
    )
  return step, loss


def measure(
  sides: Sequence[str], spec: Spec, turns: int, seconds: float
) -> dict[str, float]:
  """Returns side -> images/s, the median of its turns."""
  text = json.dumps(dataclasses.asdict(spec))
  commands = {side: [sys.executable, __file__, side, text] for side in sides}
  measured = take_turns(commands, turns, seconds)
  return {side: found.speed for side, found in measured.items()}


# The parts.


def multiply_adds(spec: Spec) -> tuple[int, int]:
  """Returns the multiply-adds per image of our network and its Keras peer.

  tf_keras builds the peer in graph mode, the same network as in Keras 3.
  """
  import tf_keras

  from nets import complexity
  from tf_compat import tf

  with tf.Graph().as_default():
    _, ours = build(dataclasses.replace(spec, training=False), batch=1)
    shape = (1, spec.image_size, spec.image_size, 3)
    peer = getattr(tf_keras.applications, PEERS[spec.network])(
      weights=None, input_tensor=tf_keras.Input(batch_shape=shape)
    )
    return complexity.multiply_adds(ours), complexity.multiply_adds(peer.output)


def beside_keras(specs: Iterable[Spec], turns: int, seconds: float) -> None:
  """Prints images/s of our network and its peer; above 1, ours is faster."""
  print(
    '| network | precision | batch | images/s | peer | images/s | with XLA '
    '| per image | per multiply-add |'
  )
  print('|---|---|---:|---:|---|---:|---:|---:|---:|')
  for spec in specs:
    speeds = measure(('slim', 'keras', 'keras_xla'), spec, turns, seconds)
    ours, peers = multiply_adds(spec)
    ratio = speeds['slim'] / max(speeds['keras'], speeds['keras_xla'])
    print(
      f'| {spec.network} | {spec.precision} | {spec.batch} '
      f'| {speeds["slim"]:.1f} | {PEERS[spec.network]} '
      f'| {speeds["keras"]:.1f} | {speeds["keras_xla"]:.1f} '
      f'| {ratio:.2f} | {ratio * ours / peers:.2f} |',
      flush=True,
    )


def folding(specs: Iterable[Spec], turns: int, seconds: float) -> None:
  """Prints images/s with batch norm, and folded into variables and constants."""
  print(
    '| network | attention | precision | batch | images/s | folded | constants |'
  )
  print('|---|---|---|---:|---:|---:|---:|')
  for spec in specs:
    sides = ('unfolded', 'slim', 'constants')
    speeds = measure(sides, spec, turns, seconds)
    plain = speeds['unfolded']
    print(
      f'| {spec.network} | {spec.attention} | {spec.precision} | {spec.batch} '
      f'| {plain:.1f} | {speeds["slim"] / plain:.2f} x '
      f'| {speeds["constants"] / plain:.2f} x |',
      flush=True,
    )


def building(names: Iterable[str]) -> None:
  """Prints seconds to build each training graph, slowest first."""
  build_seconds('lenet')  # Warm up: the first graph of a process takes longer.
  rows = sorted(((*build_seconds(name), name) for name in names), reverse=True)
  print('| network | seconds | of them the network | operations |')
  print('|---|---:|---:|---:|')
  for total, network, operations, name in rows:
    print(f'| {name} | {total:.1f} | {network:.1f} | {operations:,} |')


def build_seconds(name: str) -> tuple[float, float, int]:
  """Measures the building of a training graph, which takes one thread.

  Returns:
    Processor seconds for the graph, those for its network, and the number of
    the graph's operations.
  """
  from nets.nets_factory import NETWORKS
  from tf_compat import tf

  spec = Spec(name, True, 'float32', 2, NETWORKS[name].image_size)
  with tf.Graph().as_default() as graph:
    began = time.process_time()
    _, logits = build(spec)
    built = time.process_time()
    train_op(logits, tf.zeros([spec.batch], tf.int32))
    ended = time.process_time()
    return ended - began, built - began, len(graph.get_operations())


def specs(options: argparse.Namespace, part: str) -> Iterator[Spec]:
  """Yields a spec for each network, attention and precision."""
  from nets.nets_factory import NETWORKS

  # The networks of Keras have no attention.
  attentions = options.attention if part == 'folding' else ['none']
  for network, attention, precision in itertools.product(
    options.networks, attentions, options.precisions
  ):
    size = options.image_size or NETWORKS[network].image_size
    is_training = part == 'training'
    yield Spec(network, is_training, precision, options.batch, size, attention)


def parse() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS)
  parser.add_argument('--networks', nargs='+', choices=PEERS, default=[*PEERS])
  parser.add_argument(
    '--precisions', nargs='+', choices=PRECISIONS, default=PRECISIONS
  )
  parser.add_argument(
    '--attention',
    nargs='+',
    metavar='MODULE',
    default=['none', 'cbam_block'],
    help='attention modules of the part folding',
  )
  parser.add_argument('--batch', type=int, default=16)
  parser.add_argument(
    '--image_size', type=int, help='in pixels; default: that of each network'
  )
  parser.add_argument('--turns', type=int, default=5, help='turns of each side')
  parser.add_argument(
    '--seconds', type=float, default=15, help='seconds per turn'
  )
  parser.add_argument(
    '--build', nargs='+', metavar='NAME', help='networks to build; default: all'
  )
  return parser.parse_args()


def main(options: argparse.Namespace) -> None:
  """Prints the tables of the requested parts."""
  from nets.nets_factory import NETWORKS

  for part in options.parts:
    print(f'\n### {part.capitalize()}\n', flush=True)
    if part == 'building':
      building(options.build or NETWORKS)
      continue
    compare = folding if part == 'folding' else beside_keras
    compare(specs(options, part), options.turns, options.seconds)


if __name__ == '__main__':
  if sys.argv[1:2] and sys.argv[1] in SIDES:
    wanted = Spec(**json.loads(sys.argv[2]))
    serve(SIDES[sys.argv[1]](wanted), wanted.batch)
  else:
    main(parse())
