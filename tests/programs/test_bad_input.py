"""Wrong input: a short message, an exit code other than 0, no file changed."""

import pathlib
import re
import shutil

import pytest
from tiny_data import encode_example, encode_pixels, striped_images

from engine.checkpoints import store

# The message about an unknown network lists all networks.
MAX_MESSAGE_LENGTH = 800


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  """Returns the content of every file below a folder, by path."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file()
  }


def assert_error(process, pattern: str) -> None:
  """Asserts that a command failed with a matching message of 1 or 2 lines."""
  message = process.error
  assert message.count('\n') <= 1, message
  assert len(message) < MAX_MESSAGE_LENGTH, message
  assert re.search(pattern, message), message


# Flags added to those of a small run, and a pattern for the message.
FLAGS = {
  'network': (
    {'model_name': 'resnet_v1_5O'},
    r"network 'resnet_v1_5O'.*mean 'resnet_v1_50'.*lenet, cifarnet",
  ),
  'attention': (
    {'attention_module': 'cbam_blok'},
    r"attention module 'cbam_blok'.*mean 'cbam_block'.*se_block",
  ),
  'attention option': (
    {'attention_module': 'cbam_block(ration=8)'},
    r"no option 'ration'.*cbam_block\(ratio=8, kernel_size=7, ",
  ),
  'attention value': (
    {'attention_module': 'cbam_block(ratio=0)'},
    r'ratio.*0',
  ),
  'attention syntax': (
    {'attention_module': 'cbam_block(ratio=8'},
    r"Cannot read 'cbam_block\(ratio=8'.*'cbam_block\(ratio=16\)'",
  ),
  'optimizer': (
    {'optimizer': 'adm'},
    r"--optimizer 'adm'.*mean 'adam'.*rmsprop",
  ),
  'schedule': (
    {'learning_rate_decay_type': 'cosin'},
    r"'cosin'.*mean 'cosine'.*polynomial",
  ),
  'precision': (
    {'mixed_precision': 'float8'},
    r"'float8'.*Did you mean.*bfloat16, float16",
  ),
  'preprocessing': (
    {'preprocessing_name': 'incepton'},
    r"preprocessing 'incepton'.*mean 'inception'.*vgg",
  ),
  'data set': (
    {'dataset_name': 'digit'},
    # Once records are counted, dataset.json names the set.
    r"data set 'digit'.*mean 'digits'|contains the data set 'digits', not 'dig",
  ),
  'split': (
    {'dataset_split_name': 'validation'},
    r"split 'validation'.*'digits'.*'train'",
  ),
  'batch size': ({'batch_size': 0}, r'--batch_size=0.*at least 1'),
  'steps': ({'max_number_of_steps': -1}, r'--max_number_of_steps=-1.*at least'),
  'image size': (
    {'train_image_size': 3},
    r'--train_image_size=3 is too small for cifarnet.*minimum is \d',
  ),
  'offset': ({'labels_offset': 9}, r'--labels_offset=9 leaves 1 of the 10'),
  'scope to train': (
    {'trainable_scopes': 'CifarNet/logist'},
    r"--trainable_scopes.*'CifarNet/logist'.*CifarNet/logits",
  ),
  'rate': ({'learning_rate': 'nan'}, r'--learning_rate=nan.*finite'),
  'folder': (
    {'dataset_dir': 'nowhere'},
    r'no folder \S+nowhere.*download_and_convert_data\.py.*--dataset_name=digits',
  ),
  'no folder': (
    {'dataset_dir': None},
    r'--dataset_dir is required.*download_and_convert_data\.py',
  ),
  'type': ({'batch_size': 'many'}, r"--batch_size=many.*'many'"),
  'truth': ({'stop_on_nan': 'perhaps'}, r'--stop_on_nan=perhaps'),
  'flag': ({'learnin_rate': 1}, r"flag 'learnin_rate'.*mean: learning_rate"),
  'train_dir': (
    {'train_dir': 'file/train'},
    r'Cannot write to file/train: Not a directory',
  ),
  'checkpoint': (
    {'checkpoint_path': 'nowhere/model.ckpt-1'},
    r'No checkpoint nowhere/model\.ckpt-1',
  ),
  'checkpoint folder': (
    {'checkpoint_path': 'empty'},
    r'No checkpoint in empty',
  ),
  'clones': ({'num_clones': -1}, r'--num_clones=-1.*at least 1'),
  # Only root may listen at port 1.
  'server': (
    {'master': 'grpc://127.0.0.1:1'},
    r'--master=grpc://127\.0\.0\.1:1 does not answer',
  ),
}


@pytest.mark.parametrize('name', FLAGS)
def test_flags_of_training(train, tmp_path, name):
  (tmp_path / 'file').write_text('no folder')
  (tmp_path / 'empty').mkdir()
  before = contents(tmp_path)
  flags, pattern = FLAGS[name]
  process = train(**flags)
  assert_error(process, pattern)
  assert process.code == 2
  assert contents(tmp_path) == before
  assert not (tmp_path / 'train').exists()


def test_an_argument_that_is_not_a_flag(train, tmp_path):
  assert_error(train('batch_size=8'), r"'batch_size=8'.*--name=value")
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_wrong_flag_from_a_cold_start(train, tmp_path):
  process = train(model_name='lenett', cold=True)
  assert_error(process, "network 'lenett'.*mean 'lenet'")
  assert process.code == 2
  assert not list(tmp_path.iterdir())


EVALUATION = {
  'server': (
    {'master': 'grpc://127.0.0.1:1'},
    r'--master=grpc://127\.0\.0\.1:1 does not answer',
  ),
  'no checkpoint': ({'checkpoint_path': 'nowhere'}, r'No checkpoint nowhere'),
  'empty folder': ({'checkpoint_path': 'empty'}, r'No checkpoint in empty'),
  'other step': (
    {'checkpoint_path': '{train}/model.ckpt-9'},
    r'No checkpoint .*model\.ckpt-9.*Its folder has: .*model\.ckpt-4',
  ),
  'network': (
    {'model_name': 'lenet'},
    r'--model_name=lenet contradicts .*--model_name=cifarnet',
  ),
  'unknown network': ({'model_name': 'lenett'}, r"'lenett'.*mean 'lenet'"),
  'attention': (
    {'attention_module': 'se_block'},
    r'--attention_module=se_block contradicts .*None',
  ),
  'other attention': (
    {'checkpoint_path': '{cbam}', 'attention_module': 'se_block'},
    r'=se_block contradicts .*=cbam_block',
  ),
  'ratio': (
    {'checkpoint_path': '{cbam}', 'attention_module': 'cbam_block(ratio=4)'},
    r'ratio=4\) contradicts .*=cbam_block',
  ),
  'classes': ({'labels_offset': 1}, r'on 10 classes, digits has 9'),
  'split': (
    {'dataset_split_name': 'validation'},
    r"split 'validation'.*'test' and 'train'|'train' and 'test'",
  ),
  'batch size': ({'batch_size': 0}, r'--batch_size=0.*at least 1'),
  'image size': ({'eval_image_size': 3}, r'--eval_image_size=3 is too small'),
  'preprocessing': (
    {'preprocessing_name': 'lenat'},
    r"preprocessing 'lenat'.*mean 'lenet'",
  ),
  'batches': ({'max_num_batches': 0}, r'--max_num_batches=0.*at least 1'),
  'data': ({'dataset_dir': 'nowhere'}, r'no folder \S*nowhere'),
}


def with_folders(flags: dict, trained: pathlib.Path) -> dict:
  """Replaces {train}, {cbam} and {se} in flags by the trained folders."""
  folders = {name: trained / name for name in ('train', 'cbam', 'se')}
  return {
    name: value.format(**folders) if isinstance(value, str) else value
    for name, value in flags.items()
  }


@pytest.mark.parametrize(
  ('program', 'name'),
  [
    *(('eval', name) for name in EVALUATION),
    *(('loop', name) for name in ('network', 'ratio', 'classes', 'data')),
  ],
)
def test_flags_of_evaluation(run, trained, tmp_path, name, program):
  (tmp_path / 'empty').mkdir()
  before = contents(tmp_path)
  flags, pattern = EVALUATION[name]
  flags = {'checkpoint_path': '{train}', 'eval_dir': 'eval', **flags}
  assert_error(run(program, **with_folders(flags, trained)), pattern)
  assert contents(tmp_path) == before


@pytest.mark.parametrize(
  ('flags', 'pattern'),
  [
    ({'best_metric': 'accuracy'}, "'accuracy'.*mean 'Accuracy'.*loss"),
    ({'early_stop_patience': 0}, '--early_stop_patience=0.*at least 1'),
    ({'attention_module': 'cbam'}, "'cbam'.*cbam_block"),
    ({'model_name': 'lenett'}, "'lenett'.*mean 'lenet'"),
  ],
)
def test_the_loop_refuses_flags_before_it_waits(run, tmp_path, flags, pattern):
  assert_error(run('loop', checkpoint_path='yet_to_come', **flags), pattern)
  assert not list(tmp_path.iterdir())


# Without job.json, only the variables show which network a checkpoint is of.
CHECKPOINTS = {
  'network': (
    'train', {'model_name': 'lenet', 'eval_image_size': 16},
    r'Its variables are in CifarNet: set --model_name',
  ),
  'plain for cbam': (
    'train', {'attention_module': 'cbam_block'},
    r"it lacks .*Try --attention_module='none'",
  ),
  'cbam for plain': (
    'cbam', {}, r"network lacks .*Try --attention_module='cbam_block'",
  ),
  'cbam for se': (
    'cbam', {'attention_module': 'se_block'},
    r"Try --attention_module='cbam_block'",
  ),
  'ratio': (
    'cbam', {'attention_module': 'cbam_block(ratio=4)'},
    r"shapes differ.*Try --attention_module='cbam_block'",
  ),
  'classes': (
    'train', {'labels_offset': 1}, r'It has 10 classes, the data 9',
  ),
  'image size': (
    'train', {'eval_image_size': 32}, r'another image size',
  ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize('name', CHECKPOINTS)
def test_a_checkpoint_of_something_else(run, trained, tmp_path, digits, name):
  folder, flags, pattern = CHECKPOINTS[name]
  shutil.copytree(trained / folder, tmp_path / 'train')
  (tmp_path / 'train' / 'job.json').unlink()
  (tmp_path / 'train' / 'evaluations.json').unlink(missing_ok=True)
  before = contents(tmp_path)
  data = {'dataset_name': 'digits', 'dataset_dir': digits}
  process = run(
    'eval', checkpoint_path='train',
    **{'model_name': 'cifarnet', 'eval_image_size': 16, **data, **flags},
  )  # fmt: skip
  assert_error(process, pattern)
  assert 'train/model.ckpt-4 is of another network' in process.error
  assert contents(tmp_path) == before


FINE_TUNING = {
  'network': (
    'train', {'model_name': 'lenet'}, r'--model_name=lenet contradicts .*cifar',
  ),
  'other attention': (
    'cbam', {'attention_module': 'se_block'}, r'=se_block contradicts .*=cbam',
  ),
  'ratio': (
    'cbam', {'attention_module': 'cbam_block(ratio=4)'},
    r'ratio=4\) contradicts .*=cbam',
  ),
  'image size': ('train', {'train_image_size': 32}, r'another image size'),
  'scope to exclude': (
    'train', {'checkpoint_exclude_scopes': 'CifarNet/logist'},
    r"--checkpoint_exclude_scopes.*'CifarNet/logist'.*CifarNet/logits",
  ),
}  # fmt: skip


@pytest.mark.parametrize('name', FINE_TUNING)
def test_fine_tuning_from_something_else(train, trained, tmp_path, name):
  folder, flags, pattern = FINE_TUNING[name]
  process = train(checkpoint_path=trained / folder, **flags)
  assert_error(process, pattern)
  assert not store.in_folder(tmp_path / 'train')


RESUMING = {
  'network': ({'model_name': 'lenet'}, r'with --model_name=cifarnet, not --model_name=lenet'),
  'attention': (
    {'attention_module': 'se_block'}, r'trained without --attention_module, not .*se_block: omit',
  ),
  'optimizer': ({'optimizer': 'adam'}, r'--optimizer=sgd, not --optimizer=adam'),
  'classes': ({'labels_offset': 1}, r'--labels_offset=0, not --labels_offset=1'),
  'image size': ({'train_image_size': 32}, r'image size|train_image_size=16'),
}  # fmt: skip


@pytest.mark.parametrize('name', RESUMING)
def test_resuming_as_something_else(train, copied, name):
  before = contents(copied)
  flags, pattern = RESUMING[name]
  assert_error(train(max_number_of_steps=9, **flags), pattern)
  assert contents(copied) == before


def test_a_damaged_checkpoint(run, copied):
  data = copied / 'model.ckpt-4.data-00000-of-00001'
  content = bytearray(data.read_bytes())
  content[len(content) // 2] ^= 255
  data.write_bytes(content)
  before = contents(copied)
  process = run('eval', checkpoint_path='train/model.ckpt-4')
  assert_error(
    process, r'model\.ckpt-4 is damaged.*Its folder has: train/model\.ckpt-0'
  )
  assert contents(copied) == before
  # Of a folder, the newest readable checkpoint is used, with a message.
  process = run('eval', checkpoint_path='train')
  assert process.code == 0, process.stderr
  assert 'model.ckpt-4, which is damaged' in process.stderr
  assert 'Evaluating train/model.ckpt-0 ' in process.stderr


# Damaged data ----------------------------------------------------------------


def record_spans(path: pathlib.Path) -> list[tuple[int, int]]:
  """Returns (offset, length) of each record's data in a record file."""
  content, records, position = path.read_bytes(), [], 0
  while position < len(content):
    length = int.from_bytes(content[position : position + 8], 'little')
    records.append((position + 12, length))
    position += length + 16
  return records


def write(path: pathlib.Path, examples: list[bytes]) -> None:
  from datasets import records

  records.write_shard(path, examples, lambda example: example)


def examples(count: int) -> list[bytes]:
  images, labels = striped_images(count, 0)
  pairs = zip(images, labels, strict=True)
  return [encode_pixels(pair) for pair in pairs]


def truncated(path: pathlib.Path) -> None:
  offset, length = record_spans(path)[7]
  path.write_bytes(path.read_bytes()[: offset + length // 2])


def corrupt(path: pathlib.Path) -> None:
  content = bytearray(path.read_bytes())
  offset, length = record_spans(path)[7]
  content[offset + length // 2] ^= 255
  path.write_bytes(content)


def endless(path: pathlib.Path) -> None:
  """Writes an enormous length with a correct checksum; the file size stays."""
  from datasets import record_files

  offset, _ = record_spans(path)[7]
  content = bytearray(path.read_bytes())
  length = (1 << 50).to_bytes(8, 'little')
  content[offset - 12 : offset] = length + record_files.checksum(length)
  path.write_bytes(content)


def mislabeled(path: pathlib.Path) -> None:
  wrong = encode_pixels((striped_images(1, 0)[0][0], 12))
  good = examples(20)
  write(path, [*good[:7], wrong, *good[7:]])


def undecodable(path: pathlib.Path) -> None:
  wrong = encode_example(b'no image', 'png', 1, 32, 32)
  good = examples(20)
  write(path, [*good[:7], wrong, *good[7:]])


def not_an_example(path: pathlib.Path) -> None:
  good = examples(20)
  write(path, [*good[:7], b'\xff\xff', *good[7:]])


# Damage -> (pattern for the message, number of records lost of 23).
DAMAGES = {
  truncated: (r'is truncated', None),
  endless: (r'is truncated: 1125899\d+ bytes', None),
  corrupt: (r'is corrupt: wrong checksum', 1),
  mislabeled: (r'label 12 is outside 0\.\.9', 1),
  undecodable: (r'does not decode', 1),
  not_an_example: (r'is not a tf\.train\.Example', 1),
}


@pytest.fixture(params=DAMAGES, ids=lambda damage: damage.__name__)
def damaged(request, digits, tmp_path):
  """Returns a copy of digits in which record 7 of both files is bad."""
  folder = tmp_path / 'data'
  shutil.copytree(digits, folder)
  (folder / 'dataset.json').unlink(missing_ok=True)
  if request.param is endless:
    from datasets import dataset_factory

    # Counts the records before the damage: counting would find it.
    for split in ('train', 'test'):
      dataset_factory.get_dataset('digits', split, str(folder))
  for path in folder.glob('*.tfrecord'):
    request.param(path)
  return folder, *DAMAGES[request.param]


@pytest.mark.slow
def test_training_names_a_bad_record(train, tmp_path, damaged):
  folder, pattern, _ = damaged
  process = train(dataset_dir=folder, max_number_of_steps=100)
  path = re.escape(str(folder / 'digits_train.tfrecord'))
  assert_error(process, rf'{path}: record 7 .*{pattern}.*--skip_bad_records')
  for checkpoint in store.in_folder(tmp_path / 'train'):
    assert store.read_problem(checkpoint) is None


@pytest.mark.slow
def test_evaluation_names_a_bad_record(run, trained, tmp_path, damaged):
  folder, pattern, _ = damaged
  process = run(
    'eval', checkpoint_path=trained / 'train', dataset_dir=folder,
    eval_dir='eval', predictions_file='predictions.csv',
  )  # fmt: skip
  path = re.escape(str(folder / 'digits_test.tfrecord'))
  assert_error(process, rf'{path}: record 7 .*{pattern}.*--skip_bad_records')
  assert {p.name for p in tmp_path.iterdir()} <= {'data', 'eval'}
  assert not list((tmp_path / 'eval').glob('results*'))


@pytest.mark.slow
def test_training_skips_bad_records(train, damaged):
  folder, _, _ = damaged
  process = train(
    '--skip_bad_records', dataset_dir=folder, max_number_of_steps=8
  )
  assert process.code == 0, process.stderr
  assert re.search(
    r'global step 8/8: .*\d+ bad records skipped', process.stderr
  )


@pytest.mark.slow
def test_evaluation_skips_bad_records(run, trained, damaged):
  folder, _, cost = damaged
  process = run(
    'eval', '--skip_bad_records', checkpoint_path=trained / 'train',
    dataset_dir=folder, eval_dir='eval',
  )  # fmt: skip
  assert process.code == 0, process.stderr
  total = len(record_spans(folder / 'digits_test.tfrecord'))
  skipped = re.search(r'(\d+) bad records? were skipped', process.stderr)
  count = re.search(r'^(\d+) records, loss', process.stderr, re.MULTILINE)
  assert skipped, process.stderr
  if cost is not None:
    assert int(skipped[1]) == cost
    assert int(count[1]) == total - cost
  else:
    assert int(count[1]) == 7


@pytest.mark.parametrize('program', ['train', 'eval'])
def test_missing_and_empty_record_files(run, train, trained, tmp_path, program):
  data = tmp_path / 'data'
  data.mkdir()

  def command():
    if program == 'train':
      return train(dataset_dir=data)
    return run(
      'eval', checkpoint_path=trained / 'train', dataset_dir=data,
      eval_dir='eval',
    )  # fmt: skip

  assert_error(
    command(), r"No records of 'digits' in .*download_and_convert_data\.py"
  )
  for split in ('train', 'test'):
    (data / f'digits_{split}.tfrecord').touch()
  assert_error(command(), r"records of 'digits' in .* are empty")
  assert not store.in_folder(tmp_path / 'train')
  assert not (tmp_path / 'eval').exists()


# Conversion ------------------------------------------------------------------


@pytest.mark.parametrize(
  ('flags', 'pattern'),
  [
    ({'dataset_name': 'digit'}, "'digit'.*mean 'digits'.*cifar10"),
    ({'dataset_name': None}, '--dataset_name is required'),
    ({'dataset_dir': None}, '--dataset_dir is required'),
    ({'dataset_name': 'mnist', 'source_dir': 'nowhere'}, 'nowhere'),
    ({'dataset_name': 'mnist', 'source_dir': 'empty'}, 'empty'),
    ({'dataset_dir': 'file/out'}, 'file/out'),
  ],
)
def test_conversion(run, tmp_path, flags, pattern):
  (tmp_path / 'file').write_text('no folder')
  (tmp_path / 'empty').mkdir()
  before = contents(tmp_path)
  flags = {'dataset_name': 'digits', 'dataset_dir': 'out', **flags}
  assert_error(run('convert', **flags), pattern)
  assert contents(tmp_path) == before
