"""README.md and docs/: every flag, link and picture they name exists."""

import dataclasses
import pathlib
import re
import shlex

import pytest

from engine.config import jobs

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / 'README.md'
PAGES = sorted((ROOT / 'docs').rglob('*.md'))
MAX_README_BYTES = 8192

# The programs and the options classes that define their flags.
JOBS = {
  'train_image_classifier.py': jobs.TrainJob,
  'eval_image_classifier.py': jobs.EvalJob,
  'eval_image_classifier_loop.py': jobs.EvalLoopJob,
  'download_and_convert_data.py': jobs.ConvertJob,
  'inspect_data.py': jobs.InspectJob,
  'compare_attention.py': jobs.CompareJob,
  'visualize_attention.py': jobs.VisualizeJob,
  'list_networks.py': jobs.ListJob,
  'import_weights.py': jobs.ImportJob,
  'predict.py': jobs.PredictJob,
  'export_model.py': jobs.ExportJob,
  'report.py': jobs.ReportJob,
}
ABSL = {'alsologtostderr', 'flagfile', 'help'}
# Flags of other programs that the pages run.
OTHERS = {
  'scripts/test.sh': {'all'},
  'benchmarks/attention.py': {
    'batch_size', 'kinds', 'model_name', 'precisions', 'repeats',
  },
  'benchmarks/deployment.py': {'steps'},
  'benchmarks/input_pipeline.py': {
    'clock', 'parts', 'photos', 'seconds', 'turns',
  },
  'benchmarks/networks.py': {'parts', 'seconds', 'turns'},
  'benchmarks/loop_beside.py': {'seconds', 'turns'},
  'benchmarks/start_up.py': {'networks', 'programs'},
  'tensorboard': {'logdir'},
  'tests/campaign/campaign.py': {
    'inputs_per_kill', 'jobs', 'minutes', 'only', 'seed',
  },
  # ruff, in CONTRIBUTING.md's commands
  'ruff': {'fix'},
  # XLA's own, in TF_XLA_FLAGS
  'tf_xla': {'tf_xla_cpu_global_jit'},
}  # fmt: skip
PLACEHOLDERS = {'flag', 'name', 'noname'}

FLAG = re.compile(r'(?<![\w-])--([a-z][a-z0-9_]*)')
CODE = re.compile(r'^```(\w*)\n(.*?)^```$', re.M | re.S)
LINK = re.compile(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"')
EXTERNAL = re.compile(r'[a-z]+:')


def flags_of(job: type) -> set[str]:
  """Flags of a program, with --no for booleans."""
  fields = dataclasses.fields(job)
  switches = {f'no{f.name}' for f in fields if isinstance(f.default, bool)}
  return {field.name for field in fields} | switches


def unknown_flags(text: str) -> list[str]:
  """Flags in a page that no program has, or not the one that is called."""
  anywhere = set.union(*map(flags_of, JOBS.values()), *OTHERS.values())
  found = [
    flag
    for flag in FLAG.findall(text)
    if flag not in anywhere | ABSL | PLACEHOLDERS
  ]
  for command in commands(text):
    found += unknown_in(command)
  return found


def commands(text: str) -> list[str]:
  """Lines of the code blocks of a page, with continuations joined."""
  blocks = [block for _, block in CODE.findall(text)]
  return '\n'.join(blocks).replace('\\\n', ' ').splitlines()


def unknown_in(command: str) -> list[str]:
  """'program: flag' for flags that the program of a command lacks."""
  program = next((name for name in JOBS if name in command.split()), None)
  if program is None:
    return []
  known = flags_of(JOBS[program]) | ABSL | PLACEHOLDERS
  arguments = command.partition(program)[2]
  return [
    f'{program}: {flag}'
    for flag in FLAG.findall(arguments)
    if flag not in known
  ]


def without_code(text: str) -> str:
  return CODE.sub('', text)


def links(text: str) -> list[str]:
  """Targets within the project, without anchors."""
  targets = [one or other for one, other in LINK.findall(without_code(text))]
  return [
    target.partition('#')[0]
    for target in targets
    if not EXTERNAL.match(target) and not target.startswith('#')
  ]


def named(path: pathlib.Path) -> str:
  return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize('path', [README, *PAGES], ids=named)
def test_every_flag_exists(path):
  assert unknown_flags(path.read_text()) == []


@pytest.mark.parametrize(
  ('text', 'unknown'),
  [
    ('set `--learning_rat=0.1`', ['learning_rat']),
    ('`--learning_rate` and `--nocache`', []),
    ('`--nolearning_rate`', ['nolearning_rate']),
    (
      '```\npython list_networks.py \\\n    --train_dir=x\n```\n',
      ['list_networks.py: train_dir'],
    ),
  ],
)
def test_a_flag_that_does_not_exist_is_found(text, unknown):
  assert unknown_flags(text) == unknown


@pytest.mark.parametrize('path', [README, *PAGES], ids=named)
def test_every_command_can_be_split(path):
  for language, block in CODE.findall(path.read_text()):
    if language in ('bash', 'sh') and '<<' not in block:
      for line in block.replace('\\\n', ' ').splitlines():
        shlex.split(line, comments=True)


@pytest.mark.parametrize('path', [README, *PAGES], ids=named)
def test_every_link_and_picture_exists(path):
  missing = [
    link
    for link in links(path.read_text())
    # A page links to another one as a browser sees it, in raw HTML.
    if not (path.parent / re.sub(r'\.html$', '.md', link)).exists()
  ]
  assert missing == []


def test_a_missing_link_is_found():
  text = '[a](docs/none.md#x) ![b](https://b.org) <img src="c.png"> [d](#e)'
  assert links(text) == ['docs/none.md', 'c.png']


def test_the_readme_is_one_page():
  assert len(README.read_bytes()) <= MAX_README_BYTES


@pytest.mark.parametrize('path', PAGES, ids=named)
def test_every_page_has_an_example_or_a_figure(path):
  text = path.read_text()
  assert CODE.search(text) or re.search(r'!\[.+?\]\(|<img ', text)


def test_every_picture_is_used_and_small():
  text = '\n'.join(path.read_text() for path in [README, *PAGES])
  pictures = sorted((ROOT / 'docs' / 'images').iterdir())
  assert [path.name for path in pictures if path.name not in text] == []
  assert sum(path.stat().st_size for path in pictures) <= 600_000


def test_the_navigation_has_every_page():
  navigation = (ROOT / 'mkdocs.yml').read_text()
  pages = {path.relative_to(ROOT / 'docs').as_posix() for path in PAGES}
  assert set(re.findall(r'[\w/-]+\.md', navigation)) == pages
