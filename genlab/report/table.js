"use strict";
/* The table of runs: a column's name sorts by it, a second time the other way round; a link opens its run. */

const table = document.getElementById("run-table");
const body = table.tBodies[0];
const headings = [...table.tHead.rows[0].cells];

function key(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.value ?? (column ? undefined : cell.textContent);
  if (value === undefined) return null;
  const number = Number(value);
  return value === "" || Number.isNaN(number) ? value : number;
}

/* Numbers come before words, and what is missing comes last in both directions. */
function before(one, other, sign) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one !== typeof other) return sign * (typeof one === "number" ? -1 : 1);
  return sign * (typeof one === "number" ? one - other : one.localeCompare(other, "en", {numeric: true}));
}

function sort(column) {
  const heading = headings[column];
  const way = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const other of headings) other.setAttribute("aria-sort", other === heading ? way : "none");
  const sign = way === "ascending" ? 1 : -1;
  const rows = [...body.rows].map((row) => [key(row, column), row]);
  rows.sort(([one], [other]) => before(one, other, sign));
  body.append(...rows.map(([, row]) => row));
}

headings.forEach((heading, column) => {
  heading.setAttribute("aria-sort", "none");
  const name = heading.querySelector("span") ?? heading;
  const button = make("button", {type: "button"}, name.textContent);
  button.addEventListener("click", () => sort(column));
  name.replaceChildren(button);
});

const columns = document.getElementById("columns");
const more = Number(columns.dataset.more);
if (more) {
  const words = `${more} more metrics`;
  columns.append(toggle(words, words, false, (pressed) => table.classList.toggle("every", pressed)));
}

function openTarget() {
  const target = location.hash.startsWith("#run-") && document.getElementById(location.hash.slice(1));
  if (target) {
    target.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", openTarget);
openTarget();
