"""Conversion in a locked folder, and what an interruption prints."""

import errno
import os
import signal

import pytest

from datasets import staging
from engine import signals
from engine.config.jobs import ConvertJob
from engine.run_dir import lock
from errors import UserError
from tools import conversion


def test_a_folder_that_another_process_converts_into_is_refused(tmp_path):
  job = ConvertJob(dataset_name='digits', dataset_dir=str(tmp_path))
  with lock.exclusive(tmp_path):
    with pytest.raises(
      UserError,
      match=r'Another process is converting into .* another --dataset_dir',
    ):
      conversion.convert(job)
    assert [path.name for path in tmp_path.iterdir()] == ['.lock']
  assert conversion.convert(job).splits == {'train': 1437, 'test': 360}
  with lock.exclusive(tmp_path):
    pass


@pytest.mark.parametrize('is_there', [False, True])
def test_a_failure_leaves_folders_unchanged(tmp_path, is_there):
  folder = tmp_path / 'out'
  if is_there:
    folder.mkdir()
  job = ConvertJob(dataset_name='digit', dataset_dir=str(folder))
  with pytest.raises(UserError, match="Did you mean 'digits'"):
    conversion.convert(job)
  assert folder.exists() == is_there
  assert not is_there or not list(folder.iterdir())


def test_an_unwritable_folder_is_named(tmp_path, monkeypatch):
  # As filelock opens its file; root may write into any folder.
  def refuse(path, *_):
    raise PermissionError(errno.EACCES, 'Permission denied', str(path))

  monkeypatch.setattr(os, 'open', refuse)
  job = ConvertJob(dataset_name='digits', dataset_dir=str(tmp_path))
  with pytest.raises(
    UserError, match=rf'write into --dataset_dir={tmp_path}: Permission denied'
  ):
    conversion.convert(job)


@pytest.mark.parametrize(
  'end', [KeyboardInterrupt(), signals.Terminated(signal.SIGTERM)], ids=repr
)
@pytest.mark.parametrize('is_done', [False, True])
def test_an_interrupted_conversion_prints_how_to_resume(
  tmp_path, monkeypatch, capsys, is_done, end
):
  def interrupted(name, folder, source, options):
    if is_done:
      staging.Staging(tmp_path).open([], resume=False)
    raise end

  monkeypatch.setattr(conversion.converters, 'convert', interrupted)
  job = ConvertJob(dataset_name='digits', dataset_dir=str(tmp_path))
  with pytest.raises(type(end)):
    conversion.convert(job)
  assert ('add --resume' in capsys.readouterr().err) == is_done


def test_every_option_of_a_conversion_is_a_flag(tmp_path, monkeypatch):
  given = {}

  def convert(name, folder, source, options):
    given.update(vars(options))
    return conversion.converters.Summary(name, folder, 3, 3, {'train': 1})

  monkeypatch.setattr(conversion.converters, 'convert', convert)
  flags = {
    'validation_fraction': 0.3,
    'seed': 7,
    'split_folders': False,
    'keep_empty_classes': True,
    'max_megapixels': 30,
    'max_rejected_fraction': 0.2,
    'num_processes': 3,
    'resume': True,
  }
  folder = str(tmp_path)
  conversion.convert(ConvertJob(dataset_name='x', dataset_dir=folder, **flags))
  assert given == flags
  conversion.convert(ConvertJob(dataset_name='x', dataset_dir=folder))
  assert given == vars(conversion.converters.Options())


def test_classes_without_records_are_named(tmp_path, monkeypatch, capsys):
  summary = conversion.converters.Summary(
    'birds', 'out', 3, 3, {'train': 1}, empty_classes=('emu', 'dodo')
  )
  monkeypatch.setattr(conversion.converters, 'convert', lambda *_: summary)
  job = ConvertJob(dataset_name='birds', dataset_dir=str(tmp_path))
  conversion.convert(job)
  assert '  classes without records: 2 (emu, dodo)\n' in capsys.readouterr().err
