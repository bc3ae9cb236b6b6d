import csv
import itertools

import pytest

from engine.run_dir import csv_log


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'some' / 'file.csv'


def test_header_once_and_one_line_a_row(path):
  csv_log.append(path, {'a': 1, 'b': None})
  csv_log.append(path, {'b': 'x, "y"\nz', 'a': 0.5})
  assert path.read_text() == 'a,b\n1,\n0.5,"x, ""y"" z"\n'
  with open(path, newline='') as file:
    assert list(csv.DictReader(file)) == csv_log.read(path)


def test_new_columns_rewrite_with_the_union(path):
  csv_log.append(path, {'a': 1, 'b': 2})
  csv_log.append(path, {'c': 4, 'a': 3})
  csv_log.append(path, {'b': 5})
  assert path.read_text() == 'a,b,c\n1,2,\n3,,4\n,5,\n'


@pytest.mark.parametrize('cut', range(1, 9))
def test_half_a_row_is_neither_read_nor_in_the_way(path, cut):
  csv_log.append(path, {'a': 1, 'b': 2})
  whole = path.read_bytes()
  csv_log.append(path, {'a': 33, 'b': '"444"'})
  path.write_bytes(path.read_bytes()[:-cut])
  assert csv_log.read(path) == [{'a': '1', 'b': '2'}]
  csv_log.append(path, {'a': 5, 'b': 6})
  assert path.read_bytes() == whole + b'5,6\n'


@pytest.mark.parametrize('content', [b'', b'a,', b'\0\0\0', b'\n'])
def test_a_file_killed_in_its_header_starts_anew(path, content):
  path.parent.mkdir()
  path.write_bytes(content)
  assert csv_log.read(path) == []
  csv_log.append(path, {'a': 1})
  assert csv_log.read(path) == [{'a': '1'}]


def test_damaged_bytes_are_read_past(path):
  path.parent.mkdir()
  path.write_bytes(b'a,b\n1\n\0\0\n\xff,2,3\n\n4,5\r\n')
  assert csv_log.read(path) == [
    {'a': '1', 'b': ''},
    {'a': '\N{REPLACEMENT CHARACTER}', 'b': '2'},
    {'a': '4', 'b': '5'},
  ]


@pytest.mark.parametrize('count', [1, 9, 10, 11, 95, 1000])
def test_thinned_rows_are_few_even_and_end_with_the_last(path, count):
  csv_log.write(path, ['n'], ({'n': n} for n in range(count)))
  numbers = [int(row['n']) for row in csv_log.read(path, most=10)]
  gaps = {b - a for a, b in itertools.pairwise(numbers)}
  assert len(gaps) <= 1
  assert min(count, 5) <= len(numbers) <= 10
  assert numbers[-1] == count - 1


def test_no_file_has_no_rows(path):
  assert csv_log.read(path) == []
