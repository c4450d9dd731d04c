"use strict";
// Tables that sort and filter. Without this script the page has them in the order in which they were written.
(() => {
  const FEWEST_TO_FILTER = 6;
  document.documentElement.classList.add("js");

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell === undefined ? "" : (cell.dataset.value ?? cell.textContent.trim());
  };

  const NUMBER = /^[<>]?\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*(%|[nµm]?s|bytes|[KMG]iB)?[^\x00-\x7f]*$/;
  const SCALE = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, ns: 1e-9, "µs": 1e-6, ms: 1e-3 };
  const isEmpty = (text) => text === "" || text === "–";

  const numberOf = (text) => {
    const found = NUMBER.exec(text);
    return found === null ? NaN : Number(found[1]) * (SCALE[found[2]] ?? 1);
  };

  // What has no value stands last, whichever way the rest is sorted.
  const comparing = (rows, column, sign) => {
    const texts = new Map(rows.map((row) => [row, valueOf(row, column)]));
    const numbers = new Map(rows.map((row) => [row, numberOf(texts.get(row))]));
    const allNumbers = rows.every((row) => isEmpty(texts.get(row)) || !Number.isNaN(numbers.get(row)));
    return (one, other) => {
      const [a, b] = [texts.get(one), texts.get(other)];
      if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
      return sign * (allNumbers ? numbers.get(one) - numbers.get(other) : a.localeCompare(b, "en", { numeric: true }));
    };
  };

  const makeSortable = (table) => {
    const body = table.tBodies[0], written = [...body.rows], heads = [...table.tHead.rows[0].cells];
    const sort = (head, column) => {
      const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next !== "none") head.setAttribute("aria-sort", next);
      const rows = [...written];
      if (next !== "none") rows.sort(comparing(rows, column, next === "ascending" ? 1 : -1));
      body.append(...rows);
    };
    heads.forEach((head, column) => {
      if (head.textContent.trim() === "" || head.hasAttribute("data-unsorted")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.title = "Sort: up, down, as it was";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(head, column));
      head.append(button);
    });
  };

  const makeFilterable = (table) => {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < FEWEST_TO_FILTER) return;
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const controls = document.createElement("div"), label = document.createElement("label");
    const field = document.createElement("input"), count = document.createElement("output");
    controls.className = "controls";
    field.type = "search";
    field.autocomplete = "off";
    field.spellcheck = false;
    label.append("Filter rows ", field);
    count.setAttribute("aria-live", "polite");
    const filter = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every((word) => texts.get(row).includes(word));
      count.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    };
    field.addEventListener("input", filter);
    controls.append(label, count);
    (table.closest(".scroll") ?? table).before(controls);
  };

  document.querySelectorAll("table.sorts").forEach(makeSortable);
  document.querySelectorAll("table.filters").forEach(makeFilterable);
})();
