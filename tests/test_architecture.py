"""The house: who imports whom, and the two doors, TensorFlow's and the flags'.

Each rule is held by reading the source, without importing it, and each is
shown to fail on a small wrong tree.
"""

import ast
import pathlib
import re
from collections.abc import Collection, Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Module or package -> what of the house it may import, itself always. The
# programs, which are all other modules beside these, may import all of it but
# one another.
GROUND = ('errors', 'files', 'registry', 'options', 'tf_compat')
WORK = ('nets', 'datasets', 'preprocessing')
MAY_IMPORT = {
  'errors': (),
  'files': ('errors',),
  'registry': ('errors',),
  'options': ('errors', 'files', 'registry'),
  'tf_compat': ('errors',),
  'nets': GROUND,
  'datasets': GROUND,
  'preprocessing': GROUND,
  'weights': (*GROUND, *WORK),
  'deployment': (*GROUND, *WORK),
  'engine': (*GROUND, *WORK, 'weights', 'deployment'),
  'tools': (*GROUND, *WORK, 'weights', 'deployment', 'engine'),
}
# The rooms of engine: each may import those above it. Those that share a line
# do not import one another.
ENGINE_ROOMS = (
  ('confusion', 'console', 'signals'),
  ('error_translation', 'run_dir', 'optimization'),
  ('checkpoints',),
  ('config',),
  ('inputs', 'plots'),
  ('evaluation',),
  ('training',),
)
# What stands outside the house and may use all of it.
OUTSIDE = {'tests', 'benchmarks', 'scripts', 'docs'}

# What nets/layers.py wraps, so that --padding applies to every network.
BARE_LAYERS = {
  f'slim.{name}'
  for name in ('conv2d', 'separable_conv2d', 'max_pool2d', 'avg_pool2d')
}
TENSORFLOW = {'tensorflow', 'tf_keras', 'tf_slim', 'keras'}
# Run in processes of their own, which never load TF-Slim: one Keras 3, the other
# an exported model.
OTHER_PROCESSES = ('weights/reference.py', 'tools/export/runtimes.py')
LONGEST_FUNCTION = 60

Breach = tuple[str, str]


def sources(root: pathlib.Path) -> Iterator[tuple[str, ast.Module]]:
  """Every Python file of the house: path relative to `root`, and its tree."""
  for path in sorted(root.rglob('*.py')):
    where = path.relative_to(root)
    hidden = any(part.startswith('.') for part in where.parts)
    if not hidden and where.parts[0] not in OUTSIDE | {'build', 'dist'}:
      yield where.as_posix(), ast.parse(path.read_text(), str(path))


def place(path: str) -> str:
  """'nets/lenet.py' -> 'nets', 'errors.py' -> 'errors'."""
  return path.split('/')[0].removesuffix('.py')


def imports(tree: ast.Module, path: str) -> Iterator[str]:
  """Every module a file imports, as 'engine.config.jobs', also inside functions."""
  for node in ast.walk(tree):
    match node:
      case ast.Import(names=names):
        yield from (name.name for name in names)
      case ast.ImportFrom(module=module, names=names, level=0):
        yield from (f'{module}.{name.name}' for name in names)
      case ast.ImportFrom():  # relative: stays in its package, or is an error
        yield path.split('/')[0]
      case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
        if ast.unparse(function).endswith(('import_module', '__import__')):
          yield name


def directions(root: pathlib.Path) -> Iterator[Breach]:
  """Imports against the direction of the house."""
  trees = dict(sources(root))
  house = {place(path) for path in trees}
  for path, tree in trees.items():
    own = place(path)
    allowed = {own, *MAY_IMPORT.get(own, MAY_IMPORT)}
    for name in imports(tree, path):
      if (target := name.split('.')[0]) in house - allowed:
        yield path, target


def room(path: str) -> str:
  """'engine/run_dir/lock.py' -> 'run_dir', 'engine/console.py' -> 'console'."""
  parts = path.removesuffix('.py').split('/')
  return parts[1] if len(parts) > 1 else ''


def engine_rooms(root: pathlib.Path) -> Iterator[Breach]:
  """Imports against the order of the rooms in engine."""
  level = {name: n for n, names in enumerate(ENGINE_ROOMS) for name in names}
  for path, tree in sources(root):
    own = room(path)
    if place(path) != 'engine' or own == '__init__':
      continue
    if own not in level:
      yield path, 'no place in ENGINE_ROOMS'
      continue
    for name in imports(tree, path):
      target = name.split('.')[1] if name.startswith('engine.') else own
      if target != own and level.get(target, -1) >= level[own]:
        yield path, target


def circles(root: pathlib.Path) -> Iterator[Breach]:
  """Modules that import one another, by whatever detour."""
  trees = {path.removesuffix('.py'): tree for path, tree in sources(root)}
  arrows = {path: _imported(tree, path, trees) for path, tree in trees.items()}
  for path in arrows:
    seen: set[str] = set()
    todo = [*arrows[path]]
    while todo:
      if (target := todo.pop()) not in seen:
        seen.add(target)
        todo += arrows[target]
    if path in seen:
      yield f'{path}.py', 'a circle of imports'


def _imported(tree: ast.Module, path: str, modules: Collection[str]) -> set:
  """The modules that a module imports, itself left out."""
  names = {name.replace('.', '/') for name in imports(tree, path)}
  targets = names | {name.rpartition('/')[0] for name in names}
  return targets.intersection(modules) - {path}


def other_doors(root: pathlib.Path) -> Iterator[Breach]:
  """TensorFlow imported elsewhere than in tf_compat.py."""
  for path, tree in sources(root):
    for name in imports(tree, path):
      if path in ('tf_compat.py', *OTHER_PROCESSES):
        continue
      if name.split('.')[0] in TENSORFLOW:
        yield path, name


def other_flags(root: pathlib.Path) -> Iterator[Breach]:
  """Flags defined or read elsewhere than in engine/config/flags.py."""
  for path, tree in sources(root):
    if path == 'engine/config/flags.py':
      continue
    for name in imports(tree, path):
      if name.startswith('absl.flags') or name == 'argparse':
        yield path, name
    for node in ast.walk(tree):
      if isinstance(node, ast.Attribute):
        name = ast.unparse(node)
        if name in ('tf.flags', 'tf.app.flags', 'sys.argv'):
          yield path, name


def homeless(root: pathlib.Path) -> Iterator[Breach]:
  """Packages that MAY_IMPORT does not know, and drawers for everything."""
  for path, _ in sources(root):
    if '/' in path and place(path) not in MAY_IMPORT:
      yield path, 'no place in MAY_IMPORT'
    if pathlib.PurePath(path).stem in ('utils', 'helpers', 'common', 'misc'):
      yield path, 'a name that says nothing'


def long_functions(root: pathlib.Path) -> Iterator[Breach]:
  """Functions over 60 lines, but for the straight body of a network."""
  for path, tree in sources(root):
    for node in ast.walk(tree):
      if isinstance(node, ast.FunctionDef) and place(path) != 'nets':
        lines = node.end_lineno - node.lineno + 1
        if lines > LONGEST_FUNCTION:
          yield path, f'{node.name} has {lines} lines'


def machine_paths(root: pathlib.Path) -> Iterator[Breach]:
  """Texts that hold a path of one machine."""
  for path, tree in sources(root):
    for node in ast.walk(tree):
      if isinstance(node, ast.Constant) and isinstance(node.value, str):
        for found in re.findall(r'/(?:home|root|Users|work)/', node.value):
          yield path, found


def bare_layers(root: pathlib.Path) -> Iterator[Breach]:
  """Layers of slim in a network, which would ignore --padding.

  Attention has only convolutions of stride 1.
  """
  exempt = ('nets/layers.py', 'nets/attention/')
  for path, tree in sources(root):
    if place(path) != 'nets' or path.startswith(exempt):
      continue
    for node in ast.walk(tree):
      name = ast.unparse(node) if isinstance(node, ast.Attribute) else ''
      if name in BARE_LAYERS:
        yield path, name


RULES = (
  directions,
  engine_rooms,
  circles,
  other_doors,
  other_flags,
  homeless,
  long_functions,
  machine_paths,
  bare_layers,
)


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: rule.__name__)
def test_house_keeps_its_rules(rule):
  assert list(rule(ROOT)) == []


def test_the_rules_see_the_whole_house():
  seen = {place(path) for path, _ in sources(ROOT)}
  assert set(MAY_IMPORT) <= seen
  assert not seen & OUTSIDE


WRONG = [
  (directions, 'nets/lenet.py', 'import datasets.digits', 'datasets'),
  (directions, 'datasets/reader.py', 'from nets import lenet', 'nets'),
  (directions, 'preprocessing/vgg.py', 'import nets', 'nets'),
  (directions, 'nets/lenet.py', 'from engine.config.jobs import Job', 'engine'),
  (directions, 'deployment/devices.py', 'import engine', 'engine'),
  (directions, 'errors.py', 'import registry', 'registry'),
  (directions, 'tf_compat.py', 'import nets', 'nets'),
  (directions, 'engine/config/jobs.py', 'import train', 'train'),
  (directions, 'train.py', 'import evaluate', 'evaluate'),
  (directions, 'nets/lenet.py', 'def f():\n  import engine', 'engine'),
  (
    directions,
    'nets/lenet.py',
    "importlib.import_module('engine.config.jobs')",
    'engine',
  ),
  (directions, 'engine/inputs.py', 'from tools import catalogue', 'tools'),
  (
    engine_rooms,
    'engine/run_dir/lock.py',
    'from engine.config import resolve',
    'config',
  ),
  (engine_rooms, 'engine/plots/style.py', 'import engine.inputs', 'inputs'),
  (engine_rooms, 'engine/attic.py', '', 'no place in ENGINE_ROOMS'),
  (other_doors, 'nets/lenet.py', 'import tensorflow as tf', 'tensorflow'),
  (other_doors, 'train.py', 'from tf_slim import nets', 'tf_slim.nets'),
  (
    other_doors,
    'engine/config/jobs.py',
    'import tf_keras.layers',
    'tf_keras.layers',
  ),
  (other_flags, 'train.py', 'from absl import flags', 'absl.flags'),
  (other_flags, 'engine/config/jobs.py', 'import absl.flags', 'absl.flags'),
  (other_flags, 'train.py', 'import argparse', 'argparse'),
  (other_flags, 'nets/lenet.py', 'tf.app.flags.FLAGS', 'tf.app.flags'),
  (other_flags, 'train.py', 'name = sys.argv[1]', 'sys.argv'),
  (homeless, 'cellar/wine.py', '', 'no place in MAY_IMPORT'),
  (homeless, 'nets/utils.py', '', 'a name that says nothing'),
  (
    long_functions,
    'engine/config/jobs.py',
    'def f():\n' + '  x = 1\n' * 60,
    'f has 61 lines',
  ),
  (bare_layers, 'nets/a.py', 'slim.conv2d(net, 8, 3)', 'slim.conv2d'),
  (
    bare_layers,
    'nets/a.py',
    'slim.arg_scope([slim.max_pool2d], padding="SAME")',
    'slim.max_pool2d',
  ),
  (machine_paths, 'train.py', "x = '/home/me/data'", '/home/'),
]


@pytest.fixture
def house(tmp_path) -> pathlib.Path:
  """The rooms of the house and two programs, all empty."""
  for room in MAY_IMPORT:
    if room in GROUND:
      (tmp_path / f'{room}.py').touch()
    else:
      (tmp_path / room).mkdir()
      (tmp_path / room / '__init__.py').touch()
  for program in ('train.py', 'evaluate.py'):
    (tmp_path / program).touch()
  return tmp_path


def add(house: pathlib.Path, path: str, source: str) -> None:
  (house / path).parent.mkdir(exist_ok=True, parents=True)
  (house / path).write_text(source)


@pytest.mark.parametrize(('rule', 'path', 'source', 'breach'), WRONG)
def test_each_rule_finds_what_breaks_it(house, rule, path, source, breach):
  assert list(rule(house)) == []
  add(house, path, source)
  assert list(rule(house)) == [(path, breach)]


def test_a_circle_is_found_from_each_of_its_modules(house):
  add(house, 'nets/a.py', 'from nets import b')
  add(house, 'nets/b.py', 'def f():\n  import nets.c')
  add(house, 'nets/c.py', 'from nets.a import x\nimport nets.d')
  add(house, 'nets/d.py', '')
  assert [path for path, _ in circles(house)] == [
    'nets/a.py',
    'nets/b.py',
    'nets/c.py',
  ]


RIGHT = [
  ('nets/lenet.py', 'from tf_compat import slim, tf\nfrom nets import network'),
  (
    'engine/config/jobs.py',
    'import deployment.devices\nfrom errors import UserError',
  ),
  ('tf_compat.py', 'import tensorflow as tf\nimport tf_slim'),
  ('engine/config/flags.py', 'from absl import app, flags'),
  (
    'train.py',
    'from engine.config import flags, jobs\nimport nets.nets_factory',
  ),
  ('nets/layers.py', 'slim.conv2d(net, 8, 3)'),
  ('nets/long.py', 'def net():\n' + '  x = 1\n' * 80),
]


@pytest.mark.parametrize(('path', 'source'), RIGHT)
def test_the_rules_let_pass_what_is_right(house, path, source):
  add(house, path, source)
  assert [breach for rule in RULES for breach in rule(house)] == []
