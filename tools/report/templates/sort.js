'use strict';

// A cell's value: that of data-value, as a number where it is one.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text);
  return text !== '' && !Number.isNaN(number) ? number : text;
};

const compare = (a, b) => {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  // Cells without a value, which have a text, come after numbers.
  if (typeof a === 'number') return -1;
  if (typeof b === 'number') return 1;
  return a.localeCompare(b);
};

const sort = (table, header) => {
  const ascending = header.getAttribute('aria-sort') === 'descending' ||
    (!header.hasAttribute('aria-sort') && header.classList.contains('name'));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
  header.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
  const body = table.tBodies[0];
  const column = header.cellIndex;
  const rows = [...body.rows].sort((one, two) =>
    compare(valueOf(one, column), valueOf(two, column)) * (ascending ? 1 : -1));
  body.append(...rows);
};

for (const table of document.querySelectorAll('table.sortable')) {
  for (const header of table.tHead.rows[0].cells) {
    header.querySelector('button')?.addEventListener('click', () => sort(table, header));
  }
}

// Puts rows and columns of a confusion matrix into an order of labels.
const reorder = (table, labels) => {
  const place = new Map(labels.map((label, index) => [String(label), index]));
  const byLabel = (one, two) => place.get(one.dataset.label) - place.get(two.dataset.label);
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(byLabel));
  for (const row of [...table.tHead.rows, ...body.rows]) {
    row.append(...[...row.cells].slice(1).sort(byLabel));
  }
};

for (const group of document.querySelectorAll('.switch')) {
  const table = document.getElementById(group.dataset.table);
  for (const button of group.querySelectorAll('button')) {
    button.addEventListener('click', () => {
      for (const other of group.querySelectorAll('button')) {
        other.setAttribute('aria-pressed', String(other === button));
      }
      reorder(table, JSON.parse(button.dataset.labels));
    });
  }
}

// Says where a table is wider than the page, which hides its last columns.
for (const box of document.querySelectorAll('.scroll')) {
  const hint = document.createElement('p');
  hint.className = 'soft hint';
  hint.textContent = 'Scroll the table sideways for more columns →';
  box.before(hint);
  const update = () => { hint.hidden = box.scrollWidth <= box.clientWidth; };
  update();
  new ResizeObserver(update).observe(box);
}
