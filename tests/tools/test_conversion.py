"""Conversion in a locked folder, and what an interruption prints."""

import errno
import os

import pytest

from datasets import staging
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


@pytest.mark.parametrize('is_done', [False, True])
def test_an_interrupted_conversion_prints_how_to_resume(
  tmp_path, monkeypatch, capsys, is_done
):
  def interrupted(name, folder, source, options):
    if is_done:
      staging.Staging(tmp_path).open([], resume=False)
    raise KeyboardInterrupt

  monkeypatch.setattr(conversion.converters, 'convert', interrupted)
  job = ConvertJob(dataset_name='digits', dataset_dir=str(tmp_path))
  with pytest.raises(KeyboardInterrupt):
    conversion.convert(job)
  assert ('add --resume' in capsys.readouterr().err) == is_done
