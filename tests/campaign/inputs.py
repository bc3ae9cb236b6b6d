"""Damaged inputs: every kind of file that the programs read."""

import dataclasses
import gzip
import hashlib
import pathlib
import random
import re
import shutil
import signal
import time
from collections.abc import Iterable

from damage import damage
from original_files import (
  cifar_files,
  photo_bytes,
  write_files,
  write_idx,
  write_photos,
  write_tarball,
  write_tree,
)
from processes import Process, Server, until
from tiny_data import write_digits

SLOW, HANG = 60.0, 300.0  # seconds
PICTURES = 0.1  # share of the trials that write their plots
LONGEST_MESSAGE = 2  # lines

SMALL = {
  'model_name': 'tiny_plain', 'optimizer': 'sgd', 'batch_size': 4, 'seed': 1,
  'log_every_n_steps': 1, 'num_readers': 1, 'num_preprocessing_threads': 1,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Kind:
  """A command, and the files that it reads.

  Attributes:
    program: as in processes.PROGRAMS.
    folder: the template whose copy is the working directory.
    files: patterns of the files to damage.
    flags: flags of the command.
    weight: how often it is tried, beside the others.
    keeps: patterns of the files that the command may not change.
    is_checked: whether the files have checksums or a structure by which the
      command notices all damage that changes what it reports.
  """

  program: str
  folder: str
  files: tuple[str, ...]
  flags: dict[str, object]
  weight: int
  keeps: tuple[str, ...] = ('**/*',)
  is_checked: bool = False


def _convert(
  name: str,
  folder: str,
  files: str,
  weight: int,
  is_checked: bool = True,
  **more: object,
) -> Kind:
  flags = {'dataset_name': name, 'dataset_dir': 'records', 'num_processes': 1}
  return Kind(
    'convert',
    folder,
    (files,),
    {**flags, **more},
    weight,
    is_checked=is_checked,
  )


# job.json names the folder of the template's records.
_CHECKPOINT = {'checkpoint_path': 'train', 'dataset_dir': 'digits'}
_RECORDS = {'dataset_name': 'mine', 'dataset_dir': '.', 'num_processes': 1}
_RESUMED = {
  'train_dir': 'train', 'dataset_name': 'digits', 'dataset_dir': 'digits',
  'max_number_of_steps': 5, **SMALL,
}  # fmt: skip
_CSV_BOX = b'n01440764_0.JPEG,0.1,0,0.5,0.5\n' * 2
_XML_BOX = b"""<annotation>
  <size><width>16</width><height>12</height><depth>3</depth></size>
  <object><name>n01440764</name><bndbox>
    <xmin>2</xmin><ymin>1</ymin><xmax>10</xmax><ymax>5</ymax>
  </bndbox></object>
</annotation>"""
_KEPT_RECORDS = '*.tfrecord*', 'labels.txt'
_KEPT_RUN = 'digits/**/*', 'train/model.ckpt*'
KINDS = {
  'photos': _convert('mine', 'photos', 'photos/*/*', 11, source_dir='photos'),
  'list of photos': _convert('mine', 'list', 'list.csv', 7, False, source_dir='list.csv'),
  'tar': _convert('mine', 'tar', 'photos.tar', 6, source_dir='photos.tar'),
  'tar.gz': _convert('mine', 'tar.gz', 'photos.*', 4, source_dir='photos.tar.gz'),
  'zip': _convert('mine', 'zip', 'photos.*', 8, source_dir='photos.zip'),
  'CIFAR-10 pickles': _convert('cifar10', 'pickles', 'cifar/*', 8, source_dir='cifar'),
  'CIFAR-10 binary': _convert('cifar10', 'binary', 'cifar/*', 6, False, source_dir='cifar'),
  'MNIST': _convert('mnist', 'mnist', 'mnist/*', 7, source_dir='mnist'),
  **{
    f'ImageNet, boxes in {form}': _convert(
      'imagenet', form, f'in/**/*.{form.lower()}', 4, False, source_dir='in',
      keep_empty_classes=True,
    )
    for form in ('XML', 'CSV')
  },
  'records, inspected': Kind(
    'inspect', 'records', ('*.tfrecord*',), _RECORDS, 7, _KEPT_RECORDS, True
  ),
  'records in gzip, inspected': Kind(
    'inspect', 'gzip', ('*.tfrecord*',), _RECORDS, 3, _KEPT_RECORDS, True
  ),
  'records, drawn': Kind(
    'inspect', 'records', ('*.tfrecord*',),
    {**_RECORDS, 'output': 'sheet.png', 'num_images': 2}, 1, _KEPT_RECORDS, True,
  ),
  'description of records': Kind(
    'inspect', 'records', ('dataset.json', 'labels.txt'), _RECORDS, 9,
    _KEPT_RECORDS,
  ),
  'records, evaluated': Kind(
    'eval', 'run', ('digits/digits_test.tfrecord',), _CHECKPOINT, 2,
    ('train/model.ckpt*',), True,
  ),
  'records, trained on': Kind(
    'train', 'plain run', ('digits/digits_train.tfrecord',), _RESUMED, 2, (), True,
  ),
  'checkpoint': Kind(
    'eval', 'run', ('train/model.ckpt*', 'train/checkpoint'), _CHECKPOINT, 3,
    _KEPT_RUN, True,
  ),
  'files of a run, evaluated': Kind(
    'eval', 'run', ('train/*.json', 'train/*.csv', 'train/eval/*'),
    _CHECKPOINT, 3, _KEPT_RUN,
  ),
  'files of a run, resumed': Kind(
    'train', 'plain run',
    ('train/*.json', 'train/*.csv', 'train/model.ckpt*', 'train/checkpoint'),
    _RESUMED, 2, ('digits/**/*',),
  ),
  'files of a run, resumed and evaluated': Kind(
    'train', 'run',
    ('train/*.json', 'train/*.csv', 'train/checkpoint', 'train/best/*', 'train/eval/*'),
    _RESUMED, 1, ('digits/**/*',),
  ),
  'files of a run, in the loop': Kind(
    'loop', 'run', ('train/*.json', 'train/best/*', 'train/eval/*.csv', 'train/eval/*.json'),
    _CHECKPOINT, 2, _KEPT_RUN,
  ),
}  # fmt: skip


def prepare(server: Server, root: pathlib.Path) -> None:
  """Makes the template of each kind in root/<folder>."""
  photos = {
    f'photos/{kind}/{n}.{form.lower()}': photo_bytes(form, seed=n)
    for kind in ('cat', 'dog')
    for n, form in enumerate(('JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF'))
  }
  for folder in ('photos', 'list'):
    write_tree(root / folder, photos)
  lines = [f'{name},{name.split("/")[1]}\n' for name in photos]
  (root / 'list' / 'list.csv').write_text('path,label\n' + ''.join(lines))
  for name in ('tar', 'tar.gz', 'zip'):
    (root / name).mkdir()
  write_tarball(root / 'tar' / 'photos.tar', photos, compression='')
  write_tarball(root / 'tar.gz' / 'photos.tar.gz', photos)
  shutil.make_archive(str(root / 'zip' / 'photos'), 'zip', root / 'photos')
  write_files(root / 'pickles' / 'cifar', cifar_files('python'))
  write_files(root / 'binary' / 'cifar', cifar_files('binary'))
  for form, name, data in (
    ('XML', 'bounding_boxes/n01440764_0.xml', _XML_BOX),
    ('CSV', 'bounding_boxes.csv', _CSV_BOX),
  ):
    write_photos(root / form / 'in', 'train', ['n01440764'], 3)
    write_tree(root / form / 'in', {name: data})
  write_idx(root / 'mnist' / 'mnist', compress=True)
  _run(
    server, root / 'photos', 'convert', dataset_name='mine',
    source_dir='photos', dataset_dir=root / 'records',
  )  # fmt: skip
  shutil.copytree(root / 'records', root / 'gzip')
  for path in (root / 'gzip').glob('*.tfrecord*'):
    path.write_bytes(gzip.compress(path.read_bytes()))
  for name, steps in (('run', 2), ('plain run', None)):
    write_digits(root / name / 'digits', 8, 8)
    _run(
      server, root / name, 'train', eval_every_n_steps=steps,
      **{**_RESUMED, 'max_number_of_steps': 4},
    )  # fmt: skip


def check_undamaged(
  server: Server, templates: pathlib.Path, root: pathlib.Path
) -> None:
  """Runs the commands of all kinds without damage, and keeps what they report.

  Raises:
    AssertionError: if one fails, or changes what it should keep.
  """
  for name, kind in KINDS.items():
    folder = root / f'undamaged {name}'
    shutil.copytree(templates / kind.folder, folder)
    before = _digests(folder, kind.keeps)
    process = _run(server, folder, kind.program, **kind.flags)
    assert before.items() <= _digests(folder, kind.keeps).items(), name
    (templates / f'{name}.txt').write_text(_report(process, folder))


def _run(
  server: Server, folder: pathlib.Path, program: str, **flags
) -> Process:
  process = server.start(program, cwd=folder, tiny=True, **flags)
  assert process.wait() == 0, process.stderr
  return process


def _report(process: Process, folder: pathlib.Path) -> str:
  """Returns what a command has printed, without its folder and its speed."""
  text = f'{process.stdout}\n{process.stderr}'.replace(str(folder), '')
  return re.sub(r'[\d.]+ images/s', '', text)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a trial.

  Attributes:
    kind: what was tried.
    result: 'clean', 'refused', 'slow', 'trace', 'hang' or 'loss'.
    detail: what a developer needs to repeat it.
    kills: number of processes that were killed while they ran.
  """

  kind: str
  result: str
  detail: str
  kills: int = 0


def attempt(
  server: Server, templates: pathlib.Path, folder: pathlib.Path, seed: int
) -> Outcome:
  """Damages one file of one kind and runs the command that reads it.

  Args:
    server: starts the command.
    templates: the folders made by `prepare`.
    folder: a folder for this trial, which must not exist.
    seed: decides what is damaged and how.
  """
  rng = random.Random(seed)
  weights = [kind.weight for kind in KINDS.values()]
  (name,) = rng.choices(list(KINDS), weights)
  kind = KINDS[name]
  shutil.copytree(templates / kind.folder, folder)
  victim = rng.choice(sorted(_files(folder, kind.files)))
  way = damage(victim, rng)
  before = _digests(folder, kind.keeps)
  start = time.monotonic()
  process = server.start(
    kind.program, cwd=folder, tiny=True, pictures=rng.random() < PICTURES,
    **kind.flags,
  )  # fmt: skip
  detail = f'{way} of {victim.relative_to(folder)}'
  try:
    until(lambda: process.code is not None, 'its end', HANG)
  except AssertionError:
    process.signal(signal.SIGKILL)
    return Outcome(name, 'hang', f'{detail}\n{process.stderr}')
  seconds = time.monotonic() - start
  after = _digests(folder, kind.keeps)
  changed = [
    path for path, digest in before.items() if after.get(path) != digest
  ]
  if changed:
    return Outcome(name, 'loss', f'{detail}: {changed[0]} changed')
  result = _result(process)
  report, expected = _report(process, folder), templates / f'{name}.txt'
  is_noticed = way == 'folder' or _tells_more(report, expected.read_text())
  if result == 'clean' and kind.is_checked and not is_noticed:
    return Outcome(name, 'loss', f'{detail}, in silence:\n{report}')
  if result != 'trace' and seconds > SLOW:
    result, detail = 'slow', f'{detail}, {seconds:.0f} s'
  return Outcome(name, result, f'{detail}\n{process.stderr}')


def _result(process: Process) -> str:
  """Returns 'clean', 'refused' or 'trace', by the exit code and stderr."""
  if 'Traceback' in process.stderr or process.code not in (0, 1, 2):
    return 'trace'
  if process.code == 0:
    return 'clean'
  # inspect_data.py reports bad records.
  if process.code == 1 and 'cannot be used' in process.stdout:
    return 'refused'
  message = process.stderr.partition('error: ')[2]
  is_short = 0 < len(message.splitlines()) <= LONGEST_MESSAGE
  return 'refused' if is_short else 'trace'


def _tells_more(report: str, expected: str) -> bool:
  """Whether a report is as expected, or has a line that is more than numbers."""
  lines, expected_lines = (
    {re.sub(r'\d[\d.,]*', '0', line) for line in text.splitlines()}
    for text in (report, expected)
  )
  return report == expected or bool(lines - expected_lines)


def _files(folder: pathlib.Path, patterns: Iterable[str]) -> set[pathlib.Path]:
  return {
    path
    for pattern in patterns
    for path in folder.glob(pattern)
    if path.is_file()
  }


def _digests(
  folder: pathlib.Path, patterns: Iterable[str]
) -> dict[pathlib.Path, str]:
  return {
    path: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in _files(folder, patterns)
  }
