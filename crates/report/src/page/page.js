"use strict";
// Only comfort: all that is shown is there without it. Nothing is made from text as HTML.
(() => {
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  // Filter: rows of stacks whose names hold every word.
  const input = make("input", "");
  input.type = "search";
  input.placeholder = "filter stacks";
  input.setAttribute("aria-label", "Filter stacks by name");
  const rows = all("tr[data-s]");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.dataset.s.toLowerCase().includes(word));
  });
  document.querySelector("nav>div").append(input);
  // Sort: each head of a table of figures is a button.
  for (const table of all("table.sort")) {
    all("thead th", table).forEach((head, column) => {
      const button = make("button", head.textContent);
      let up = false;
      button.addEventListener("click", () => {
        const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
        const number = (text) => (text === "" ? NaN : Number(text));
        const body = table.tBodies[0];
        const sorted = [...body.rows].sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          const [m, n] = [number(x), number(y)];
          if (Number.isNaN(m) !== Number.isNaN(n)) return Number.isNaN(m) ? 1 : -1;
          return (up ? -1 : 1) * (Number.isNaN(m) ? x.localeCompare(y) : m - n);
        });
        all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "descending" : "ascending");
        up = !up;
        body.append(...sorted);
      });
      head.replaceChildren(button);
    });
  }
  // Hover: a stack's line and its name in the legend.
  const mark = (name, on) => {
    for (const line of all("path[data-s],.legend li[data-s]")) if (line.dataset.s === name) line.classList.toggle("hl", on);
  };
  for (const one of all("path[data-s],.legend li[data-s],tr[data-s]")) {
    one.addEventListener("pointerenter", () => mark(one.dataset.s, true));
    one.addEventListener("pointerleave", () => mark(one.dataset.s, false));
  }
  for (const text of navigator.clipboard ? all("pre.command") : []) {
    const button = make("button", "Copy");
    button.className = "copy";
    button.addEventListener("click", () => navigator.clipboard.writeText(text.textContent).then(() => (button.textContent = "Copied")));
    text.after(button);
  }
  // A link into a part that is folded opens it; print shows all.
  const open = () => {
    const at = location.hash && document.getElementById(location.hash.slice(1));
    for (let one = at; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (at) at.scrollIntoView();
  };
  addEventListener("hashchange", open);
  addEventListener("beforeprint", () => all("details").forEach((one) => (one.open = true)));
  open();
})();
