"""Images that only decoding refuses are left out; the others keep their order."""

import pytest
from original_files import photo_bytes

from datasets import photo
from preprocessing.preprocessing_factory import get_preprocessing
from tf_compat import tf
from tools.prediction import model
from tools.prediction.images import Images, find_problem


def undecodable():
  """Returns a JPEG with intact markers, but an impossible Huffman table."""
  data = bytearray(photo_bytes('JPEG', seed=0))
  data[data.index(b'\xff\xc4') + 5] = 255  # codes of one bit
  assert photo.is_ordinary(bytes(data))
  return bytes(data)


def numbers_of(images, batch_size):
  """Returns the numbers of the images that are classified, batch by batch."""
  inputs = model._inputs(
    images, get_preprocessing('cifarnet'), (8, 8, 3), batch_size
  )
  with tf.Session() as session:
    iterator = tf.data.make_initializable_iterator(inputs)
    batches = model._run(
      session, iterator, iterator.get_next(), images, batch_size
    )
    return [numbers.tolist() for numbers, _ in batches]


@pytest.mark.parametrize('bad', [(), (0,), (3, 4, 9, 13), range(14)])
def test_undecodable_images_are_left_out(bad, graph, monkeypatch, tmp_path):
  monkeypatch.setattr('tools.prediction.images._PART', 2)
  paths = [tmp_path / f'{number}.jpg' for number in range(14)]
  for number, path in enumerate(paths):
    path.write_bytes(
      undecodable() if number in bad else photo_bytes('JPEG', seed=number)
    )
  batches = numbers_of(Images(paths), 3)
  good = [number for number in range(14) if number not in bad]
  assert batches == [good[at : at + 3] for at in range(0, len(good), 3)]
  for number in bad:
    assert find_problem(paths[number]).startswith('does not decode')


def test_an_error_that_is_not_of_an_image_is_raised(graph, tmp_path):
  """The network may refuse its input."""
  path = tmp_path / 'a.jpg'
  path.write_bytes(photo_bytes('JPEG', seed=0))
  images = Images([path])
  fails = tf.debugging.Assert(tf.constant(False), ['no'])
  with tf.Session() as session:
    inputs = model._inputs(images, get_preprocessing('cifarnet'), (8, 8, 3), 1)
    iterator = tf.data.make_initializable_iterator(inputs)
    outputs = [*iterator.get_next(), fails]
    with pytest.raises(tf.errors.InvalidArgumentError, match='no'):
      list(model._run(session, iterator, outputs, images, 1))
