"""Links of images into folders of their classes."""

import io

import numpy as np
import pytest

from tools.prediction import outputs


def predicted(path, name):
  return outputs.Prediction(str(path), (0,), (name,), (1.0,), np.empty(0))


def test_images_of_the_same_name_have_links_of_their_own(tmp_path):
  folders = [tmp_path / str(number) for number in range(5)]
  images = [folder / 'a.jpg' for folder in folders]
  # A name that the second of these would have.
  images.insert(1, folders[0] / 'a-2.jpg')
  for image in images:
    image.parent.mkdir(exist_ok=True)
    image.touch()
  sorted_into = tmp_path / 'sorted'
  with outputs.linker(str(sorted_into)) as link:
    folder, name = images[0].parent, images[0].name
    again = folder / '..' / folder.name / name
    for image in [*images, images[0], images[2], again]:
      link(predicted(image, 'cat'))
    link(predicted(images[0], 'dog/wolf'))
  links = {
    str(path.relative_to(sorted_into)): path.readlink()
    for path in sorted_into.rglob('*.jpg')
  }
  assert links == {
    'cat/a.jpg': images[0],
    'cat/a-2.jpg': images[1],
    'cat/a-3.jpg': images[2],
    'cat/a-4.jpg': images[3],
    'cat/a-5.jpg': images[4],
    'cat/a-6.jpg': images[5],
    'dog_wolf/a.jpg': images[0],
  }


def test_links_appear_when_all_are_made(tmp_path):
  """Or not at all, so that the same command can be run again."""
  folder = tmp_path / 'sorted'
  folder.mkdir()

  def interrupt():
    with outputs.linker(str(folder)) as link:
      link(predicted(tmp_path / 'a.jpg', 'cat'))
      assert not [*folder.iterdir()]
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    interrupt()
  assert [*tmp_path.iterdir()] == [folder]
  assert not [*folder.iterdir()]


def test_a_file_name_that_is_no_text_is_escaped_in_the_table(
  monkeypatch,
):
  stdout = io.TextIOWrapper(io.BytesIO(), 'utf-8')
  monkeypatch.setattr('sys.stdout', stdout)
  with outputs._table() as write:
    write(predicted('caf\udce9.jpg', 'cat'))
  stdout.flush()
  assert b'caf\\udce9.jpg' in stdout.buffer.getvalue()


def test_many_images_of_the_same_name_do_not_search_for_their_numbers(
  tmp_path, monkeypatch
):
  looks = []
  exists = outputs.os.path.lexists
  monkeypatch.setattr(
    outputs.os.path, 'lexists', lambda path: looks.append(path) or exists(path)
  )
  with outputs.linker(str(tmp_path / 'sorted')) as link:
    for number in range(50):
      link(predicted(tmp_path / str(number) / 'a.jpg', 'cat'))
  assert len([*(tmp_path / 'sorted' / 'cat').iterdir()]) == 50
  assert len(looks) <= 100
