import io
import logging
import sys

import pytest
from absl import logging as absl_logging

from engine import console


def test_lines_go_to_stderr_as_they_are(capsys):
  console.say('eval/Accuracy[0.50000]')
  captured = capsys.readouterr()
  assert captured.err.splitlines() == ['eval/Accuracy[0.50000]']
  assert captured.out == ''


@pytest.mark.parametrize('encoding', ['utf-8', 'latin-1', 'ascii'])
def test_paths_that_stdout_cannot_encode_are_escaped(monkeypatch, encoding):
  written = io.BytesIO()
  monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, encoding))
  console.report('caf\xe9/\udcff: \u2192')
  sys.stdout.flush()
  expected = {
    'utf-8': 'caf\xe9/\\udcff: \u2192\n',
    'latin-1': 'caf\xe9/\\udcff: \\u2192\n',
    'ascii': 'caf\\xe9/\\udcff: \\u2192\n',
  }
  assert written.getvalue() == expected[encoding].encode(encoding)


def test_a_line_is_said_once(capsys):
  for text in ('first of its kind', 'first of its kind', 'another'):
    console.say_once(text)
  assert capsys.readouterr().err == 'first of its kind\nanother\n'


def test_no_bar_is_drawn_where_there_is_no_terminal(capsys):
  with console.bar(3) as bar:
    bar.update()
  assert bar.disable
  assert capsys.readouterr().err == ''


def test_what_is_logged_looks_like_all_else(capsys, monkeypatch):
  log = logging.getLogger('absl')
  monkeypatch.setattr(log, 'handlers', [*log.handlers])
  monkeypatch.setattr(log, 'propagate', log.propagate)
  for _ in range(2):
    console.take_logs()
  absl_logging.warning('%d photos ignored', 3)
  absl_logging.info('nobody asked')
  assert capsys.readouterr().err == '3 photos ignored\n'
