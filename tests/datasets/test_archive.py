import gzip
import io
import os
import shutil
import stat
import tarfile
import zipfile

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


def test_folders_are_listed_even_if_empty(tmp_path):
  write_tree(tmp_path / 'in', FILES)
  (tmp_path / 'in/empty/inner').mkdir(parents=True)
  (tmp_path / 'in/.hidden').mkdir()
  folders = {'a', 'a/b', 'é', 'empty', 'empty/inner'}
  assert archive.list_tree(tmp_path / 'in').folders == folders
  with tarfile.open(tmp_path / 'in.tar', 'w') as tar:
    tar.add(tmp_path / 'in', '.')
  assert archive.list_tree(tmp_path / 'in.tar').folders == folders
  shutil.make_archive(str(tmp_path / 'in'), 'zip', tmp_path / 'in')
  assert archive.list_tree(tmp_path / 'in.zip').folders == folders


@pytest.mark.parametrize(
  ('files', 'folders', 'removed'),
  [
    (['photos/a/1', 'photos/LICENSE'], ['photos/b'], True),
    (['a/1', 'b/1'], [], False),
    (['a/1'], ['b'], False),
    (['a'], [], False),
    ([], [], False),
  ],
)
def test_the_only_top_folder_is_removed(files, folders, removed):
  parents = {path.rpartition('/')[0] for path in (*files, *folders)}
  tree = archive.Tree(
    dict.fromkeys(files), frozenset({*folders, *parents} - {''})
  )
  inner = tree.without_root()
  if not removed:
    assert inner == tree
    return
  assert list(inner.files) == [path.partition('/')[2] for path in files]
  assert inner.folders == {'a', 'b'}


@pytest.mark.parametrize('path', ['/dev/zero', '/dev/tty', 'pipe', 'folder'])
def test_devices_and_pipes_are_not_read(tmp_path, path):
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'folder').mkdir()
  with pytest.raises(OSError, match=r'not a file|No such device'):
    archive.Blob(str(tmp_path / path)).read()


def test_what_is_not_a_file_is_listed_and_not_dropped(tmp_path):
  os.mkfifo(tmp_path / 'pipe.jpg')
  (tmp_path / 'zero.jpg').symlink_to('/dev/zero')
  (tmp_path / 'gone.jpg').symlink_to('nowhere')
  files = archive.list_files(tmp_path)
  assert list(files) == ['gone.jpg', 'pipe.jpg', 'zero.jpg']
  for blob in files.values():
    with pytest.raises(OSError, match=r'not a file|No such file'):
      blob.read()


def test_more_bytes_than_accepted_are_not_read(tmp_path):
  path = tmp_path / 'sparse'
  path.touch()
  os.truncate(path, 1 << 40)
  for blob in (archive.file_blob(path), archive.Blob(str(path))):
    with pytest.raises(OSError, match=r'it has 1,099,511,627,776 bytes, more'):
      blob.read(1 << 20)


def write_zip(path, files, **options):
  with zipfile.ZipFile(path, 'w', **options) as packed:
    for name, data in files.items():
      packed.writestr(name, data)


@pytest.mark.parametrize(
  'form', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]
)
def test_a_zip_archive_lists_the_same_files(tmp_path, form):
  path = tmp_path / 'archive'
  write_zip(
    path, {f'./{name}': FILES[name] for name in FILES}, compression=form
  )
  assert contents(path) == FILES


def test_a_zip_archive_writes_nothing_outside_and_follows_no_link(
  tmp_path, warnings
):
  link = zipfile.ZipInfo('link.jpg')
  link.external_attr = (stat.S_IFLNK | 0o777) << 16
  files = {
    '../../outside.jpg': b'out',
    '/etc/absolute.jpg': b'abs',
    'a\\back.jpg': b'back',
    link: b'/etc/passwd',
  }
  write_zip(tmp_path / 'in.zip', files)
  found = contents(tmp_path / 'in.zip')
  assert found == {'etc/absolute.jpg': b'abs', 'a/back.jpg': b'back'}
  assert [p.name for p in tmp_path.iterdir()] == ['in.zip']
  path = tmp_path / 'in.zip'
  assert warnings == [
    f'{path}: ignored 1 links or other members that are not files, such as '
    'link.jpg',
    f'{path}: ignored 1 members whose names lead out of it, such as '
    '../../outside.jpg',
  ]


def with_byte(data: bytes, position: int, value: int) -> bytes:
  return data[:position] + bytes([value]) + data[position + 1 :]


@pytest.mark.parametrize(
  ('damage', 'reason'),
  [
    (lambda data: data[: len(data) // 2], 'not a zip file'),
    (lambda data: data.replace(b'one', b'two'), 'Bad CRC-32'),
    # The bit of encryption, in the headers of both places.
    (
      lambda data: data.replace(
        b'PK\x03\x04\x14\0\0', b'PK\x03\x04\x14\0\1'
      ).replace(b'PK\x01\x02\x14\x03\x14\0\0', b'PK\x01\x02\x14\x03\x14\0\1'),
      'encrypted',
    ),
    # The length of a comment, which then takes in the entries that follow.
    (
      lambda data: with_byte(data, data.index(b'PK\x01\x02') + 33, 1),
      'lists 1 of 2 members',
    ),
  ],
)
def test_a_damaged_or_locked_zip_archive_is_named(tmp_path, damage, reason):
  path = tmp_path / 'in.zip'
  write_zip(path, {'a/1.jpg': b'one', 'a/2.jpg': b'more'})
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(UserError, match=rf'Cannot unpack .*in\.zip: .*{reason}'):
    archive.list_files(path)


def add(tar, name, data=b'', **attributes):
  member = tarfile.TarInfo(name)
  member.size = len(data)
  for key, value in attributes.items():
    setattr(member, key, value)
  tar.addfile(member, io.BytesIO(data))


def test_an_archive_writes_nothing_and_its_links_lead_nowhere(
  tmp_path, warnings
):
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
  assert warnings == [
    f'{path}: ignored 3 links or other members that are not files, such as '
    'link',
    f'{path}: ignored 1 members whose names lead out of it, such as '
    '../../outside.jpg',
  ]
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


@pytest.mark.parametrize(
  # The name of the second member; all of its header; that of the first.
  ('place', 'damage'),
  [(1024, b'x'), (1024, bytes(512)), (0, bytes(512))],
)
def test_a_damaged_header_does_not_end_a_tar_archive_early(
  tmp_path, place, damage
):
  path = tmp_path / 'in.tar'
  with tarfile.open(path, 'w') as tar:
    for number in range(3):
      add(tar, f'a/{number}.jpg', bytes(100))
  data = bytearray(path.read_bytes())
  data[place : place + len(damage)] = damage
  path.write_bytes(data)
  with pytest.raises(
    UserError, match=rf'in\.tar .*at byte {place:,} is damaged'
  ):
    archive.list_files(path)


def test_a_tar_archive_after_another_is_not_lost(tmp_path):
  """cat a.tar b.tar > both.tar, of which tar itself reads only a."""
  path = tmp_path / 'both.tar'
  with tarfile.open(path, 'w') as tar:
    add(tar, 'a/1.jpg', bytes(100))
  path.write_bytes(path.read_bytes() * 2)
  with pytest.raises(UserError, match='or another archive follows'):
    archive.list_files(path)


def test_a_tar_archive_cut_between_members_causes_a_warning(tmp_path, warnings):
  path = tmp_path / 'in.tar'
  with tarfile.open(path, 'w') as tar:
    for number in range(3):
      add(tar, f'a/{number}.jpg', bytes(100))
  path.write_bytes(path.read_bytes()[:2048])
  assert list(archive.list_files(path)) == ['a/0.jpg', 'a/1.jpg']
  assert warnings == [f'{path} has no mark at its end: it may be truncated.']


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


@pytest.mark.parametrize('form', ['gzip', 'zip'])
def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch, form):
  monkeypatch.setattr(archive, '_ALWAYS_ALLOWED', 1 << 20)
  monkeypatch.setattr(archive, '_CHUNK', 1 << 16)
  path = tmp_path / 'bomb'
  if form == 'zip':
    files = {f'{n}.jpg': bytes(1 << 23) for n in range(2)}
    write_zip(path, files, compression=zipfile.ZIP_DEFLATED)
  else:
    path.write_bytes(gzip.compress(bytes(1 << 24)))
  with pytest.raises(UserError, match=r'bomb: it grows beyond 1,\d{3},'):
    archive.list_files(path)
