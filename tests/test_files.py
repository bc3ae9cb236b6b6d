"""Files that appear complete or not at all, and temporary folders."""

import os
import pathlib
import subprocess
import sys

import pytest

import files

ROOT = pathlib.Path(files.__file__).parent


def contents(folder):
  """Relative path -> bytes of every file, hidden ones too."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file()
  }


@pytest.fixture
def umask():
  """umask(mask) sets the mask of the process until the test ends."""
  original = os.umask(0o022)
  yield os.umask
  os.umask(original)


def test_a_file_is_written_and_folders_are_made_for_it(tmp_path):
  files.write_text(tmp_path / 'new/folder/a.txt', 'été\r\n\n')
  assert contents(tmp_path) == {'new/folder/a.txt': 'été\r\n\n'.encode()}


def test_a_path_may_be_a_string(tmp_path):
  files.write_text(os.fspath(tmp_path / 'a.txt'), 'text')
  assert contents(tmp_path) == {'a.txt': b'text'}


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
  path = tmp_path / 'a.csv'
  path.write_text('old')
  with files.replacing_text(path) as file:
    file.write('half')
    file.flush()
    assert path.read_text() == 'old'
    file.write(' and half')
  assert contents(tmp_path) == {'a.csv': b'half and half'}


def test_readers_keep_the_file_that_they_opened(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('old')
  with path.open() as reader:
    files.write_text(path, 'new')
    assert reader.read() == 'old'


def fail_in_replacing(path, error):
  with files.replacing(path) as temporary:
    temporary.write_text('half')
    raise error


def fail_in_replacing_text(path, error):
  with files.replacing_text(path) as file:
    file.write('half')
    raise error


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize('before', [{}, {'a.txt': b'old'}])
@pytest.mark.parametrize('fail', [fail_in_replacing, fail_in_replacing_text])
def test_a_body_that_fails_changes_nothing(tmp_path, fail, before, error):
  for name, data in before.items():
    (tmp_path / name).write_bytes(data)
  with pytest.raises(error):
    fail(tmp_path / 'a.txt', error)
  assert contents(tmp_path) == before


def test_the_temporary_file_is_hidden_beside_its_target(tmp_path):
  with files.replacing(tmp_path / 'curves.png') as temporary:
    assert temporary.parent == tmp_path
    assert temporary.name.startswith('.curves.')
    # Writers such as matplotlib choose the format by the suffix.
    assert temporary.suffix == '.png'
    assert contents(tmp_path) == {temporary.name: b''}


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
  path = tmp_path / 'a.txt'
  with files.replacing_text(path) as first, files.replacing_text(path) as last:
    first.write('first')
    last.write('last')
  # The outer body ends last.
  assert contents(tmp_path) == {'a.txt': b'first'}


def test_a_temporary_file_may_be_replaced_by_the_body(tmp_path):
  """As a writer does that is atomic itself."""
  with files.replacing(tmp_path / 'a.txt') as temporary:
    (tmp_path / 'other').write_text('text')
    (tmp_path / 'other').replace(temporary)
  assert contents(tmp_path) == {'a.txt': b'text'}


@pytest.mark.parametrize(
  ('mask', 'mode'), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)]
)
def test_permissions_are_those_of_an_ordinary_file(tmp_path, umask, mask, mode):
  umask(mask)
  files.write_text(tmp_path / 'a.txt', 'text')
  (tmp_path / 'ordinary').touch()
  for name in ('a.txt', 'ordinary'):
    assert (tmp_path / name).stat().st_mode & 0o777 == mode
  # Looking at the mask has not changed it.
  assert umask(mask) == mask


def test_names_of_files_that_are_not_text_keep_their_bytes(tmp_path):
  name = os.fsdecode(b'crow/\xe9.jpg')
  files.write_text(tmp_path / 'rejected.csv', f'{name},été\n')
  assert contents(tmp_path) == {
    'rejected.csv': b'crow/\xe9.jpg,' + 'été\n'.encode()
  }


def test_a_text_that_cannot_be_encoded_changes_nothing(tmp_path):
  files.write_text(tmp_path / 'a.txt', 'old')
  with pytest.raises(UnicodeEncodeError):
    files.write_text(tmp_path / 'a.txt', 'half of a pair: \ud800')
  assert contents(tmp_path) == {'a.txt': b'old'}


def test_line_ends_are_written_as_they_are(tmp_path):
  with files.replacing_text(tmp_path / 'a.csv') as file:
    file.write('a\r\nb\n')
  assert contents(tmp_path) == {'a.csv': b'a\r\nb\n'}


def test_what_cannot_be_written_leaves_nothing(tmp_path):
  (tmp_path / 'folder').mkdir()
  (tmp_path / 'file').write_text('text')
  with pytest.raises(IsADirectoryError, match='folder'):
    files.write_text(tmp_path / 'folder', 'new')
  with pytest.raises((NotADirectoryError, FileExistsError), match='file'):
    files.write_text(tmp_path / 'file/a.txt', 'new')
  assert contents(tmp_path) == {'file': b'text'}


FOLDERS = """
import os, sys
from files import temporary_folder
folders = [temporary_folder('test_') for _ in range(2)]
for folder in folders:
  (folder / 'below').mkdir()
  (folder / 'below/a.txt').write_text('text')
  print(folder)
sys.stdout.flush()
(folders[0] / 'below/a.txt').unlink()
"""


@pytest.mark.parametrize(
  ('end', 'code'),
  [('', 0), ('sys.exit(2)', 2), ('raise KeyboardInterrupt', -2), ('1 / 0', 1)],
)
def test_temporary_folders_go_when_the_program_ends(tmp_path, end, code):
  done = subprocess.run(
    [sys.executable, '-c', FOLDERS + end],
    cwd=ROOT,
    env={**os.environ, 'TMPDIR': str(tmp_path)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == code, done.stderr
  first, second = map(pathlib.Path, done.stdout.split())
  assert first != second
  for folder in (first, second):
    assert folder.parent == tmp_path
    assert folder.name.startswith('test_')
  assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_is_gone_already_is_no_error(tmp_path):
  done = subprocess.run(
    [sys.executable, '-c', f'{FOLDERS}\nimport shutil; shutil.rmtree(folder)'],
    cwd=ROOT,
    env={**os.environ, 'TMPDIR': str(tmp_path)},
    capture_output=True,
    check=True,
  )
  assert done.stderr == b''
  assert list(tmp_path.iterdir()) == []
