import csv
import itertools
import re

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


DAMAGED_LINES = [
  b'"2,y',
  b'2,"y',
  b'2,"y"z',
  b'2',
  b'2,y,z',
  b'2\xa7y',
  b'2,\xff',
  b'\0\0\0',
  b'2,' + b'9' * 200_000,
]


@pytest.mark.parametrize('line', DAMAGED_LINES, ids=lambda line: str(line[:9]))
def test_a_damaged_line_costs_one_line_and_is_reported_once(path, line, capsys):
  path.parent.mkdir()
  path.write_bytes(b'a,b\n1,x\n' + line + b'\n3,"z"\n\n4,w\r\n')
  whole = [{'a': '1', 'b': 'x'}, {'a': '3', 'b': 'z'}, {'a': '4', 'b': 'w'}]
  assert csv_log.read(path) == csv_log.read(path) == whole
  message = f'{path}: line 3 is damaged, and left out.\n'
  assert capsys.readouterr().err == message


def test_a_line_that_the_caller_cannot_parse_is_damaged(path, capsys):
  csv_log.write(path, ['n'], [{'n': n} for n in (1, 'x', 3)])

  def parse(row):
    return csv_log.whole_number(row['n'])

  assert csv_log.read(path, parse) == [1, 3]
  assert 'line 3 is damaged' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['-1', '1.0', ' 1', '1_0', '²', '9' * 19])
def test_what_is_no_whole_number_is_refused(text):
  with pytest.raises(ValueError, match=re.escape(text)):
    csv_log.whole_number(text)


LAYOUTS = [['time', 'step', 'value', 'loss'], ['time', 'step', 'loss']]


@pytest.mark.parametrize(
  'header',
  [
    b'time,step,value,loss',
    b'time,stdp,value,loss',
    b'time,steplvalue,loss',
    b'"ime,step,value,loss',
    b'time,step,value,los\xf3',
    b'time,st\0ep,value,loss',
    b'\0' * 20,
    b'time,step,val\nue,loss',
  ],
)
def test_a_damaged_header_costs_no_row_and_is_mended(path, header):
  rows = [dict(zip(LAYOUTS[0], '1234', strict=True))] * 2
  path.parent.mkdir()
  path.write_bytes(header + b'\n1,2,3,4\n1,2,3,4\n')
  assert csv_log.read(path, layouts=LAYOUTS) == rows
  csv_log.append(path, dict(zip(LAYOUTS[0], '5678', strict=True)), LAYOUTS)
  assert path.read_text() == (
    'time,step,value,loss\n1,2,3,4\n1,2,3,4\n5,6,7,8\n'
  )


def test_commas_in_quotes_are_no_columns(path):
  row = {'time': '1', 'step': '2', 'loss': 'runs/a,b'}
  csv_log.append(path, row, LAYOUTS)
  assert csv_log.read(path, layouts=LAYOUTS) == [row]


def test_a_header_of_another_layout_is_no_damage(path):
  path.parent.mkdir()
  path.write_text('time,step,loss\n1,2,3\n')
  assert csv_log.read(path, layouts=LAYOUTS) == [
    {'time': '1', 'step': '2', 'loss': '3'}
  ]
  row = {'time': 4, 'step': 5, 'value': 6, 'loss': 7}
  csv_log.append(path, row, LAYOUTS)
  assert path.read_text() == 'time,step,loss,value\n1,2,3,\n4,5,7,6\n'


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
