"""Small trained networks, and images to explain."""

import numpy as np
import pytest
from PIL import Image

from engine.config.jobs import VisualizeJob
from tools.visualization import visualize as visualize_lib


@pytest.fixture(scope='session')
def trained(digits, tmp_path_factory):
  """A folder with `cbam` and `plain`, train_dirs of lenet; never changed."""
  from engine.config.jobs import TrainJob
  from engine.training import loop

  folder = tmp_path_factory.mktemp('trained')
  for name, attention in (('cbam', 'cbam_block'), ('plain', None)):
    loop.train(
      TrainJob(
        train_dir=str(folder / name), dataset_name='digits',
        dataset_dir=str(digits), model_name='lenet', batch_size=8,
        attention_module=attention, max_number_of_steps=2, seed=1,
      )
    )  # fmt: skip
  return folder


@pytest.fixture
def visualize(trained, tmp_path):
  """visualize(**options) -> explained images; writes tmp_path/grid.png."""

  def run(name='cbam', **options):
    options = {
      'checkpoint_path': str(trained / name),
      'output_file': str(tmp_path / 'grid.png'),
      **options,
    }
    return visualize_lib.visualize(VisualizeJob(**options), frozenset(options))

  return run


@pytest.fixture(scope='session')
def write_image():
  """write_image(path, size, mode, seed, **options) -> the path as text.

  Writes noise; the size is (width, height).
  """

  def write(path, size=(40, 30), mode='RGB', seed=0, **options):
    depth = {'L': (), 'RGB': (3,), 'RGBA': (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], *depth))
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8), mode).save(path, **options)
    return str(path)

  return write
