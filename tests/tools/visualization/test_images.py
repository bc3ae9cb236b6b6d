"""The images to explain: files of any kind, folders, lists."""

import pathlib

import numpy as np
from PIL import Image

from engine.config import resolve
from engine.config.jobs import VisualizeJob
from tools.visualization import images


def test_images_of_any_kind(visualize, write_image, tmp_path):
  kinds = {
    'gray.png': ((40, 30), 'L'),
    'color.jpg': ((40, 30), 'RGB'),
    'transparent.png': ((40, 30), 'RGBA'),
    'tiny.png': ((1, 1), 'RGB'),
    'flat.bmp': ((300, 2), 'L'),
    'still.gif': ((40, 30), 'L'),
  }
  paths = [write_image(tmp_path / name, *kind) for name, kind in kinds.items()]
  explained = visualize(images=','.join(paths))
  assert [image.name for image in explained] == list(kinds)
  for image in explained:
    assert image.image.shape == (28, 28, 1)
    assert np.isfinite(image.explanation.grad_cam).all()


def test_photos_are_rotated_as_their_exif_says(visualize, tmp_path):
  """A phone stores pixels unrotated, and the orientation in EXIF."""
  pixels = np.zeros((28, 28), np.uint8)
  pixels[:, :14] = 255
  image, exif = Image.fromarray(pixels), Image.Exif()
  exif[0x0112] = 6  # to be rotated clockwise by 90 degrees
  image.save(tmp_path / 'turned.png', exif=exif)
  image.rotate(-90).save(tmp_path / 'upright.png')
  turned, upright = visualize(
    images=f'{tmp_path}/turned.png,{tmp_path}/upright.png'
  )
  np.testing.assert_array_equal(turned.image, upright.image)


def test_a_damaged_image_is_skipped_with_a_message(
  visualize, write_image, tmp_path, capsys
):
  intact = write_image(tmp_path / 'photos' / 'intact.png')
  content = pathlib.Path(intact).read_bytes()
  (tmp_path / 'photos' / 'half.png').write_bytes(content[: len(content) // 2])
  explained = visualize(images=str(tmp_path / 'photos'))
  assert [image.name for image in explained] == ['intact.png']
  assert 'half.png cannot be read as an image' in capsys.readouterr().err


def test_folders_are_sorted_lists_are_not_num_images_limits_both(
  visualize, write_image, tmp_path, capsys
):
  folder = tmp_path / 'a, b'
  for name in ('2.png', '1.JPG', 'notes.txt', '3.png'):
    if name == 'notes.txt':
      (folder / name).write_text('no image')
    else:
      write_image(folder / name)
  names = [p.name for p in visualize(images=str(folder), num_images=2)]
  assert names == ['1.JPG', '2.png']
  assert 'first 2 of 3 images' in capsys.readouterr().err
  other = write_image(tmp_path / 'x.png')
  names = [p.name for p in visualize(images=f'{other}, {tmp_path}/./x.png')]
  assert names == ['x.png', 'x.png']


def test_records_at_positions_are_those_of_the_evaluation(trained):
  options = {'checkpoint_path': str(trained / 'cbam'), 'num_images': 9}
  job = VisualizeJob(**options)
  setup = resolve.visualization(job, frozenset(options))
  first = list(images.read_images(setup))
  found = images.read_indices(setup, [8, 0, 3])
  assert sorted(found) == [0, 3, 8]
  for index, image in found.items():
    assert (image.name, image.label) == (first[index].name, first[index].label)
    np.testing.assert_array_equal(image.image, first[index].image)
  assert images.read_indices(setup, []) == {}
