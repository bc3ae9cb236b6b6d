import collections
import os
import time
import zipfile

import pytest
from original_files import photo_bytes, read_examples, write_tarball, write_tree

from datasets.convert import Options, convert
from datasets.dataset_factory import evaluation_split, get_dataset
from errors import UserError

CLASSES = 'crow', 'gull', 'wren'


def birds(count=10, prefix=''):
  """Returns path -> photo, `count` of each class."""
  return {
    f'{prefix}{name}/{number}.jpg': photo_bytes(seed=100 * seed + number)
    for seed, name in enumerate(CLASSES)
    for number in range(count)
  }


def read_all(folder, name='birds'):
  """Reads split -> [(path, bytes, label)] independently of the package."""
  found = collections.defaultdict(list)
  for path in sorted(folder.glob(f'{name}_*.tfrecord')):
    split = path.name.removeprefix(f'{name}_').partition('-')[0]
    for example in read_examples(path):
      found[split].append(
        (
          example['image/filename'].decode(),
          example['image/encoded'],
          example['image/class/label'],
        )
      )
  return dict(found)


def convert_birds(tmp_path, source=None, name='birds', **options):
  source = source or tmp_path / 'in'
  return convert(name, str(tmp_path / 'out'), str(source), Options(**options))


def expected(files):
  return {
    (path, data, CLASSES.index(path.split('/')[-2]))
    for path, data in files.items()
  }


def test_a_folder_for_each_class(tmp_path):
  files = birds()
  write_tree(tmp_path / 'in', files)
  summary = convert_birds(tmp_path, validation_fraction=0.2)
  assert summary.splits == {'train': 24, 'validation': 6}
  assert summary.num_classes == 3
  splits = read_all(tmp_path / 'out')
  assert {*splits['train'], *splits['validation']} == expected(files)
  for split, count in (('train', 8), ('validation', 2)):
    labels = [label for _, _, label in splits[split]]
    assert collections.Counter(labels) == dict.fromkeys(range(3), count)
    assert labels != sorted(labels)
  labels = (tmp_path / 'out/labels.txt').read_text()
  assert labels == '0:crow\n1:gull\n2:wren\n'


def test_the_set_is_known_by_its_folder(tmp_path):
  write_tree(tmp_path / 'in', birds())
  convert_birds(tmp_path, name='my-birds_2.0')
  folder = str(tmp_path / 'out')
  dataset = get_dataset('my-birds_2.0', 'train', folder)
  assert dataset.num_records == 27
  assert dataset.num_classes == 3
  assert dataset.channels == 3
  assert dataset.class_names == CLASSES
  assert evaluation_split('my-birds_2.0', folder) == 'validation'
  (path,) = dataset.files
  assert path.endswith('/my-birds_2.0_train-00000-of-00001.tfrecord')


def test_the_seed_chooses_the_validation_photos(tmp_path):
  write_tree(tmp_path / 'in', birds())
  drawn = []
  for number, seed in enumerate((0, 0, 1)):
    folder = tmp_path / str(number)
    convert('birds', str(folder), str(tmp_path / 'in'), Options(seed=seed))
    drawn.append(read_all(folder))
  assert drawn[0] == drawn[1]
  assert set(drawn[0]['validation']) != set(drawn[2]['validation'])


@pytest.mark.parametrize(
  ('fraction', 'counts'), [(0, (3, 0)), (0.5, (2, 1)), (0.9, (2, 1))]
)
def test_no_class_goes_to_validation_entirely(tmp_path, fraction, counts):
  files = {f'a/{n}.jpg': photo_bytes(seed=n) for n in range(2)}
  write_tree(tmp_path / 'in', {**files, 'b/x.jpg': photo_bytes()})
  summary = convert_birds(tmp_path, validation_fraction=fraction)
  train, validation = counts
  splits = {'train': train, 'validation': validation}
  assert summary.splits == {s: n for s, n in splits.items() if n}


@pytest.mark.parametrize('spelling', ['validation', 'val'])
def test_splits_above_the_classes(tmp_path, spelling):
  splits = {
    split: birds(count, f'{split}/')
    for count, split in enumerate(('train', spelling, 'test'), start=1)
  }
  write_tree(
    tmp_path / 'in', {k: v for s in splits.values() for k, v in s.items()}
  )
  summary = convert_birds(tmp_path)
  assert summary.splits == {'train': 3, 'validation': 6, 'test': 9}
  found = read_all(tmp_path / 'out')
  for split, files in splits.items():
    split = 'validation' if split == spelling else split
    assert set(found[split]) == expected(files)
  folder = str(tmp_path / 'out')
  assert evaluation_split('birds', folder) == 'validation'


def test_splits_are_known_in_capitals_too(tmp_path):
  trained, tested = birds(2, 'Train/'), birds(1, 'TEST/')
  write_tree(tmp_path / 'in', {**trained, **tested})
  assert convert_birds(tmp_path).splits == {'train': 6, 'test': 3}
  found = read_all(tmp_path / 'out')
  assert set(found['train']) == expected(trained)
  assert set(found['test']) == expected(tested)


def test_file_names_that_are_not_utf_8_keep_their_bytes(tmp_path):
  write_tree(tmp_path / 'in', birds(2))
  for name, data in (b'\xe9.jpg', photo_bytes()), (b'\xe8.jpg', b'no photo'):
    path = os.path.join(os.fsencode(tmp_path / 'in/crow'), name)
    with open(path, 'wb') as file:
      file.write(data)
  convert_birds(tmp_path, validation_fraction=0, max_rejected_fraction=0.5)
  (path,) = (tmp_path / 'out').glob('*.tfrecord')
  names = {example['image/filename'] for example in read_examples(path)}
  assert b'crow/\xe9.jpg' in names
  assert b'crow/\xe8.jpg,' in (tmp_path / 'out/rejected.csv').read_bytes()


@pytest.mark.parametrize('form', ['tar.gz', 'zip'])
@pytest.mark.parametrize('root', ['', 'photos/'])
def test_an_archive_of_them(tmp_path, root, form):
  files = birds()
  path = tmp_path / f'birds.{form}'
  inner = {f'{root}{name}': files[name] for name in files}
  if form == 'zip':
    with zipfile.ZipFile(path, 'w') as packed:
      for name, data in inner.items():
        packed.writestr(name, data)
  else:
    write_tarball(path, inner)
  assert convert_birds(tmp_path, path).splits == {'train': 27, 'validation': 3}
  splits = read_all(tmp_path / 'out')
  assert {*splits['train'], *splits['validation']} == expected(files)


@pytest.mark.parametrize(
  ('head', 'row'),
  [
    ('', '{path},{label}'),
    ('path,label', '{path},{label}'),
    ('Label, File', '{label}, {path}'),
    ('path,label,split', '{path},{label},train'),
    ('', '"{path}","{label}"'),
  ],
)
def test_a_csv_file_of_path_and_label(tmp_path, head, row):
  files = birds(3, 'all/')
  write_tree(tmp_path / 'in', files)
  rows = [row.format(path=path, label=path.split('/')[1]) for path in files]
  lines = [head, *rows] if head else rows
  (tmp_path / 'in/list.csv').write_text('\n'.join(lines))
  convert_birds(tmp_path, tmp_path / 'in/list.csv', validation_fraction=0)
  assert set(read_all(tmp_path / 'out')['train']) == expected(files)


def test_a_csv_file_with_splits(tmp_path):
  write_tree(tmp_path / 'in', birds(2))
  lines = [
    f'{name}/{number}.jpg,{name},{("train", "test")[number]}\n'
    for name in CLASSES
    for number in (0, 1)
  ]
  (tmp_path / 'in/list.csv').write_text(''.join(lines))
  summary = convert_birds(tmp_path, tmp_path / 'in/list.csv')
  assert summary.splits == {'train': 3, 'test': 3}
  assert evaluation_split('birds', str(tmp_path / 'out')) == 'test'


def test_a_missing_photo_of_a_csv_file_is_rejected(tmp_path):
  write_tree(tmp_path / 'in', birds(2))
  names = [f'{name}/{n}.jpg,{name}\n' for name in CLASSES for n in (0, 1, 2)]
  (tmp_path / 'in/list.csv').write_text(''.join(names))
  source = tmp_path / 'in/list.csv'
  assert convert_birds(tmp_path, source, max_rejected_fraction=1).rejected == 3
  rejected = (tmp_path / 'out/rejected.csv').read_text()
  assert 'crow/2.jpg,cannot be read: No such file or directory\n' in rejected


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', r'lists no photos'),
    ('a.jpg', r"'a\.jpg' is not a path and a label"),
    ('a.jpg,', r"'a\.jpg,' is not a path and a label"),
    ('a.jpg,x,dev', r"'dev' in 'a\.jpg,x,dev' is not a split; known: train,"),
    ('a.jpg,x,train\nb.jpg,y', r'names a split for some photos only'),
    ('a.jpg,x,train\na.jpg,x', r'names a split for some photos only'),
    ('a.jpg,x\nb.jpg,x', r"photos of one class only, 'x'"),
    ('a.jpg,x,test\nb.jpg,y,test', r'no photos to train on'),
    ('"a.jpg', r'Cannot read .*list\.csv as CSV'),
    (
      'species,where\nx,a.jpg\ny,b.jpg',
      r"'species,where', names neither a photo nor the columns \(path: path, fi",
    ),
    ('where,what\nx,a.jpg', r"'where,what', names neither a photo nor the col"),
    ('a.jpg,x\nb.jpg,y\n\xe9.jpg,x', r'list\.csv, line 3 is not text in UTF-8'),
    ('a.jpg,x\nb\0.jpg,y', r'list\.csv, line 2 contains a zero byte'),
    ('a.jpg,x\nb.jpg,y\na.jpg,y', r"lists 'a\.jpg' twice \(x and y\)"),
    ('a.jpg,x,train\na.jpg,x,test', r'twice \(x, train and x, test\): remove'),
    ('c.jpg,x\nd.jpg,y', r"none of its 2 photos exists, such as 'c\.jpg'"),
  ],
)
def test_wrong_csv_files(tmp_path, text, message):
  write_tree(tmp_path, dict.fromkeys(['a.jpg', 'b.jpg'], photo_bytes()))
  (tmp_path / 'list.csv').write_bytes(text.encode('latin1'))
  with pytest.raises(UserError, match=message):
    convert_birds(tmp_path, tmp_path / 'list.csv')


@pytest.mark.parametrize(
  ('files', 'options', 'message'),
  [
    ([], {}, r'No photos of .*: expected <class>/\*\.jpg, or train/'),
    (['1.jpg', '2.jpg'], {}, r'No photos of .*; 2 are not in a class folder: '),
    (['a/1.jpg', 'a/2.jpg'], {}, r"of one class only, 'a'"),
    (['train/1.jpg'], {}, r'train/1\.jpg is not in a class of a split'),
    (['train/a/1.jpg', 'more/a/1.jpg'], {}, r'more/a/1\.jpg is not in a class'),
    (
      ['test/a/1.jpg', 'val/b/1.jpg'],
      {},
      r'no photos to train on, only of test and validation\. --nosplit_folders',
    ),
    (
      ['train/1.jpg', 'bus/1.jpg'],
      {},
      r"'train' is taken for a split by its name, but bus/1\.jpg is not in a "
      r'class of a split\. --nosplit_folders takes folders with such names as',
    ),
    (
      ['train/a/1.jpg', 'test/b/1.jpg'],
      {'validation_fraction': 0.1},
      r'in splits \(test, train\): omit --validation_fraction',
    ),
  ],
)
def test_wrong_folders(tmp_path, files, options, message):
  write_tree(tmp_path / 'in', dict.fromkeys(files, photo_bytes()))
  (tmp_path / 'in').mkdir(exist_ok=True)
  with pytest.raises(UserError, match=message):
    convert_birds(tmp_path, **options)
  assert not (tmp_path / 'out').exists()


def test_a_folder_that_cannot_be_listed(tmp_path):
  write_tree(tmp_path / 'in', birds(1))
  (tmp_path / 'in/loop').symlink_to('loop')
  with pytest.raises(UserError, match=r"Cannot convert .*links: .*in/loop'"):
    convert_birds(tmp_path)


@pytest.mark.parametrize('name', ['my birds', '../birds', '', '-birds', 'a:b'])
def test_names_that_cannot_name_files(tmp_path, name):
  write_tree(tmp_path / 'in', birds(1))
  with pytest.raises(UserError, match=r'--dataset_name=.*use letters'):
    convert_birds(tmp_path, name=name)


def test_other_files_and_stray_photos_cause_warnings(tmp_path, warnings):
  strays = {'a.jpg': photo_bytes(), 'crow/x.txt': b'', 'crow/README': b''}
  write_tree(tmp_path / 'in', {**birds(2), **strays})
  assert sum(convert_birds(tmp_path).splits.values()) == 6
  assert [warning.partition(': ')[2] for warning in warnings] == [
    'ignored 2 files that are not photos (1 .txt, 1 no suffix)',
    'ignored photos that are not in a class folder: a.jpg',
  ]


@pytest.mark.parametrize(
  ('files', 'told'),
  [
    (['Crow/1.jpg', 'Crow/2.jpg', 'crow/1.jpg', 'crow/2.jpg'], ['Crow / crow']),
    (['a/1.jpg', 'b/1.jpg', 'b/2.jpg'], ['Classes without validation', ': a']),
    (['train/a/1.jpg', 'val/b/1.jpg'], ['train photos: b', 'tion photos: a']),
    ([f'{n}/1.jpg' for n in 'abcdefgh'], ['a, b, c, d, e and 3 more']),
    (['crow/1.jpg', 'test/1.jpg'], ['train, test is taken as a class']),
  ],
)
def test_likely_mistakes_cause_warnings(tmp_path, warnings, files, told):
  write_tree(tmp_path / 'in', dict.fromkeys(files, photo_bytes()))
  convert_birds(tmp_path)
  assert all(words in '\n'.join(warnings) for words in told)


def test_small_classes_have_a_photo_for_validation_too(tmp_path):
  write_tree(tmp_path / 'in', birds(2))
  assert convert_birds(tmp_path).splits == {'train': 3, 'validation': 3}


def test_a_link_that_leads_nowhere_is_rejected(tmp_path):
  write_tree(tmp_path / 'in', birds(2))
  (tmp_path / 'in/crow/gone.jpg').symlink_to('nowhere.jpg')
  assert convert_birds(tmp_path, max_rejected_fraction=0.5).rejected == 1
  rejected = (tmp_path / 'out/rejected.csv').read_text()
  assert 'crow/gone.jpg,cannot be read: No such file' in rejected


def test_a_set_of_other_photos_is_refused(tmp_path):
  write_tree(tmp_path / 'in', birds(2))
  write_tree(tmp_path / 'others', birds(2))
  convert_birds(tmp_path)
  assert convert_birds(tmp_path).already_complete
  with pytest.raises(
    UserError, match=r"already contains 'birds' made of .*/in: "
  ):
    convert_birds(tmp_path, tmp_path / 'others')


LISTS = {
  'tabs': ('list.txt', 'path\tlabel\n', '{path}\t{label}\n'),
  'tabs without names': ('list.tsv', '', '{path}\t{label}\n'),
  'semicolons': ('list.csv', 'filename;breed\n', '{path};{label}\n'),
  'spaces': ('list.txt', '', '{path}  {label}\n'),
  'bars': ('list.txt', 'image|class\n', '{path}|{label}\n'),
  'ids': ('list.csv', 'id,breed\n', '{stem},{label}\n'),
  'ids without names': ('list.csv', '', '{stem},{label}\n'),
  'ids of images': ('list.csv', 'label,image_id,n\n', '{label},{stem},7\n'),
  'paths of Windows': ('list.csv', '', '{windows},{label}\n'),
  'ids of photos in capitals': (
    'list.csv',
    'id,breed\n',
    '{capital},{label}\n',
  ),
  'quotes': ('list.csv', 'label;file\n', '"{label}";"{path}"\n'),
  'further columns': (
    'list.csv',
    'id,species,image,n\n',
    '{n},{label},{path},"a;b\tc"\n',
  ),
}


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('form', LISTS)
def test_a_list_is_read_whatever_its_delimiter_and_columns(
  tmp_path, form, encoding
):
  name, head, row = LISTS[form]
  files = birds(2, 'all/')
  if '{capital}' in row:
    files = {path.replace('.jpg', '.JPG'): files[path] for path in files}
  write_tree(tmp_path / 'in', files)
  rows = [
    row.format(
      path=path,
      stem=path.removesuffix('.jpg'),
      capital=path.removesuffix('.JPG'),
      windows=path.replace('/', '\\'),
      label=path.split('/')[1],
      n=number,
    )
    for number, path in enumerate(files)
  ]
  text = (head + ''.join(rows)).encode(encoding)
  (tmp_path / 'in' / name).write_bytes(text)
  convert_birds(tmp_path, tmp_path / 'in' / name, validation_fraction=0)
  assert set(read_all(tmp_path / 'out')['train']) == expected(files)


def test_the_photos_of_a_list_may_be_in_a_folder_beside_it(tmp_path, warnings):
  """As in competitions: labels.csv, train/<id>.jpg and test/."""
  photos = {f'train/00{n}.jpg': photo_bytes(seed=n) for n in range(4)}
  write_tree(tmp_path / 'in', {**photos, 'test/009.jpg': photo_bytes(seed=9)})
  text = 'id,breed\n' + ''.join(f'00{n},{"cd"[n % 2]}\n' for n in range(4))
  source = tmp_path / 'in/labels.csv'
  source.write_text(text)
  convert_birds(tmp_path, source, validation_fraction=0)
  found = read_all(tmp_path / 'out')['train']
  assert {(path, data) for path, data, _ in found} == {*photos.items()}
  assert warnings == [f'{source}: its photos are in {tmp_path / "in/train"}.']


def test_photos_of_a_list_that_may_be_in_two_folders_are_refused(tmp_path):
  names = [f'{folder}/{n}.jpg' for folder in ('test', 'train') for n in '01']
  write_tree(
    tmp_path / 'in', {n: photo_bytes(seed=i) for i, n in enumerate(names)}
  )
  source = tmp_path / 'in/labels.csv'
  source.write_text('id,label\n0,cat\n1,dog\n')
  with pytest.raises(UserError, match=r'may be in test or train: write the fo'):
    convert_birds(tmp_path, source)


def test_classes_below_what_is_taken_as_classes_are_told(tmp_path, warnings):
  photos = {
    f'{top}/{name}/{n}.jpg': photo_bytes(seed=n)
    for top in ('seg_test', 'seg_train')
    for name in ('sea', 'street')
    for n in range(3)
  }
  photos['seg_train/2.jpg'] = photo_bytes(seed=7)
  write_tree(tmp_path / 'in', photos)
  convert_birds(tmp_path)
  assert (
    f'{tmp_path / "in"}: the folders sea, street in seg_test are one class, '
    'seg_test.'
  ) in warnings
  assert not any('in seg_train' in warning for warning in warnings)


def test_a_column_that_is_chosen_among_several_is_named(tmp_path, warnings):
  write_tree(tmp_path / 'in', birds(2))
  rows = [f'{path},{path.split("/")[0]},7\n' for path in birds(2)]
  (tmp_path / 'in/list.csv').write_text('file,label,class\n' + ''.join(rows))
  convert_birds(tmp_path, tmp_path / 'in/list.csv')
  assert "the column 'label' is taken as label, not 'class'." in warnings[0]


def test_devices_and_pipes_among_photos_are_rejected_rows(tmp_path):
  write_tree(tmp_path / 'in', birds(2))
  os.mkfifo(tmp_path / 'in/crow/pipe.jpg')
  (tmp_path / 'in/gull/zero.jpg').symlink_to('/dev/zero')
  for source in (tmp_path / 'in', tmp_path / 'in/list.csv'):
    if source.suffix:
      rows = [f'{path},{path.split("/")[0]}\n' for path in birds(2)]
      rows += ['/dev/zero,crow\n', 'crow/pipe.jpg,gull\n']
      source.write_text(''.join(rows))
    out = tmp_path / f'out{source.suffix}'
    options = Options(max_rejected_fraction=0.5)
    assert convert('birds', str(out), str(source), options).rejected == 2
    rejected = (out / 'rejected.csv').read_text()
    assert rejected.count('cannot be read: it is a device or pipe') == 2


def test_empty_folders_are_named_and_kept_by_an_option(tmp_path, warnings):
  write_tree(tmp_path / 'in', {**birds(2), 'emu/1': photo_bytes()})
  (tmp_path / 'in/dodo').mkdir()
  assert convert_birds(tmp_path).num_classes == 3
  assert (
    f'{tmp_path / "in"}: folders without photos are no classes: dodo, emu. '
    '--keep_empty_classes keeps them as classes.'
  ) in warnings
  options = Options(keep_empty_classes=True)
  kept = convert('birds', str(tmp_path / 'k'), str(tmp_path / 'in'), options)
  assert kept.num_classes == 5
  assert kept.empty_classes == ('dodo', 'emu')
  labels = (tmp_path / 'k/labels.txt').read_text()
  assert labels == '0:crow\n1:dodo\n2:emu\n3:gull\n4:wren\n'


def test_an_empty_folder_of_a_split_is_named(tmp_path, warnings):
  write_tree(tmp_path / 'in', birds(2, 'train/'))
  (tmp_path / 'in/val/crow').mkdir(parents=True)
  summary = convert_birds(tmp_path, keep_empty_classes=True)
  assert summary.splits == {'train': 3, 'validation': 3}
  assert summary.num_classes == 3
  assert warnings == [f'{tmp_path / "in"}: no photos in val.']


def test_folders_named_like_splits_are_classes_on_request(tmp_path):
  files = {
    f'{name}/{n}.jpg': photo_bytes(seed=n)
    for name in ('bus', 'train', 'test')
    for n in range(2)
  }
  write_tree(tmp_path / 'in', files)
  summary = convert_birds(tmp_path, split_folders=False)
  assert summary.splits == {'train': 3, 'validation': 3}
  labels = (tmp_path / 'out/labels.txt').read_text()
  assert labels == '0:bus\n1:test\n2:train\n'


@pytest.mark.parametrize(
  ('names', 'order'),
  [
    (['10', '9', '1'], ['1', '9', '10']),
    (['02', '2', '11'], ['02', '2', '11']),
    (['10', '9', 'x'], ['10', '9', 'x']),
  ],
)
def test_classes_that_are_all_numbers_are_sorted_as_numbers(
  tmp_path, warnings, names, order
):
  paths = [f'{name}/{n}.jpg' for name in names for n in range(2)]
  write_tree(tmp_path / 'in', dict.fromkeys(paths, photo_bytes()))
  convert_birds(tmp_path)
  labels = (tmp_path / 'out/labels.txt').read_text().split()
  assert [label.partition(':')[2] for label in labels] == order
  told = f'the classes are numbers, and in their order: label 0 is {order[0]!r}'
  assert (told in ' '.join(warnings)) == ('x' not in names)


def test_a_list_that_is_not_csv_is_named_by_line(tmp_path):
  write_tree(tmp_path / 'in', birds(2))
  source = tmp_path / 'in/list.csv'
  source.write_text('id,breed\ncrow/0,crow\ngull/0,"gull\nwren/0,wren\n')
  with pytest.raises(UserError, match=r'list\.csv as CSV: line 4: unexpected'):
    convert_birds(tmp_path, source)


@pytest.mark.parametrize('unit', ['",', '"\n,', '\'",', '"a" ', 'a', ','])
def test_a_long_list_of_anything_is_refused_at_once(tmp_path, unit):
  """Sniffing a delimiter takes the square of the length."""
  source = tmp_path / 'list.txt'
  source.write_text(unit * 100_000)
  start = time.monotonic()
  with pytest.raises(UserError, match=r'list\.txt'):
    convert_birds(tmp_path, source)
  assert time.monotonic() - start < 10


def test_a_class_without_a_usable_training_photo_is_named(tmp_path, warnings):
  files = {**birds(2, 'train/'), **birds(2, 'val/')}
  for number in range(2):
    files[f'train/gull/{number}.jpg'] = b'damaged'
  write_tree(tmp_path / 'in', files)
  summary = convert_birds(tmp_path, max_rejected_fraction=0.5)
  assert summary.splits == {'train': 4, 'validation': 6}
  assert len(warnings) == 1
  assert warnings[0].startswith('Classes without a usable train photo: gull. ')
