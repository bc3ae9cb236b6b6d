"""Reports runs as one page that needs neither server nor network: report.py."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

import files
from engine import console
from engine.config import resolve
from engine.config.jobs import ReportJob
from engine.evaluation import calibration
from engine.evaluation.calibration import ReliabilityBins
from engine.plots import curves
from errors import UserError
from options import expand_path
from tools.report import charts, pictures, tables
from tools.report import run as run_lib
from tools.report.pictures import Picture
from tools.report.run import Results, Run

FILE = 'report.html'
# Of several runs, so that it does not replace that of the first.
FILE_OF_SEVERAL = 'report_of_runs.html'
MAX_BYTES = 5_000_000
# Mistakes, classes and pairs of a run that are shown at most; what makes the
# page larger than MAX_BYTES is tried again with the next ones.
_LIMITS = ((100, 1000, 500), (6, 300, 200), (2, 100, 100), (0, 20, 20))


@dataclasses.dataclass(frozen=True)
class Report:
  """A written report.

  Attributes:
    path: the page.
    notes: what is missing in it and how to make it, by run.
  """

  path: str
  notes: Sequence[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
  """A run as the template shows it.

  Attributes:
    run: the run.
    name: the name of its folder; its path if several have that name.
    heading: network, attention and data set.
    charts: its curves.
    metrics: name and value.
    bins: the reliability diagram; None without one.
    mistakes: the most confident ones, of results.json.
    pictures: index of a record -> its pictures.
    notes: what is missing, and how to make it.
  """

  run: Run
  name: str
  heading: str
  charts: Sequence[charts.Chart]
  metrics: Sequence[tuple[str, str, float]]
  bins: ReliabilityBins | None
  mistakes: Sequence[Mapping[str, Any]]
  pictures: Mapping[int, Sequence[Picture]]
  notes: Sequence[str]

  @property
  def results(self) -> Results | None:
    """The run's evaluation."""
    return self.run.results

  @property
  def picture_kinds(self) -> str:
    """Names the pictures beside the images: Grad-CAM, and gates if any."""
    shown = [picture for each in self.pictures.values() for picture in each]
    return 'Grad-CAM and gates' if any(p.is_gate for p in shown) else 'Grad-CAM'


def report(job: ReportJob, explicit: Collection[str] = frozenset()) -> Report:
  """Writes a page about one or several runs.

  Args:
    job: options of report.py.
    explicit: the options set by flags; unused.

  Raises:
    UserError: if there is no run, or the page cannot be written.
  """
  del explicit
  folders = [f.strip() for f in (job.train_dir or '').split(',') if f.strip()]
  if not folders:
    raise UserError(
      '--train_dir is required: the run folder, or several, separated by commas.'
    )
  runs = [run_lib.read(expand_path(folder)) for folder in folders]
  name = FILE if len(runs) == 1 else FILE_OF_SEVERAL
  path = job.output or os.path.join(runs[0].folder, name)
  _check_output(path)
  sections = [
    _section(run, name, job)
    for run, name in zip(runs, _names(runs), strict=True)
  ]
  page = render(sections)
  files.write_text(path, page)
  notes = [
    f'{section.name}: {note}' for section in sections for note in section.notes
  ]
  for note in notes:
    console.say(note)
  size = f'{len(page.encode()) / 1e6:.1f} MB'
  console.say(
    f'Report of {len(runs)} run{"s" * (len(runs) > 1)} in {path}, {size}.'
  )
  return Report(path, notes)


def _check_output(path: str) -> None:
  """Raises UserError unless a page can be written to a path."""
  if os.path.isdir(path):
    raise UserError(
      f'--output={path} is a folder: name a file, such as {FILE}.'
    )
  resolve.check_writable(os.path.dirname(path) or '.', '--output')


def _section(run: Run, name: str, job: ReportJob) -> Section:
  """Collects what a page tells about a run, and notes what is missing."""
  notes: list[str] = []
  results = run.results
  content = results.content if results else {}
  if not results:
    notes.append(
      'no evaluation yet, so there are neither scores nor mistakes: '
      f'{evaluate_command(run)}'
    )
  elif 'reliability' not in content:
    notes.append(
      'evaluated by an earlier version, without calibration and mistakes: '
      f'{evaluate_command(run)}'
    )
  elif results.pairs is None:
    notes.append(
      'the confusion matrix is missing or of another evaluation: '
      f'{evaluate_command(run)}'
    )
  mistakes = content.get('mistakes', [])[: job.num_mistakes]
  shown: Mapping[int, Sequence[Picture]] = {}
  if mistakes:
    try:
      shown = pictures.of_mistakes(run, mistakes, job.dataset_dir)
    except UserError as error:
      notes.append(f'no pictures of mistakes: {error}')
  return Section(
    run=run,
    name=name,
    heading=curves.title(run.job) or name,
    charts=charts.of_run(run),
    metrics=tables.metrics(results) if results else [],
    bins=_bins(content),
    mistakes=mistakes,
    pictures=shown,
    notes=notes,
  )


def _names(runs: Sequence[Run]) -> list[str]:
  """Returns the names of the folders; their paths if a name is not unique."""
  names = [run.name for run in runs]
  if len({*names}) == len(names):
    return names
  return [str(run.folder) for run in runs]


def evaluate_command(run: Run) -> str:
  """Returns the command that evaluates a run."""
  folder = shlex.quote(str(run.folder))
  return f'python eval_image_classifier.py --checkpoint_path={folder}'


def _bins(content: Mapping[str, Any]) -> ReliabilityBins | None:
  """Returns the reliability bins of results.json; None without them."""
  recorded = content.get('reliability')
  if not recorded:
    return None
  return ReliabilityBins(
    *(np.asarray(recorded[name], float) for name in ReliabilityBins._fields)
  )


def render(sections: Sequence[Section]) -> str:
  """Returns the page, with as much of the runs as MAX_BYTES allows."""
  page = ''
  for limits in _LIMITS:
    page = _render(sections, *limits)
    if len(page.encode()) <= MAX_BYTES:
      return page
  raise UserError(
    f'A report of {len(sections)} runs has more than {MAX_BYTES / 1e6:.0f} MB: '
    'report fewer of them together.'
  )


def _render(
  sections: Sequence[Section], mistakes: int, classes: int, pairs: int
) -> str:
  """Fills the template; the limits are those of _LIMITS."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / 'templates'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  runs = [section.run for section in sections]
  return environment.get_template('report.html').render(
    sections=sections,
    rows=tables.comparison(runs) if len(runs) > 1 else [],
    evaluated_on=sorted(tables.evaluated_on(runs)),
    charts=charts,
    tables=tables,
    error_of=calibration.expected_calibration_error,
    max_mistakes=mistakes,
    max_classes=classes,
    max_pairs=pairs,
  )
