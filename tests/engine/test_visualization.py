"""visualize_attention.py: which images and gates, what is written, mistakes."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from engine import visualization
from engine.job import VisualizeJob
from errors import UserError

SPATIAL = 'pool1_CBAM/sp_at', 'pool2_CBAM/sp_at'


@pytest.fixture(scope='module')
def trained(digits, tmp_path_factory):
  """A folder with `cbam` and `plain`, train_dirs of lenet; never changed."""
  from engine import training
  from engine.job import TrainJob

  folder = tmp_path_factory.mktemp('trained')
  for name, attention in (('cbam', 'cbam_block'), ('plain', None)):
    training.train(
      TrainJob(
        train_dir=str(folder / name), dataset_name='digits',
        dataset_dir=str(digits), model_name='lenet', batch_size=8,
        attention_module=attention, max_number_of_steps=2, seed=1,
      )
    )  # fmt: skip
  return folder


@pytest.fixture
def visualize(trained, tmp_path):
  """visualize(**options) -> what it returns; the grid is tmp_path/grid.png."""

  def run(name='cbam', **options):
    options = {
      'checkpoint_path': str(trained / name),
      'output_file': str(tmp_path / 'grid.png'),
      **options,
    }
    return visualization.visualize(VisualizeJob(**options), frozenset(options))

  return run


def write_image(path, size=(40, 30), mode='RGB', seed=0, **options):
  """A noisy image file of (width, height)."""
  depth = {'L': (), 'RGB': (3,), 'RGBA': (4,)}[mode]
  pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], *depth))
  path.parent.mkdir(exist_ok=True)
  Image.fromarray(pixels.astype(np.uint8), mode).save(path, **options)
  return str(path)


def pixels(path) -> np.ndarray:
  with Image.open(path) as image:
    return np.asarray(image)


def test_records_are_shown_where_no_images_are_named(visualize, tmp_path):
  seen = visualize(num_images=3)
  assert [picture.name for picture in seen] == ['test 0', 'test 1', 'test 2']
  assert [picture.truth for picture in seen] == ['zero', 'one', 'two']
  assert [list(picture.gaze.gates) for picture in seen] == [[*SPATIAL]] * 3
  # What is shown is the record: black but for noise, one bright row.
  assert seen[1].image.max() == pytest.approx(250 / 255)
  height, width, _ = pixels(tmp_path / 'grid.png').shape
  assert width > 4 * 200
  assert height > 3 * 200


def test_separate_files_hold_what_was_seen(visualize, tmp_path):
  photo = write_image(tmp_path / 'my photo.png', (28, 28), 'L')
  (seen,) = visualize(images=photo, output_dir=str(tmp_path / 'out'))
  folder = tmp_path / 'out' / '000_my_photo'
  assert {path.name for path in folder.iterdir()} == {
    'image.png', 'grad_cam.png', 'arrays.npz',
    'pool1_CBAM-sp_at.png', 'pool2_CBAM-sp_at.png',
  }  # fmt: skip
  arrays = np.load(folder / 'arrays.npz')
  np.testing.assert_array_equal(arrays['grad_cam'], seen.gaze.grad_cam)
  np.testing.assert_array_equal(
    arrays['probabilities'].argmax(), seen.gaze.label
  )
  for name in SPATIAL:
    np.testing.assert_array_equal(
      arrays[f'gates/{name}'], seen.gaze.gates[name]
    )
  # Lenet's recipe changes no pixel of 28 x 28; each is shown eight times.
  shown = pixels(folder / 'image.png')
  np.testing.assert_array_equal(shown[::8, ::8, 0], pixels(photo))


def test_images_of_any_kind(visualize, tmp_path):
  kinds = {
    'gray.png': ((40, 30), 'L'),
    'color.jpg': ((40, 30), 'RGB'),
    'transparent.png': ((40, 30), 'RGBA'),
    'tiny.png': ((1, 1), 'RGB'),
    'flat.bmp': ((300, 2), 'L'),
    'still.gif': ((40, 30), 'L'),
  }
  paths = [write_image(tmp_path / name, *kind) for name, kind in kinds.items()]
  seen = visualize(images=','.join(paths))
  assert [picture.name for picture in seen] == list(kinds)
  for picture in seen:
    assert picture.image.shape == (28, 28, 1)
    assert np.isfinite(picture.gaze.grad_cam).all()


def test_photos_are_turned_as_conversion_turns_them(visualize, tmp_path):
  """A phone writes pixels as they come, and in EXIF how to turn them."""
  pixels = np.zeros((28, 28), np.uint8)
  pixels[:, :14] = 255
  image, exif = Image.fromarray(pixels), Image.Exif()
  exif[0x0112] = 6  # to be turned to the right by 90 degrees
  image.save(tmp_path / 'turned.png', exif=exif)
  image.rotate(-90).save(tmp_path / 'upright.png')
  turned, upright = visualize(
    images=f'{tmp_path}/turned.png,{tmp_path}/upright.png'
  )
  np.testing.assert_array_equal(turned.image, upright.image)


def test_a_broken_image_is_left_out_by_name(visualize, tmp_path, capsys):
  whole = write_image(tmp_path / 'photos' / 'whole.png')
  content = pathlib.Path(whole).read_bytes()
  (tmp_path / 'photos' / 'half.png').write_bytes(content[: len(content) // 2])
  seen = visualize(images=str(tmp_path / 'photos'))
  assert [picture.name for picture in seen] == ['whole.png']
  assert 'half.png cannot be read as an image' in capsys.readouterr().err


def test_folders_and_lists_in_order_up_to_num_images(
  visualize, tmp_path, capsys
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


def test_a_plain_network_shows_grad_cam_alone(visualize, tmp_path):
  (seen,) = visualize('plain', num_images=1)
  assert seen.gaze.gates == {}
  assert pixels(tmp_path / 'grid.png').shape[1] < 3 * 250


@pytest.mark.parametrize('text', ['three', '3'])
def test_a_class_is_explained_by_name_or_number(visualize, text):
  for picture in visualize(num_images=4, class_name=text):
    assert (picture.gaze.label, picture.explained) == (3, 'three')
    assert picture.probability == picture.gaze.probabilities[3]


def test_without_records_the_job_says_what_classes_there_are(
  trained, visualize, tmp_path, digits
):
  """The data may be gone from this machine, but not the table's names."""
  photo = write_image(tmp_path / 'x.png')
  (seen,) = visualize(images=photo, dataset_dir=str(tmp_path / 'gone'))
  assert seen.explained == (
    'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight',
    'nine',
  )[seen.gaze.label]  # fmt: skip


@pytest.fixture
def published(trained, tmp_path):
  """A checkpoint without a job beside it."""
  folder = tmp_path / 'published'
  folder.mkdir()
  for path in (trained / 'cbam').glob('model.ckpt-2.*'):
    (folder / path.name).write_bytes(path.read_bytes())
  return str(folder / 'model.ckpt-2')


def test_published_checkpoints_are_described_by_flags(
  visualize, published, tmp_path
):
  options = {
    'checkpoint_path': published,
    'images': write_image(tmp_path / 'x.png'),
    'model_name': 'lenet',
    'attention_module': 'cbam_block',
    'use_grayscale': True,
  }
  (seen,) = visualize(**options, dataset_name='mine', num_classes=10)
  assert seen.explained == str(seen.gaze.label)
  with pytest.raises(UserError, match=r'how many classes.*--num_classes'):
    visualize(**options, dataset_name='mine')
  with pytest.raises(UserError, match=r'(?s)1001.*10'):
    visualize(**options)


GATES = {'a/1/sp': (8, 8), 'a/2/sp': (8, 8), 'b/1/sp': (4, 4), 'c/sp': (2, 2)}


@pytest.mark.parametrize(
  ('points', 'chosen'),
  [
    (None, [1, 2, 3]),
    ('first', [0]),
    ('last', [3]),
    ('last, first', [0, 3]),
    ('all', [0, 1, 2, 3]),
    ('none', []),
    ('2,0', [0, 2]),
    ('a', [0, 1]),
    ('a/2', [1]),
    ('b/1/sp,b', [2]),
  ],
)
def test_points_are_chosen_by_word_number_or_scope(points, chosen):
  names = list(GATES)
  found = visualization.choose(points, GATES)
  assert found == [names[number] for number in chosen]
  if points in (None, 'none', 'first', 'all'):
    assert visualization.choose(points, {}) == []


@pytest.mark.parametrize('points', ['4', 'd', 'a/1/s', 'firs', ''])
def test_points_that_do_not_exist_are_refused(points):
  with pytest.raises(UserError, match=r'of the 4 from 0 to 3.*first.*a/1/sp'):
    visualization.choose(points, GATES)
  with pytest.raises(UserError, match='no attention with spatial gates'):
    visualization.choose(points, {})


def not_an_image(folder):
  (folder / 'words.jpg').write_text('é words')
  return str(folder / 'words.jpg')


def empty_file(folder):
  (folder / 'empty.png').touch()
  return str(folder / 'empty.png')


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'images': not_an_image}, r'nothing that can be read as an image'),
    ({'images': empty_file}, r'nothing that can be read as an image'),
    ({'images': lambda f: f'{f}/no.png'}, r'There is no image .*no\.png'),
    ({'images': lambda f: str(f)}, r'names no image'),
    ({'class_name': 'thre'}, r"'thre'.*Did you mean 'three'.*from 0 to 9"),
    ({'class_name': '10'}, r"'10'.*from 0 to 9"),
    ({'points': 'pool3'}, r"'pool3'.*pool1_CBAM/sp_at"),
    ({'end_point': 'conv9'}, r"'conv9'.*conv1"),
    ({'num_classes': 5}, r'--num_classes=5 contradicts 10'),
    ({'attention_module': 'se_block'}, r'contradicts the checkpoints'),
    ({'output_file': lambda f: f'{f}/words/x/a.png'}, r'Cannot write to'),
  ],
)
def test_mistakes_are_named_and_write_nothing(
  visualize, tmp_path, options, message
):
  (tmp_path / 'words').write_text('in the way')
  options = {
    name: value(tmp_path) if callable(value) else value
    for name, value in options.items()
  }
  with pytest.raises(UserError, match=message):
    visualize(**{'num_images': 2, **options})
  assert not (tmp_path / 'grid.png').exists()
