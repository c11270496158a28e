"use strict";

const SVG = "http://www.w3.org/2000/svg";

function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

let last = "";
const tell = (id, text) => say(byId(id), text);
// What is no number, for instance an infinite one, comes as null.
const ms = (us) => (us === undefined ? "" : us === null ? "–" : (us / 1000).toFixed(2));
const number = (value) => value === null ? "–" : value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 });

function interval(one, largest) {
  const bar = drawn("svg", { class: "bar", viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" });
  const x = (value) => (100 * value) / largest;
  const across = (name, from, to) => bar.append(drawn("line", { class: name, x1: from, x2: to, y1: 7, y2: 7 }));
  across("track", 0, 100);
  if (one.low !== null) across("between", x(one.low), x(one.high));
  bar.append(drawn("line", { class: "estimate", x1: x(one.estimate), x2: x(one.estimate), y1: 1, y2: 13 }));
  return bar;
}

function results(list) {
  const operations = new Map();
  for (const one of list) {
    if (!operations.has(one.operation)) operations.set(one.operation, new Map());
    const stacks = operations.get(one.operation);
    if (!stacks.has(one.stack)) stacks.set(one.stack, {});
    stacks.get(one.stack)[one.metric] = one;
  }
  const sections = [];
  for (const [operation, stacks] of operations) {
    const table = element("table", "cards");
    const head = element("tr");
    const columns = ["stack", "interval", "requests/s", "±", "CPU µs", "p50 ms", "p90 ms", "p99 ms"];
    for (const name of columns) {
      const cell = element("th", name === "stack" ? "words" : "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const thead = element("thead");
    thead.append(head);
    const body = element("tbody");
    const rows = [...stacks].sort((a, b) => (b[1].throughput?.estimate ?? 0) - (a[1].throughput?.estimate ?? 0));
    const largest = Math.max(1, ...rows.map(([, of]) => of.throughput?.high ?? of.throughput?.estimate ?? 0));
    for (const [stack, of] of rows) {
      const row = element("tr");
      const add = (className, text) => {
        const cell = element("td", className, text);
        if (row.children.length > 1) cell.dataset.name = columns[row.children.length];
        row.append(cell);
        return cell;
      };
      add("words", stack);
      const rate = of.throughput;
      const bar = add("wide", "");
      if (rate) bar.append(interval(rate, largest));
      add("", rate ? number(rate.estimate) : "");
      add("", rate && rate.low !== null ? `${((50 * (rate.high - rate.low)) / rate.estimate).toFixed(1)} %` : rate ? "?" : "");
      add("", of.cpu_per_request ? number(of.cpu_per_request.estimate) : "");
      for (const metric of ["latency_p50", "latency_p90", "latency_p99"]) add("", ms(of[metric]?.estimate));
      body.append(row);
    }
    table.append(thead, body);
    const section = element("div");
    const words = "requests/s with 95 % interval, CPU of a request, latency at the plan's rate";
    section.append(element("h2", "", operation), element("p", "soft", words), table);
    sections.push(section);
  }
  byId("none").hidden = sections.length > 0;
  byId("results").replaceChildren(...sections);
}

function narrowing(widths) {
  const plot = byId("narrowing-plot");
  // One point is no line.
  plot.toggleAttribute("hidden", widths.length < 2);
  if (widths.length === 0) {
    tell("narrowing", "There are intervals from the eighth block on.");
    return;
  }
  const last = widths[widths.length - 1];
  tell("narrowing", `Half of throughput's interval, median of all: ±${(100 * last[1]).toFixed(1)} % after ${last[0]} blocks${widths.length < 2 ? "" : `, ±${(100 * widths[0][1]).toFixed(1)} % after ${widths[0][0]}`}.`);
  const most = Math.max(...widths.map((one) => one[1]), 1e-9);
  const first = widths[0][0];
  const x = (blocks) => 8 + (500 * (blocks - first)) / Math.max(1, last[0] - first);
  const y = (width) => 82 - (72 * width) / most;
  const points = widths.map(([blocks, width]) => `${x(blocks)},${y(width)}`).join(" ");
  plot.replaceChildren(drawn("line", { x1: 8, x2: 508, y1: 82, y2: 82 }), drawn("polyline", { points }), drawn("circle", { cx: x(last[0]), cy: y(last[1]), r: 4 }));
}

function uses(list) {
  const rows = list.map((one) => {
    const row = element("tr");
    const add = (label, className, text) => {
      const cell = element("td", className, text);
      if (label) cell.dataset.name = label;
      row.append(cell);
      return cell;
    };
    const name = add("", "words", one.stack);
    if (one.failure) name.append(element("small", "bad", one.failure));
    const roles = Object.entries(one.cpu_cores).map(([role, cores]) => `${role}\u00a0${(100 * cores).toFixed(0)}\u00a0%`).join(", ");
    add("CPU by role", "words wide", roles);
    add("memory", "", `${(one.memory_bytes / 1048576).toFixed(0)} MiB`);
    add("sent", "", number(one.sent));
    add("failed", one.failed ? "bad" : "", number(one.failed));
    return row;
  });
  byId("uses").replaceChildren(...rows);
  byId("use").hidden = rows.length === 0;
}

function show(view) {
  document.title = `${view.step}: dyno run`;
  tell("title", view.title || "A run");
  tell("run", view.run);
  tell("trouble", view.trouble ?? "");
  tell("step", view.step);
  tell("blocks", view.blocks_wanted ? `${view.blocks} of ${view.blocks_wanted}` : "–");
  tell("left", span(view.left_s));
  tell("failed", String(view.processes.reduce((sum, one) => sum + one.failed, 0)));
  tell("detail", view.detail || "\u00a0");
  const [done, total] = view.progress ?? [view.blocks, Math.max(1, view.blocks_wanted)];
  byId("progress").value = view.step === "done" ? 1 : Math.min(1, done / Math.max(1, total));
  // Progress moves each second, the rest with each block: what hasn't changed stays, and a selection in it.
  const blocks = JSON.stringify([view.results, view.half_widths, view.processes, view.wrong_answers, view.warnings, view.not_run]);
  if (blocks !== last) of_blocks(view);
  last = blocks;
  tell("notes", view.notes.join("\n"));
  byId("noted").hidden = view.notes.length === 0;
}

function of_blocks(view) {
  results(view.results);
  narrowing(view.half_widths);
  uses(view.processes);
  byId("wrong").replaceChildren(...(view.wrong_answers.length === 0 ? [element("p", "soft", "none")] : view.wrong_answers.flatMap((one) => [
    element("p", "", `${one.stack}: ${one.request}: ${one.kind}${one.status === null ? "" : `, status ${one.status}`}`),
    element("pre", "short", one.body),
  ])));
  const warnings = [...view.warnings.map((one) => `${one.subject}: ${one.text}; ${one.advice}`), ...view.not_run.map((one) => `${one.stack} isn't measured: ${one.reason}`)];
  byId("warnings").replaceChildren(...(warnings.length === 0 ? ["none"] : warnings).map((text) => element("li", "", text)));
}

follow_states(show, () => {});
