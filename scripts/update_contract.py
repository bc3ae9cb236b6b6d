"""Records the variables and end points of networks that TF-Slim does not have.

Usage: .venv/bin/python scripts/update_contract.py [--all | NETWORK ...]

Checkpoints of all networks must stay loadable. tests/golden/variables.json.gz
records the networks of TF-Slim, as the original code builds them. The others
are in tests/golden/own_variables.json.gz, to which this script adds new
networks. Name a network, to replace its entry, only if its variables are meant
to change.
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
  """Reads 'network+attention' -> image_size, variables, end_points."""
  return json.loads(gzip.decompress(path.read_bytes()))


def describe(name: str) -> dict[str, Any]:
  """Returns the entry of a network, built for inference with ten classes."""
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
  """Adds new networks to the file, and replaces the named ones."""
  known = read(OWN) if OWN.exists() else {}
  ours = {f'{n}+none' for n in NETWORKS} - read(
    GOLDEN / 'variables.json.gz'
  ).keys()
  replaced = ours if names == ['--all'] else {f'{name}+none' for name in names}
  known = {key: known[key] for key in known if key in ours - replaced}
  for key in sorted(ours - known.keys()):
    print(key)
    known[key] = describe(key.split('+')[0])
  text = json.dumps(known, sort_keys=True)
  with files.replacing(OWN) as part:
    # Without a timestamp, the same networks always give the same file.
    part.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == '__main__':
  main(sys.argv[1:])
