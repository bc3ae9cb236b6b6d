"""What a lock leaves behind."""

import pytest

from engine.run_dir import lock


@pytest.mark.parametrize('exists', [True, False])
@pytest.mark.parametrize('writes', [True, False])
def test_a_folder_stays_only_if_it_was_there_or_is_used(
  tmp_path, exists, writes
):
  folder = tmp_path / 'train'
  if exists:
    folder.mkdir()
  with lock.exclusive(folder):
    if writes:
      (folder / 'job.json').touch()
  assert folder.exists() == (exists or writes)
  assert not folder.exists() or (folder / '.lock').exists() == writes
