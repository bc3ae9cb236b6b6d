"""Writes the variables and end points of the networks that slim never had.

Usage: .venv/bin/python scripts/update_contract.py [--all | NETWORK ...]

TF-Slim's networks are held to tests/golden/variables.json.gz, which was read
off the originals. The others' checkpoints are ours to keep loadable: they are
held to tests/golden/own_variables.json.gz, to which this adds new networks. Name
one only when its variables are meant to change.
"""

import gzip
import json
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import files  # noqa: E402
from nets.nets_factory import NETWORKS, get_network_fn  # noqa: E402
from tf_compat import tf  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden'
OWN = GOLDEN / 'own_variables.json.gz'


def read(path: pathlib.Path) -> dict[str, Any]:
  """'network+attention' -> image_size, variables, end_points."""
  return json.loads(gzip.decompress(path.read_bytes()))


def describe(name: str) -> dict[str, Any]:
  """What the contract says of a network, built for inference, ten classes."""
  side = NETWORKS[name].image_size
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [2, side, side, 3])
    _, end_points = get_network_fn(name, 10)(images)
    trainable = {v.op.name for v in tf.trainable_variables()}
    variables = [
      [v.op.name, v.shape.as_list(), v.op.name in trainable]
      for v in tf.global_variables()
    ]
  shapes = {key: net.shape.as_list() for key, net in end_points.items()}
  return {'image_size': side, 'variables': variables, 'end_points': shapes}


def main(names: list[str]) -> None:
  """Adds new networks to the file, and replaces those that are named."""
  known = read(OWN) if OWN.exists() else {}
  ours = {f'{n}+none' for n in NETWORKS} - read(
    GOLDEN / 'variables.json.gz'
  ).keys()
  again = ours if names == ['--all'] else {f'{name}+none' for name in names}
  known = {key: known[key] for key in known if key in ours - again}
  for key in sorted(ours - known.keys()):
    print(key)
    known[key] = describe(key.split('+')[0])
  text = json.dumps(known, sort_keys=True)
  with files.replacing(OWN) as part:
    # Without a time, so that the same networks make the same file.
    part.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == '__main__':
  main(sys.argv[1:])
