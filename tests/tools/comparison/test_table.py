"""Means, deviations and the Markdown table."""

import statistics

import pytest

from tools.comparison import table


def cells(line):
  return [cell.strip() for cell in line.strip('|').split('|')]


def test_the_spread_is_the_sample_standard_deviation(make_rows):
  (row,) = make_rows([0.1, 0.4, None, 0.25])
  assert row.mean == pytest.approx(0.25)
  assert row.deviation == pytest.approx(statistics.stdev([0.1, 0.4, 0.25]))
  assert cells(table.lines([row])[2]) == [
    '`kind_0`', '1,000', '2.00 M', '100.0 ms', '0.2500 ± 0.1500 (3 of 4 runs)',
  ]  # fmt: skip


def test_numbers_are_aligned_to_the_right(make_rows):
  headings, rule, *lines = table.lines(make_rows([0.1], [0.2, 0.4]))
  assert cells(headings)[1:4] == ['parameters', 'multiply-adds', 'step']
  assert [cell.endswith(':') for cell in cells(rule)] == [
    False, True, True, True, False,
  ]  # fmt: skip
  assert len({len(line) for line in (headings, rule, *lines)}) == 1


def test_missing_values_are_empty_cells(make_rows, tmp_path):
  rows = make_rows([None])
  assert cells(table.lines(rows)[2])[-1] == ''
  table.write(rows, 'a title', tmp_path)
  names, values = (tmp_path / 'comparison.csv').read_text().splitlines()
  row = dict(zip(names.split(','), values.split(','), strict=True))
  assert (row['runs'], row['accuracy_mean'], row['accuracy_std']) == (
    '0',
    '',
    '',
  )
  assert row['step_ms'] == '100.000'
