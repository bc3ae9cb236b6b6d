"""visualize_attention.py: maps and classes, files it writes, wrong options."""

import numpy as np
import pytest
from PIL import Image

from errors import UserError
from tools.visualization import visualize as visualize_lib

SPATIAL = 'pool1_CBAM/sp_at', 'pool2_CBAM/sp_at'


def pixels(path) -> np.ndarray:
  with Image.open(path) as image:
    return np.asarray(image)


def test_records_are_explained_without_images(visualize, tmp_path):
  explained = visualize(num_images=3)
  assert [image.name for image in explained] == ['test 0', 'test 1', 'test 2']
  assert [image.truth for image in explained] == ['zero', 'one', 'two']
  assert [list(image.explanation.gates) for image in explained] == [
    [*SPATIAL]
  ] * 3
  # The image is the record: one bright row, noise on black elsewhere.
  assert explained[1].image.max() == pytest.approx(250 / 255)
  height, width, _ = pixels(tmp_path / 'grid.png').shape
  assert width > 4 * 200
  assert height > 3 * 200


def test_separate_files_contain_the_explanation(
  visualize, write_image, tmp_path
):
  photo = write_image(tmp_path / 'my photo.png', (28, 28), 'L')
  (image,) = visualize(images=photo, output_dir=str(tmp_path / 'out'))
  folder = tmp_path / 'out' / '000_my_photo'
  assert {path.name for path in folder.iterdir()} == {
    'image.png', 'grad_cam.png', 'arrays.npz',
    'pool1_CBAM-sp_at.png', 'pool2_CBAM-sp_at.png',
  }  # fmt: skip
  arrays = np.load(folder / 'arrays.npz')
  np.testing.assert_array_equal(arrays['grad_cam'], image.explanation.grad_cam)
  np.testing.assert_array_equal(
    arrays['probabilities'].argmax(), image.explanation.label
  )
  for name in SPATIAL:
    np.testing.assert_array_equal(
      arrays[f'gates/{name}'], image.explanation.gates[name]
    )
  # Lenet's preprocessing changes no pixel of 28 x 28; each is enlarged to 8 x 8.
  shown = pixels(folder / 'image.png')
  np.testing.assert_array_equal(shown[::8, ::8, 0], pixels(photo))


def test_a_network_without_attention_has_grad_cam_alone(visualize, tmp_path):
  (image,) = visualize('plain', num_images=1)
  assert image.explanation.gates == {}
  assert pixels(tmp_path / 'grid.png').shape[1] < 3 * 250


@pytest.mark.parametrize('text', ['three', '3'])
def test_a_class_is_explained_by_name_or_number(visualize, text):
  for image in visualize(num_images=4, class_name=text):
    assert (image.explanation.label, image.explained) == (3, 'three')
    assert image.probability == image.explanation.probabilities[3]


def test_without_records_classes_have_the_names_of_the_table(
  trained, visualize, write_image, tmp_path, digits
):
  """The records may be missing on this machine."""
  photo = write_image(tmp_path / 'x.png')
  (image,) = visualize(images=photo, dataset_dir=str(tmp_path / 'gone'))
  assert image.explained == (
    'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight',
    'nine',
  )[image.explanation.label]  # fmt: skip


@pytest.fixture
def published(trained, tmp_path):
  """A checkpoint without job.json."""
  folder = tmp_path / 'published'
  folder.mkdir()
  for path in (trained / 'cbam').glob('model.ckpt-2.*'):
    (folder / path.name).write_bytes(path.read_bytes())
  return str(folder / 'model.ckpt-2')


def test_flags_describe_a_checkpoint_without_job_json(
  visualize, write_image, published, tmp_path
):
  options = {
    'checkpoint_path': published,
    'images': write_image(tmp_path / 'x.png'),
    'model_name': 'lenet',
    'attention_module': 'cbam_block',
    'use_grayscale': True,
  }
  (image,) = visualize(**options, dataset_name='mine', num_classes=10)
  assert image.explained == str(image.explanation.label)
  with pytest.raises(
    UserError, match=r'number of classes is unknown.*--num_classes'
  ):
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
  names_of_points = visualize_lib.choose_gates(points, GATES)
  assert names_of_points == [names[number] for number in chosen]
  if points in (None, 'none', 'first', 'all'):
    assert visualize_lib.choose_gates(points, {}) == []


@pytest.mark.parametrize('points', ['4', 'd', 'a/1/s', 'firs', ''])
def test_unknown_points_are_refused(points):
  with pytest.raises(
    UserError, match=r'Unknown attention point.*first.*a/1/sp.*from 0 to 3'
  ):
    visualize_lib.choose_gates(points, GATES)
  with pytest.raises(UserError, match='no attention with spatial gates'):
    visualize_lib.choose_gates(points, {})


def not_an_image(folder):
  (folder / 'words.jpg').write_text('é words')
  return str(folder / 'words.jpg')


def empty_file(folder):
  (folder / 'empty.png').touch()
  return str(folder / 'empty.png')


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'images': not_an_image}, r'None of --images can be read as an image'),
    ({'images': empty_file}, r'None of --images can be read as an image'),
    ({'images': lambda f: f'{f}/no.png'}, r'There is no image .*no\.png'),
    ({'images': lambda f: str(f)}, r'names no image'),
    ({'class_name': 'thre'}, r"'thre'.*Did you mean 'three'.*from 0 to 9"),
    ({'class_name': '10'}, r"'10'.*from 0 to 9"),
    ({'points': 'pool3'}, r"'pool3'.*pool1_CBAM/sp_at"),
    ({'end_point': 'conv9'}, r"'conv9'.*conv1"),
    ({'num_classes': 5}, r'--num_classes=5 contradicts the 10 classes'),
    ({'attention_module': 'se_block'}, r'contradicts the checkpoints'),
    ({'output_file': lambda f: f'{f}/words/x/a.png'}, r'Cannot write to'),
    ({'output_file': str}, r'must be a \.png file; --plot_format'),
    ({'output_file': lambda f: f'{f}/a.svg'}, r'must be a \.png file'),
  ],
)
def test_wrong_options_are_refused_before_anything_is_written(
  visualize, tmp_path, options, message
):
  (tmp_path / 'words').write_text('a file')
  options = {
    name: value(tmp_path) if callable(value) else value
    for name, value in options.items()
  }
  with pytest.raises(UserError, match=message):
    visualize(**{'num_images': 2, **options})
  assert not (tmp_path / 'grid.png').exists()
