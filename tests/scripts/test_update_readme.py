import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def update_readme():
  path = ROOT / 'scripts' / 'update_readme.py'
  spec = importlib.util.spec_from_file_location('update_readme', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_the_readme_shows_the_flags_as_they_are(update_readme):
  text = (ROOT / 'README.md').read_text()
  assert update_readme.update(text) == text, 'run scripts/update_readme.py'


def test_a_place_that_is_gone_is_noticed(update_readme):
  with pytest.raises(ValueError, match=r'README\.md has no .*train flags'):
    update_readme.update('nothing')
