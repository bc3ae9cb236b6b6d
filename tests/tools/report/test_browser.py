"""report.html in a real browser: no error, links, sorting, widths, colors."""

import pytest

from engine.config.jobs import ReportJob
from tools.report import report as report_lib

pytestmark = pytest.mark.slow

COLUMN = """[...document.querySelectorAll('#run-1-{table} tbody tr')].map(
  row => row.cells[{column}].textContent)"""


@pytest.fixture
def page(make_run, evaluate, tmp_path):
  """The report of two runs."""
  folders = [make_run('one'), make_run('two', learning_rate=0.1)]
  for seed, folder in enumerate(folders):
    evaluate(folder, seed=seed)
  path = tmp_path / 'report.html'
  names = ','.join(map(str, folders))
  report_lib.report(ReportJob(train_dir=names, output=str(path)))
  return path


def numbers(browser, table, column):
  texts = browser.run(COLUMN.format(table=table, column=column))
  return [float(text.split()[0].replace(',', '')) for text in texts]


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [400, 1400])
def test_the_page_fits_and_reports_no_error(browser, page, width, scheme):
  browser.open(page, width, scheme)
  assert browser.errors == []
  assert [url for url in browser.requests if not url.startswith('data:')] == [
    page.as_uri()
  ]
  root = 'document.documentElement'
  assert browser.run(f'{root}.scrollWidth <= {root}.clientWidth')
  ground, text = browser.run(
    '(() => { const style = getComputedStyle(document.body);'
    'return [style.backgroundColor, style.color].map('
    r'color => color.match(/\d+/g).reduce((a, b) => a + Number(b), 0)); })()'
  )
  assert (ground > text) == (scheme == 'light')


def test_every_link_leads_somewhere(browser, page):
  browser.open(page)
  links = browser.run(
    "[...document.links].map(link => link.getAttribute('href'))"
  )
  assert len(links) > 2
  for link in links:
    assert browser.run(f"document.querySelector('{link}') !== null")
  ids = browser.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
  assert len(ids) == len(set(ids))


def test_a_click_sorts_and_another_one_reverses(browser, page):
  browser.open(page)
  button = '#run-1-by-class th:nth-child(5) button'
  labels = browser.run(COLUMN.format(table='by-class', column=1))
  browser.click(button)
  recalls = numbers(browser, 'by-class', 4)
  assert recalls == sorted(recalls, reverse=True)
  browser.click(button)
  assert numbers(browser, 'by-class', 4) == recalls[::-1]
  sort = "document.querySelector('#run-1-by-class th:nth-child(5)').ariaSort"
  assert browser.run(sort) == 'ascending'
  # Names are sorted from A to Z at first.
  browser.click('#run-1-pairs th:nth-child(1) button')
  names = browser.run(COLUMN.format(table='pairs', column=0))
  assert names == browser.run(
    f'({COLUMN.format(table="pairs", column=0)}).sort('
    '(a, b) => a.localeCompare(b))'
  )
  assert sorted(labels) == sorted(
    browser.run(COLUMN.format(table='by-class', column=1))
  )


def test_the_keyboard_sorts(browser, page):
  browser.open(page)
  browser.run("document.querySelector('#run-1-pairs th button').focus()")
  browser.press('Tab')
  browser.press('Tab')
  browser.press('Enter')
  counts = numbers(browser, 'pairs', 2)
  assert counts == sorted(counts, reverse=True)
  browser.press('Enter')
  assert numbers(browser, 'pairs', 2) == sorted(counts)


def test_the_matrix_is_ordered_by_confusion(browser, page):
  browser.open(page)
  cells = (
    "[...document.querySelectorAll('#run-1-matrix tbody tr')].map(row => "
    '[...row.cells].slice(1).map(cell => Number(cell.textContent) || 0))'
  )
  before = browser.run(cells)
  browser.click('.switch button:nth-of-type(2)')
  order = browser.run(
    "JSON.parse(document.querySelectorAll('.switch button')[1].dataset.labels)"
  )
  after = browser.run(cells)
  assert after == [[before[row][column] for column in order] for row in order]
  wrong = [
    sum(row) + sum(line[n] for line in after) - 2 * row[n]
    for n, row in enumerate(after)
  ]
  assert wrong == sorted(wrong, reverse=True)
  pressed = (
    "[...document.querySelectorAll('.switch')][0].children[1].ariaPressed"
  )
  assert browser.run(pressed) == 'true'


@pytest.mark.parametrize('width', [400, 1400])
def test_a_table_wider_than_the_page_says_that_it_scrolls(browser, page, width):
  browser.open(page, width)
  wide, told = browser.run(
    "[...document.querySelectorAll('.scroll')].reduce((all, box) => {"
    'all[0].push(box.scrollWidth > box.clientWidth);'
    'all[1].push(!box.previousElementSibling.hidden); return all; }, [[], []])'
  )
  assert told == wide
  assert any(wide) == (width == 400)
