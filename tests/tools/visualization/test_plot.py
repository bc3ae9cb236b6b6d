"""Maps over images: their colors, scales and files."""

import numpy as np
import pytest
from PIL import Image

from tools.visualization import plot
from tools.visualization.grad_cam import ExplainedImage, Explanation


def explained(seed, points=('block1/sp_at', 'block2/sp_at')):
  """An image of noise, 28 x 28, with maps of noise, 7 x 7."""
  random = np.random.default_rng(seed)
  maps = random.random((1 + len(points), 7, 7))
  return ExplainedImage(
    name=f'{seed}.png',
    image=random.random((28, 28, 1)),
    truth='one',
    explained='two',
    explanation=Explanation(
      2, np.full(4, 0.25), maps[0], dict(zip(points, maps[1:], strict=True))
    ),
  )


def test_scales():
  heat = np.array([[1.0, 2.0], [3.0, 4.0]])
  np.testing.assert_allclose(plot.relative(heat), heat / 4)
  np.testing.assert_allclose(plot.stretched(heat, 1, 4), (heat - 1) / 3)
  zeros = np.zeros([2, 2])
  np.testing.assert_array_equal(plot.relative(zeros), zeros)
  np.testing.assert_array_equal(plot.stretched(heat * 0 + 3, 3, 3), zeros)


@pytest.mark.parametrize('channels', [1, 3])
def test_an_overlay_is_gray_under_the_color_of_the_map(channels):
  image = np.full([28, 28, channels], 0.5)
  large = plot.overlay(image, np.ones([7, 7]))
  assert large.shape == (224, 224, 3)
  color = np.array(plot.COLORS(1.0)[:3])
  expected = (1 - plot.OPACITY) * (0.1 + 0.8 * 0.5) + plot.OPACITY * color
  np.testing.assert_allclose(large, np.broadcast_to(expected, large.shape))


def test_a_single_file_has_the_pixels_of_the_image(tmp_path):
  image = np.random.default_rng(1).integers(0, 256, (30, 20, 3)) / 255
  plot.save_single(image, None, tmp_path / 'image.png')
  with Image.open(tmp_path / 'image.png') as file:
    pixels = np.asarray(file)
  assert pixels.shape == (360, 240, 3)
  np.testing.assert_array_equal(pixels[::12, ::12], np.rint(image * 255))


def test_the_grid_grows_with_images_and_gates(tmp_path):
  sizes = {}
  for count, points in ((1, ()), (1, ('a/sp', 'b/sp')), (3, ('a/sp', 'b/sp'))):
    path = tmp_path / 'grid.png'
    images = [explained(seed, points) for seed in range(count)]
    plot.draw(images, 'a title', path)
    with Image.open(path) as file:
      sizes[count, len(points)] = file.size
  panel = plot.PANEL * 110
  assert sizes[1, 2][0] - sizes[1, 0][0] == pytest.approx(2 * panel, abs=2)
  assert sizes[3, 2][1] > sizes[1, 2][1] + panel


@pytest.mark.parametrize('gates', [0, 1, 2, 4, 7, 12, 16, 33])
@pytest.mark.parametrize('images', [1, 2, 3, 8, 20, 100])
def test_the_grid_is_no_strip(images, gates):
  """It has room for every panel, and at most 2,310 pixels of width."""
  across, columns = plot._shape(images, panels := 2 + gates)
  assert across * columns <= plot.MAX_COLUMNS
  rows = -(-images // across) * -(-panels // columns)
  assert rows * across * columns >= images * panels
  width = across * columns * plot.PANEL
  height = rows * (plot.PANEL + plot.TEXT)
  if images * panels <= 40:
    assert 0.2 < width / height < 4


def test_the_photo_is_seen_through_a_map():
  """Black and white keep more than two fifths of their contrast."""
  photo = np.zeros([28, 28, 1])
  photo[14:] = 1
  for heat in (0.0, 0.5, 1.0):
    large = plot.overlay(photo, np.full([7, 7], heat))
    assert (large[-1, 0] - large[0, 0]).min() > 0.4
