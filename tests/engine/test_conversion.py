"""Conversion as the program does it: alone in its folder."""

import errno
import pathlib

import pytest

from datasets import staging
from engine import conversion, lock
from engine.job import ConvertJob
from errors import UserError


def test_only_one_converts_into_a_folder(tmp_path):
  job = ConvertJob(dataset_name='digits', dataset_dir=str(tmp_path))
  with lock.only_one(tmp_path):
    with pytest.raises(
      UserError,
      match=r'Another process is converting into .* another --dataset_dir',
    ):
      conversion.convert(job)
    assert [path.name for path in tmp_path.iterdir()] == ['.lock']
  assert conversion.convert(job).splits == {'train': 1437, 'test': 360}
  assert not (tmp_path / '.lock').exists()


@pytest.mark.parametrize('is_there', [False, True])
def test_what_fails_leaves_folders_as_they_were(tmp_path, is_there):
  folder = tmp_path / 'out'
  if is_there:
    folder.mkdir()
  job = ConvertJob(dataset_name='digit', dataset_dir=str(folder))
  with pytest.raises(UserError, match="Did you mean 'digits'"):
    conversion.convert(job)
  assert folder.exists() == is_there
  assert not is_there or not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_into_is_named(tmp_path, monkeypatch):
  def refuse(path, mode):
    raise PermissionError(errno.EACCES, 'Permission denied', str(path))

  monkeypatch.setattr(pathlib.Path, 'open', refuse)
  job = ConvertJob(dataset_name='digits', dataset_dir=str(tmp_path))
  with pytest.raises(
    UserError, match=rf'write into --dataset_dir={tmp_path}: Permission denied'
  ):
    conversion.convert(job)


@pytest.mark.parametrize('is_done', [False, True])
def test_an_interrupted_conversion_tells_how_to_go_on(
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
  assert ('--resume goes on' in capsys.readouterr().err) == is_done
