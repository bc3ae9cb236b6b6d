"""The files that --images names."""

import os
import pathlib

import pytest

from errors import UserError
from tools import image_files


@pytest.fixture
def photo():
  """photo(path) -> the path of an empty file, with its folders."""

  def make(path: pathlib.Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path)

  return make


def test_folders_are_searched_and_sorted(photo, tmp_path):
  paths = [photo(tmp_path / name) for name in ('a/2.png', 'b/c/1.JPG', 'd.txt')]
  found = image_files.find(str(tmp_path))
  assert [str(path) for path in found] == paths[:2]


def test_linked_folders_are_searched_and_hidden_files_are_not(photo, tmp_path):
  photo(tmp_path / 'elsewhere' / '1.png')
  photo(tmp_path / 'photos' / '._2.png')
  (tmp_path / 'photos' / 'link').symlink_to(tmp_path / 'elsewhere')
  found = image_files.find(str(tmp_path / 'photos'))
  assert found == [tmp_path / 'photos' / 'link' / '1.png']


def test_a_link_that_leads_nowhere_is_not_left_out(photo, tmp_path):
  photo(tmp_path / 'a.png')
  (tmp_path / 'b.png').symlink_to('missing.png')
  os.mkfifo(tmp_path / 'c.png')
  found = image_files.find(str(tmp_path))
  assert [path.name for path in found] == ['a.png', 'b.png']


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    ('list.csv', 'path,label\na.png,cat\n"b, c.png",dog\n'),
    ('list.txt', 'a.png\n\nb, c.png\n'),
    ('list.csv', 'file;label\na.png;3\nb, c.png;2\n'),
    ('list.csv', 'a.png\t3\nb, c.png\t2\n'),
    ('list.tsv', 'filename\tlabel\na.png\tcat\nb, c.png\tdog\n'),
  ],
)
def test_lists_are_relative_to_their_folder(name, text, tmp_path):
  (tmp_path / name).write_text(text)
  assert image_files.find(str(tmp_path / name)) == [
    tmp_path / 'a.png', tmp_path / 'b, c.png',
  ]  # fmt: skip


def test_the_home_folder_is_expanded_in_each_part_of_a_list(
  photo, tmp_path, monkeypatch
):
  monkeypatch.setenv('HOME', str(tmp_path))
  paths = [photo(tmp_path / name) for name in ('a.png', 'b.png')]
  found = image_files.find('~/a.png, ~/b.png')
  assert [str(path) for path in found] == paths
  assert image_files.find('~') == found


@pytest.mark.parametrize('part', ['~nobody_of_this_name/a.png', 'a' * 5000])
def test_a_part_of_a_list_that_names_no_file_is_refused(part):
  with pytest.raises(UserError, match='There is no image'):
    image_files.find(f'{part},{part}')


def test_a_pipe_in_a_folder_of_photos_is_passed_over(photo, tmp_path):
  path = photo(tmp_path / 'photos' / 'a.png')
  os.mkfifo(tmp_path / 'photos' / 'b.png')
  assert image_files.find(str(tmp_path / 'photos')) == [pathlib.Path(path)]
