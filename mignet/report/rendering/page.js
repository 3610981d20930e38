"use strict";
// Everything can be read without this: it filters the table, and lets arrow keys move through the matrix.
(() => {
  const form = document.querySelector(".filter"), find = document.getElementById("find"), only = document.getElementById("only");
  const count = document.getElementById("count"), rows = [...document.querySelectorAll(".clusters tbody tr")];
  if (form && rows.length > 8) {
    form.hidden = false;
    only.checked = rows.length > 40 && rows.some(row => ["bad", "warn"].includes(row.dataset.tone));
    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const row of rows) {
        const hit = words.every(word => row.dataset.find.includes(word)) && (words.length || !only.checked || ["bad", "warn"].includes(row.dataset.tone));
        row.hidden = !hit;
        left += hit;
      }
      count.textContent = `${left} of ${rows.length} clusters`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", event => event.preventDefault());
    filter();
  }
  for (const grid of document.querySelectorAll(".grid")) {
    const way = grid.parentElement.nextElementSibling;
    const cells = [...grid.tBodies[0].rows].map(row => [...row.cells].slice(1));
    const place = cell => { const row = cells.findIndex(each => each.includes(cell)); return [row, row < 0 ? -1 : cells[row].indexOf(cell)]; };
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const go = cell => { for (const row of cells) for (const each of row) each.tabIndex = each === cell ? 0 : -1; cell.focus(); };
    grid.addEventListener("keydown", event => {
      const [row, column] = place(event.target);
      if (row < 0) return;
      const last = cells.length - 1, all = event.ctrlKey || event.metaKey;
      let to = null;
      if (event.key in moves) to = [row + moves[event.key][0], column + moves[event.key][1]];
      else if (event.key === "Home") to = [all ? 0 : row, 0];
      else if (event.key === "End") to = [all ? last : row, last];
      if (!to) return;
      event.preventDefault();
      go(cells[Math.min(Math.max(to[0], 0), last)][Math.min(Math.max(to[1], 0), last)]);
    });
    grid.addEventListener("click", event => { const cell = event.target.closest("td"); if (cell) go(cell); });
    grid.addEventListener("focusin", event => {
      if (place(event.target)[0] < 0) return;
      way.hidden = false;
      way.textContent = event.target.getAttribute("aria-label");
    });
  }
})();
