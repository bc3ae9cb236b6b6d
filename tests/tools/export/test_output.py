"""The output folder: complete, or as it was."""

import re

import pytest

from errors import UserError
from tools.export import output


def put(folder, *names):
  folder.mkdir(exist_ok=True)
  for name in names:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()


def test_an_empty_folder_is_filled(tmp_path):
  (tmp_path / 'out').mkdir()
  with output.replacing(tmp_path / 'out', False) as (folder, work):
    put(folder, 'model')
    put(work, 'scratch')
    assert not any((tmp_path / 'out').iterdir())
  assert [path.name for path in tmp_path.rglob('*')] == ['out', 'model']


def test_another_model_is_replaced_as_a_whole(tmp_path):
  put(tmp_path / 'out', output.MARK, 'model.onnx')
  target = output.check(str(tmp_path / 'out'), overwrite=True)
  with output.replacing(target, True) as (folder, _):
    put(folder, output.MARK, 'model.tflite')
  assert {path.name for path in target.iterdir()} == {
    output.MARK,
    'model.tflite',
  }
  assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_a_failure_leaves_everything_as_it_was(tmp_path):
  put(tmp_path / 'out', output.MARK)

  def fail():
    with output.replacing(tmp_path / 'out', True) as (folder, _):
      put(folder, 'half')
      raise RuntimeError

  with pytest.raises(RuntimeError):
    fail()
  assert [path.name for path in tmp_path.rglob('*')] == ['out', output.MARK]


def test_what_a_killed_export_left_is_deleted_and_its_model_restored(tmp_path):
  put(tmp_path / '.out.abc', '.lock')
  put(tmp_path / '.out.abc' / 'old', output.MARK)
  put(tmp_path / '.out.abc' / 'new', 'half')
  (tmp_path / '.out.abc' / 'work').mkdir()
  target = output.check(str(tmp_path / 'out'), True)
  with output.replacing(target, True) as (folder, _):
    assert [path.name for path in target.iterdir()] == [output.MARK]
    # Another export at the same time is left alone.
    with output.replacing(target, True) as (other, _):
      assert folder.is_dir()
      put(other, output.MARK, 'model.onnx')
    put(folder, output.MARK, 'model.tflite')
  assert {path.name for path in target.iterdir()} == {
    output.MARK,
    'model.tflite',
  }
  assert [path.name for path in tmp_path.iterdir()] == ['out']


@pytest.mark.parametrize(
  ('names', 'overwrite', 'message'),
  [
    ([output.MARK], False, r'holds a model already: .*--overwrite'),
    (['thesis.tex'], False, r'holds files of something else'),
    (['thesis.tex'], True, r'holds files of something else'),
    ([output.MARK, 'model.onnx', 'note'], True, r'also holds note, which'),
    (
      [output.MARK, 'saved_model/60', 'saved_model/90'],
      True,
      r'also holds saved_model/90, which',
    ),
  ],
)
def test_a_full_folder_is_refused(tmp_path, names, overwrite, message):
  put(tmp_path / 'out', *names)
  with pytest.raises(UserError, match=message):
    output.check(str(tmp_path / 'out'), overwrite)


def test_a_file_or_nothing_is_refused(tmp_path):
  (tmp_path / 'out').touch()
  with pytest.raises(UserError, match=r'is a file: .*--output_dir'):
    output.check(str(tmp_path / 'out'), True)
  with pytest.raises(UserError, match=re.escape('--output_dir is required')):
    output.check(None, False)
