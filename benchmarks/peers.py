"""Speed beside other libraries, in turns in one run.

Usage: .venv/bin/python benchmarks/peers.py [--networks mobilenet_v2]
    [--attention none] [--modes inference] [--environment DIR] …

Prints a Markdown table of images/s in float32 and, in parentheses, how many
times as fast this project is as each peer; then one of the largest resident
memory of each process, in MB. In training, a step is one of SGD
with momentum, with batch norm's updates. Peers:
  graph     the graph as TF-Slim wrote it: for resnet_v1_50 without attention
            tf_slim.nets; else this project's network without folded batch norm,
            with attention as plain formulas (plain_attention.py)
  keras     keras.applications of Keras 3, without and with XLA
  timm      timm's network of that name in PyTorch, channels last, run eagerly
  inductor  the same, compiled by torch.compile; inference only
  openvino  this project's ONNX file in OpenVINO; inference only

PyTorch, timm and OpenVINO are installed in an environment of their own, which is
created if it is missing. Every side runs in its own process, on all cores.
"""

import argparse
import dataclasses
import importlib
import itertools
import json
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import networks
from benchmarks.networks import Spec
from benchmarks.turns import Measured, Step, measure, serve

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODES = ('training', 'inference')
ATTENTION = ('none', 'cbam_block')
# Networks of timm; of those with CBAM, only its ResNets take a module.
TIMM = {
  'resnet_v1_50': 'resnet50',
  'inception_v4': 'inception_v4',
  'mobilenet_v2': 'mobilenetv2_100',
}
TIMM_ATTENTION = {'resnet_v1_50'}


# Sides of this environment.


def graph(spec: Spec) -> Step:
  """Returns a step of the graph as TF-Slim wrote it."""
  from unittest import mock

  from benchmarks import plain_attention
  from nets.attention import attention_factory
  from registry import Table

  if spec.attention == 'none':
    return networks.slim_step(spec, fold=False, build_network=_build_tf_slim)
  modules = attention_factory.ATTENTION_MODULES
  formula = dataclasses.replace(
    modules[spec.attention], function=plain_attention.MODULES[spec.attention]
  )
  table = Table('attention module', [formula])
  with mock.patch.object(attention_factory, 'ATTENTION_MODULES', table):
    return networks.slim_step(spec, fold=False)


def _build_tf_slim(spec: Spec):
  """Builds the placeholder of images and the logits of tf_slim.nets."""
  from tf_compat import slim, tf

  resnet_v1 = importlib.import_module('tf_slim.nets.resnet_v1')
  shape = [spec.batch, spec.image_size, spec.image_size, 3]
  images = tf.placeholder(tf.float32, shape, 'images')
  with slim.arg_scope(resnet_v1.resnet_arg_scope()):
    logits, _ = resnet_v1.resnet_v1_50(
      images, networks.CLASSES, is_training=spec.training
    )
  return images, tf.reshape(logits, [spec.batch, networks.CLASSES])


def export(spec: Spec, path: str) -> None:
  """Writes the network with random weights as ONNX."""
  from tf_compat import tf
  from tools.export import network, onnx

  with tf.Session() as session:
    _, logits = networks.build(spec)
    tf.nn.softmax(logits, name=network.PROBABILITIES)
    networks.initialize(session)
    frozen = network.freeze(session, lambda pixels: pixels)
  names = tuple(map(str, range(networks.CLASSES)))
  onnx.write(frozen, names, pathlib.Path(path))


# Sides of the environment of peers, in which TensorFlow is missing.


def timm(spec: Spec) -> Step:
  """Returns a step of timm's network in PyTorch."""
  return _torch_step(spec, _timm(spec))


def inductor(spec: Spec) -> Step:
  """Returns a step of timm's network, compiled by PyTorch."""
  import torch

  return _torch_step(spec, torch.compile(_timm(spec)))


def _timm(spec: Spec):
  import timm
  import torch

  more = {}
  if spec.attention != 'none':
    more['block_args'] = {'attn_layer': spec.attention.removesuffix('_block')}
  model = timm.create_model(
    TIMM[spec.network], num_classes=networks.CLASSES, **more
  )
  model = model.to(memory_format=torch.channels_last)
  return model.train(spec.training)


def _torch_step(spec: Spec, model) -> Step:
  import torch

  pixels, labels = networks.random_batch(spec)
  images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
  labels = torch.from_numpy(labels)
  optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

  def train():
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()

  def infer():
    with torch.inference_mode():
      return model(images).numpy()

  return train if spec.training else infer


def openvino(spec: Spec, path: str) -> Step:
  """Returns a step of the exported network in OpenVINO."""
  import openvino

  pixels, _ = networks.random_batch(spec)
  core = openvino.Core()
  model = core.read_model(path)
  model.reshape(pixels.shape)
  # OpenVINO would take bfloat16 where the processor has it.
  compiled = core.compile_model(
    model, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'}
  )
  return lambda: compiled(pixels)


@dataclasses.dataclass(frozen=True)
class Side:
  """One of the compared programs.

  Attributes:
    step: builds its step of a Spec; of an ONNX file, too, for OpenVINO.
    of_peers: whether it runs in the environment of peers.
    modes: what it does.
    is_known: whether it has the network with the attention.
  """

  step: Callable[..., Step]
  of_peers: bool
  modes: tuple[str, ...]
  is_known: Callable[[Spec], bool]


def _has_graph(spec: Spec) -> bool:
  return spec.attention != 'none' or spec.network == 'resnet_v1_50'


def _is_plain(spec: Spec) -> bool:
  return spec.attention == 'none'


def _has_timm(spec: Spec) -> bool:
  return spec.attention == 'none' or spec.network in TIMM_ATTENTION


def _always(spec: Spec) -> bool:
  del spec
  return True


SIDES = {
  'slim': Side(networks.slim_step, False, MODES, _always),
  'graph': Side(graph, False, MODES, _has_graph),
  'keras': Side(networks.SIDES['keras'], False, MODES, _is_plain),
  'keras_xla': Side(networks.SIDES['keras_xla'], False, MODES, _is_plain),
  'timm': Side(timm, True, MODES, _has_timm),
  'inductor': Side(inductor, True, ('inference',), _has_timm),
  'openvino': Side(openvino, True, ('inference',), _always),
}


# The parent.


def environment(folder: pathlib.Path) -> pathlib.Path:
  """Returns the Python of the environment of peers, created if missing."""
  python = folder / 'bin' / 'python'
  if not python.exists():
    subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
  subprocess.run(
    [
      python, '-m', 'pip', 'install', '--quiet',
      '--requirement', ROOT / 'benchmarks' / 'peers.txt',
    ],
    check=True,
    stdout=sys.stderr,
  )  # fmt: skip
  return python


def commands(
  spec: Spec, peers_python: pathlib.Path, onnx: str
) -> dict[str, list[str]]:
  """Returns the command of each side that has the step."""
  mode = MODES[0] if spec.training else MODES[1]
  text = json.dumps(dataclasses.asdict(spec))
  return {
    name: [
      str(peers_python if side.of_peers else sys.executable),
      __file__, name, text, *([onnx] if side.step is openvino else []),
    ]
    for name, side in SIDES.items()
    if mode in side.modes and side.is_known(spec)
  }  # fmt: skip


def speeds(measured: dict[str, Measured]) -> Iterator[str]:
  """Yields '12.3 (1.10)' for each side: images/s, and ours divided by them."""
  ours = measured['slim'].speed
  for side in SIDES:
    if side == 'slim':
      yield f'{ours:.1f}'
    elif side in measured:
      speed = measured[side].speed
      yield f'{speed:.1f} ({ours / speed:.2f})'
    else:
      yield '–'


def print_header() -> None:
  """Prints the head of a table."""
  print('| step | network |', ' | '.join(SIDES), '|')
  print('|---|---|' + '---:|' * len(SIDES))


def processor() -> str:
  """Returns the processor's name and its vector instructions, if known."""
  lines = {}
  path = pathlib.Path('/proc/cpuinfo')
  if path.exists():
    for line in path.read_text().splitlines():
      key, _, value = line.partition(':')
      lines[key.strip()] = value.strip()
  flags = lines.get('flags', '').split()
  wanted = ('avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_tile')
  found = ', '.join(name for name in wanted if name in flags)
  return f'{lines.get("model name", platform.processor())} ({found})'


def parse() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--networks', nargs='+', choices=TIMM, default=[*TIMM])
  parser.add_argument(
    '--attention', nargs='+', choices=ATTENTION, default=ATTENTION
  )
  parser.add_argument('--modes', nargs='+', choices=MODES, default=MODES)
  parser.add_argument('--batch', type=int, default=16)
  parser.add_argument(
    '--image_size', type=int, help='in pixels; default: that of each network'
  )
  parser.add_argument('--turns', type=int, default=5, help='turns of each side')
  parser.add_argument(
    '--seconds', type=float, default=10, help='seconds per turn'
  )
  parser.add_argument(
    '--environment',
    type=pathlib.Path,
    default=ROOT / '.venv-peers',
    help='folder of the environment of PyTorch, timm and OpenVINO',
  )
  return parser.parse_args()


def main(options: argparse.Namespace) -> None:
  """Prints the table."""
  from nets.nets_factory import NETWORKS

  python = environment(options.environment)
  print(f'{processor()}, batches of {options.batch}, float32\n')
  print_header()
  memories = []
  rows = itertools.product(options.modes, options.networks, options.attention)
  for mode, network, attention in rows:
    size = options.image_size or NETWORKS[network].image_size
    is_training = mode == 'training'
    spec = Spec(network, is_training, 'float32', options.batch, size, attention)
    with tempfile.TemporaryDirectory() as folder:
      onnx = f'{folder}/model.onnx'
      if not is_training:
        text = json.dumps(dataclasses.asdict(spec))
        subprocess.run(
          [sys.executable, __file__, 'export', text, onnx], check=True
        )
      measured = measure(
        commands(spec, python, onnx), options.turns, options.seconds
      )
    module = '' if attention == 'none' else f', {attention}'
    row = f'| {mode} | {network}{module} |'
    print(row, ' | '.join(speeds(measured)), '|', flush=True)
    memory = (
      f'{measured[side].memory:.0f}' if side in measured else '–'
      for side in SIDES
    )
    memories.append(f'{row} {" | ".join(memory)} |')
  print('\nLargest resident memory, MB:\n')
  print_header()
  print('\n'.join(memories))


if __name__ == '__main__':
  if len(sys.argv) > 2 and sys.argv[1] in (*SIDES, 'export'):
    name, text, *paths = sys.argv[1:]
    wanted = Spec(**json.loads(text))
    if name == 'export':
      export(wanted, *paths)
    else:
      serve(SIDES[name].step(wanted, *paths), wanted.batch)
  else:
    main(parse())
