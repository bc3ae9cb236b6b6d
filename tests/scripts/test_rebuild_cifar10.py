import importlib.util
import pathlib

import numpy as np
from PIL import Image

SCRIPT = pathlib.Path(__file__).parents[2] / 'scripts/rebuild_cifar10.py'


def test_a_row_is_a_label_and_three_planes(tmp_path):
  spec = importlib.util.spec_from_file_location('rebuild_cifar10', SCRIPT)
  script = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(script)
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
  # The package's form: an image a row, its channels interleaved.
  Image.fromarray(images.reshape(3, 1024, 3)).save(tmp_path / 'batch.png')
  data = script.rebuild(tmp_path / 'batch.png', [7, 0, 9])
  rows = np.frombuffer(data, np.uint8).reshape(3, 3073)
  assert rows[:, 0].tolist() == [7, 0, 9]
  planes = rows[:, 1:].reshape(3, 3, 32, 32)
  assert (planes.transpose(0, 2, 3, 1) == images).all()
