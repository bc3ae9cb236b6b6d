"""Packaging: pyproject.toml and the constraints tell of one project."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PYPROJECT = (ROOT / 'pyproject.toml').read_text()
CONSTRAINTS = sorted((ROOT / 'constraints').glob('*.txt'))


def listed(key: str) -> list[str]:
  """The list of texts under a key of pyproject.toml (3.10 has no tomllib)."""
  text = re.search(rf'^"?{key}"? = (\[.*?\])$', PYPROJECT, re.M | re.S).group(1)
  return ast.literal_eval(text)


def pins(path: pathlib.Path) -> dict[str, list[str]]:
  """Package -> its pinned versions, one for each marker."""
  found: dict[str, list[str]] = {}
  for line in path.read_text().splitlines():
    if not line.startswith('#'):
      name, version = line.split(' ;')[0].split('==')
      found.setdefault(name, []).append(version)
  return found


def name_of(requirement: str) -> str:
  return re.match(r'[a-z0-9-]+', requirement).group()


def test_every_package_and_module_is_installed():
  packages = {
    path.parent.relative_to(ROOT).as_posix().replace('/', '.')
    for path in ROOT.glob('[a-z]*/**/__init__.py')
  }
  assert set(listed('packages')) == packages - {'benchmarks'}
  ground = {'errors', 'files', 'options', 'registry', 'tf_compat'}
  assert set(listed('py-modules')) == ground


@pytest.mark.parametrize('path', CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_pin_every_direct_dependency_and_name_no_host(path):
  direct = listed('dependencies') + listed('dev')
  assert {name_of(requirement) for requirement in direct} <= set(pins(path))
  assert not re.search(r'https?:|index-url|file:|@', path.read_text())


@pytest.mark.parametrize('extra', ['docs', 'export', 'gpu', 'tensorboard'])
def test_the_newest_constraints_pin_the_other_extras_too(extra):
  newest = pins(ROOT / 'constraints' / 'newest.txt')
  assert {name_of(requirement) for requirement in listed(extra)} <= set(newest)


@pytest.mark.parametrize(('which', 'minor'), [('newest', 21), ('oldest', 16)])
def test_constraints_hold_both_ends_of_what_is_supported(which, minor):
  versions = pins(ROOT / 'constraints' / f'{which}.txt')
  for package in ('tensorflow', 'tf-keras'):
    assert [v.split('.')[:2] for v in versions[package]] == [['2', str(minor)]]
  compat = (ROOT / 'tf_compat.py').read_text()
  assert re.search(rf'^OLDEST, NEWEST = .*\(2, {minor}\)', compat, re.M)
