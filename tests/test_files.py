"""Files that appear complete or not at all, checked JSON, temporary folders."""

import os
import pathlib
import subprocess
import sys

import pytest

import files
from errors import UserError

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


KINDS = {
  'name': str,
  'sides': {'height': int, 'width?': int | None},
  'rate?': float,
  'flags?': [bool],
  'shards?': {str: {'records': int}},
  'any?': object,
}
LEAST = {'name': 'x', 'sides': {'height': 3}}


def json_file(tmp_path, text):
  path = tmp_path / 'set.json'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return path


@pytest.mark.parametrize(
  'content',
  [
    LEAST,
    {**LEAST, 'unknown': [1e-3, None]},
    {**LEAST, 'sides': {'height': -(10**18 - 1), 'width': None}},
    {**LEAST, 'sides': {'height': 3, 'width': 4}, 'rate': 1},
    {**LEAST, 'rate': 0.5, 'flags': [], 'shards': {}, 'any': None},
    {**LEAST, 'flags': [True, False], 'shards': {'é': {'records': 2}}},
  ],
)
def test_json_of_the_right_kinds_is_read_as_it_was_written(tmp_path, content):
  files.write_json(tmp_path / 'set.json', content)
  assert files.read_json(tmp_path / 'set.json', KINDS) == content


def test_a_byte_order_mark_before_json_is_no_part_of_it(tmp_path):
  path = json_file(tmp_path, '\ufeff{"a": 1}')
  assert files.read_json(path, {'a': int}) == {'a': 1}


def test_json_that_is_not_there_is_none(tmp_path):
  assert files.read_json(tmp_path / 'set.json', KINDS) is None
  (tmp_path / 'file').touch()
  assert files.read_json(tmp_path / 'file' / 'set.json', KINDS) is None


SIDES = '{"name": "x", "sides": {"height": %s}}'
# Text of the file -> the message after its path.
DAMAGED = {
  '': r'is not JSON \(Expecting value, line 1 column 1\)',
  '{"name": "x",\n "sides"': r'is not JSON \(.*, line 2 column 9\)',
  '[1]': r'has \[1\] for its content, not an object',
  'null': 'has null for its content, not an object',
  '{}': 'lacks name',
  '{"name": "x", "sides": {}}': r'lacks sides\.height',
  '{"name": null, "sides": {}}': 'has null for name, not valid text',
  '{"name": 3, "sides": {}}': 'has 3 for name, not valid text',
  '{"name": "a\\u0000", "sides": {}}': r'has "a\\u0000" for name, not valid',
  '{"name": "\\ud800", "sides": {}}': 'for name, not valid text',
  SIDES % '"3"': r'has "3" for sides\.height, not a whole number',
  SIDES % '3.5': r'has 3\.5 for sides\.height, not a whole number',
  SIDES % 'true': r'has true for sides\.height, not a whole number',
  SIDES % '1e999': r'has 1e999 for sides\.height, not a whole number',
  SIDES % ('9' * 5000): r'has 9{57}\.\.\. for sides\.height, not a whole',
  SIDES % '3, "width": []': r'for sides\.width, not a whole number or null',
  SIDES % '3}, "rate": {"a": 1': 'for rate, not a number',
  SIDES % '3}, "rate": {"a": 1}, "rate": NaN, "b": {': 'has NaN for rate',
  SIDES % '3}, "any": -Infinity, "b": {': 'has -Infinity for any, not a value',
  SIDES % '3}, "flags": [true, 1], "b": {': r'has 1 for flags\.1, not true',
  SIDES % '3}, "flags": {"0": true': 'for flags, not a list',
  SIDES % '3}, "shards": {"a": {}': r'lacks shards\.a\.records',
  '[' * 100_000: 'is nested too deep',
  '{"a":' * 100_000: 'is nested too deep',
  b'{"name": "caf\xe9"}': r'is not UTF-8 \(byte 13\)',
}


@pytest.mark.parametrize('text', DAMAGED, ids=lambda text: str(text)[:40])
def test_damaged_json_is_named_with_its_key_and_value(tmp_path, text):
  path = json_file(tmp_path, text)
  with pytest.raises(UserError, match=DAMAGED[text]) as refused:
    files.read_json(path, KINDS, 'Delete it.')
  message = str(refused.value)
  assert message.startswith(f'{path} ')
  assert message.endswith('. Delete it.')
  assert len(message) < len(str(path)) + 130


def test_what_is_no_file_is_not_read_as_json(tmp_path):
  (tmp_path / 'folder').mkdir()
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'device').symlink_to('/dev/zero')
  for name, problem in (
    ('folder', 'is a folder'),
    ('pipe', 'is not a file'),
    ('device', 'is not a file'),
  ):
    with pytest.raises(UserError, match=f'{name} {problem}'):
      files.read_json(tmp_path / name, KINDS)


def test_a_huge_file_is_not_read_as_json(tmp_path):
  path = tmp_path / 'set.json'
  with path.open('wb') as file:
    file.truncate(1 << 40)
  with pytest.raises(UserError, match='has more than 64 MB'):
    files.read_json(path, KINDS)


def test_json_without_a_file_is_checked_alike():
  assert files.parse_json('{"a": 1}', {'a': int}, 'TF_CONFIG') == {'a': 1}
  with pytest.raises(UserError, match=r'^TF_CONFIG lacks b\. Set it\.$'):
    files.parse_json('{"a": 1}', {'b': int}, 'TF_CONFIG', 'Set it.')


@pytest.mark.parametrize('value', [float('nan'), float('-inf')])
def test_numbers_that_json_lacks_are_not_written(tmp_path, value):
  with pytest.raises(ValueError, match='not JSON compliant'):
    files.write_json(tmp_path / 'set.json', {'value': value})
  assert contents(tmp_path) == {}


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
