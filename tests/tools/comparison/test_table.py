"""Means, deviations and the Markdown table."""

import statistics

import pytest

from engine.run_dir import csv_log
from tools.comparison import table


def cells(line):
  return [cell.strip() for cell in line.strip('|').split('|')]


def test_the_spread_is_the_sample_standard_deviation(make_rows):
  (row,) = make_rows([0.1, 0.4, None, 0.25])
  assert row.mean == pytest.approx(0.25)
  assert row.deviation == pytest.approx(statistics.stdev([0.1, 0.4, 0.25]))
  assert cells(table.lines([row])[2]) == [
    '`kind_0`', '1,000', '2.00 M', '100.0 ms', '50',
    '0.2500 ± 0.1500 (3 of 4 runs)', '',
  ]  # fmt: skip


def test_numbers_are_aligned_to_the_right(make_rows):
  headings, rule, *lines = table.lines(make_rows([0.1], [0.2, 0.4]))
  assert cells(headings)[1:5] == [
    'parameters', 'multiply-adds', 'step', 'steps',
  ]  # fmt: skip
  assert [cell.endswith(':') for cell in cells(rule)] == [
    False, True, True, True, True, False, False,
  ]  # fmt: skip
  assert len({len(line) for line in (headings, rule, *lines)}) == 1


def test_the_difference_from_the_first_has_the_interval_of_welch(
  make_rows, tmp_path
):
  rows = make_rows([0.1, 0.2, 0.3], [0.3, 0.5, 0.4], [0.35, 0.55])
  # Equal variances of 0.01 make 4 degrees of freedom, where t is 2.776445.
  half = 2.776445 * (2 * 0.01 / 3) ** 0.5
  assert rows[1].difference(rows[0]) == pytest.approx(
    (0.2, 0.2 - half, 0.2 + half), abs=1e-6
  )
  # Variances of 0.02 and 0.01 over 2 and 3 runs: Welch and Satterthwaite's
  # formula makes 1.684211 degrees of freedom, where t is 5.176232.
  mean, low, high = rows[2].difference(rows[0])
  assert mean == pytest.approx(0.25)
  assert high - low == pytest.approx(
    2 * 5.176232 * (0.02 / 2 + 0.01 / 3) ** 0.5
  )
  texts = [cells(line)[-1] for line in table.lines(rows)[2:]]
  assert texts[:2] == ['', '+0.2000 (-0.0267 to +0.4267)']
  table.write(rows, 'a title', tmp_path)
  first, second, _ = csv_log.read(tmp_path / 'comparison.csv')
  assert first['difference'] == ''
  assert float(second['difference_low']) == pytest.approx(0.2 - half, abs=1e-6)


def test_one_variant_of_equal_accuracies_has_a_difference(make_rows):
  first, second = make_rows([0.5, 0.5], [0.6, 0.7])
  # One degree of freedom, where t is 12.706205.
  assert second.difference(first) == pytest.approx(
    (0.15, 0.15 - 12.706205 * 0.05, 0.15 + 12.706205 * 0.05), abs=1e-6
  )


@pytest.mark.parametrize(
  'accuracies',
  [[[0.5], [0.6, 0.7]], [[0.5, 0.5], [0.6, 0.6]], [[0.5, 0.6], []]],
)
def test_a_difference_without_spread_is_not_given(make_rows, accuracies):
  first, second = make_rows(*accuracies)
  assert second.difference(first) is None
  assert cells(table.lines([first, second])[3])[-1] == ''


def test_missing_values_are_empty_cells(make_rows, tmp_path):
  rows = make_rows([None])
  assert cells(table.lines(rows)[2])[-2:] == ['', '']
  table.write(rows, 'a title', tmp_path)
  names, values = (tmp_path / 'comparison.csv').read_text().splitlines()
  row = dict(zip(names.split(','), values.split(','), strict=True))
  assert (row['runs'], row['accuracy_mean'], row['accuracy_std']) == (
    '0',
    '',
    '',
  )
  assert row['step_ms'] == '100.000'
