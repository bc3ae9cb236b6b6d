import gzip
import io
import tarfile

import pytest
from original_files import write_tarball, write_tree

from datasets import archive
from errors import UserError

FILES = {'a/1.jpg': b'one', 'a/b/2.jpg': b'two', 'c.txt': b'', 'é/3': b'three'}


def contents(source):
  return {
    path: blob.read() for path, blob in archive.list_files(source).items()
  }


def test_a_folder_in_the_order_of_paths(tmp_path):
  hidden = {
    '.git/x': b'',
    'a/._1.jpg': b'',
    '__MACOSX/y': b'',
    'Thumbs.db': b'',
  }
  write_tree(tmp_path, {**FILES, **hidden})
  assert contents(tmp_path) == FILES
  assert list(contents(tmp_path)) == sorted(FILES)


@pytest.mark.parametrize('compression', ['', 'gz', 'bz2', 'xz'])
def test_an_archive_lists_the_same_files(tmp_path, compression):
  path = tmp_path / 'archive'
  write_tarball(path, {f'./{name}': FILES[name] for name in FILES}, compression)
  assert contents(path) == FILES


def test_links_are_followed_but_not_in_circles(tmp_path):
  write_tree(tmp_path / 'in', FILES)
  (tmp_path / 'else').mkdir()
  (tmp_path / 'else/4.jpg').write_bytes(b'four')
  (tmp_path / 'in/d').symlink_to(tmp_path / 'else')
  (tmp_path / 'in/a/up').symlink_to(tmp_path / 'in')
  assert contents(tmp_path / 'in') == {**FILES, 'd/4.jpg': b'four'}


def test_the_only_top_folder_of_an_archive_is_removed():
  inside = {'photos/a/1.jpg': 1, 'photos/LICENSE': 2}
  assert archive.without_root(inside) == {'a/1.jpg': 1, 'LICENSE': 2}
  for files in ({'a/1': 1, 'b/1': 2}, {'a': 1}, {}):
    assert archive.without_root(files) == files


def add(tar, name, data=b'', **attributes):
  member = tarfile.TarInfo(name)
  member.size = len(data)
  for key, value in attributes.items():
    setattr(member, key, value)
  tar.addfile(member, io.BytesIO(data))


def test_an_archive_writes_nothing_and_its_links_lead_nowhere(tmp_path):
  (tmp_path / 'secret').write_text('secret')
  path = tmp_path / 'in.tar'
  with tarfile.open(path, 'w') as tar:
    add(tar, '../../outside.jpg', b'out')
    add(tar, '/etc/absolute.jpg', b'abs')
    add(tar, 'link', type=tarfile.SYMTYPE, linkname=str(tmp_path / 'secret'))
    add(tar, 'hard', type=tarfile.LNKTYPE, linkname='../secret')
    add(tar, 'again.jpg', type=tarfile.LNKTYPE, linkname='/etc/absolute.jpg')
    add(tar, 'device', type=tarfile.CHRTYPE)
  # Absolute names become relative, as in tar.
  assert contents(path) == {'etc/absolute.jpg': b'abs', 'again.jpg': b'abs'}
  assert sorted(p.name for p in tmp_path.iterdir()) == ['in.tar', 'secret']


def test_a_truncated_archive_is_refused(tmp_path):
  path = tmp_path / 'in.tar'
  with tarfile.open(path, 'w') as tar:
    add(tar, 'a/1.jpg', bytes(3000))
  path.write_bytes(path.read_bytes()[:2000])
  with pytest.raises(
    UserError, match=r'Cannot read .*in\.tar as a tar archive'
  ):
    archive.list_files(path)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
  (tmp_path / 'notes').write_text('nothing\n' * 200)
  with pytest.raises(
    UserError, match=r'notes as a tar archive: .* a folder or'
  ):
    archive.list_files(tmp_path / 'notes')


@pytest.mark.parametrize('cut', [5, 60])
def test_a_damaged_compression_is_named(tmp_path, cut):
  path = tmp_path / 'in.tgz'
  write_tarball(path, FILES)
  path.write_bytes(path.read_bytes()[:cut])
  with pytest.raises(UserError, match=r'Cannot unpack .*in\.tgz: '):
    archive.list_files(path)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
  monkeypatch.setattr(archive, '_ALWAYS_ALLOWED', 1 << 20)
  monkeypatch.setattr(archive, '_CHUNK', 1 << 16)
  path = tmp_path / 'bomb.tgz'
  path.write_bytes(gzip.compress(bytes(1 << 24)))
  with pytest.raises(UserError, match=r'bomb\.tgz: it grows beyond 1,\d{3},'):
    archive.list_files(path)
