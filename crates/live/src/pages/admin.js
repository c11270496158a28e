"use strict";

const rows = new Map();
const groups = new Map();
const MOST_LOG = 400_000;
let shown = null;
let log = null;

const mib = (bytes) => (bytes ? `${(bytes / 1048576).toFixed(1)} MiB` : "–");
const many = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
const WORDS = { starting: "starting", running: "running", backing_off: "backing off", stopping: "stopping", stopped: "stopped" };
const LOOKS = { starting: "warn", running: "good", backing_off: "bad", stopping: "warn", stopped: "soft" };

function groupOf(one) {
  const name = one.stack ?? "shared by all";
  if (!groups.has(name)) {
    const body = element("tbody");
    const head = element("tr", "group");
    const cell = element("th", "words");
    cell.scope = "rowgroup";
    cell.colSpan = 9;
    cell.append(element("span", "", name));
    head.append(cell);
    body.append(head);
    groups.set(name, { body, cell, link: null });
    // What all share is on top, whenever it was started.
    if (one.stack) byId("processes").append(body);
    else byId("processes").tHead.after(body);
  }
  return groups.get(name);
}

function makeRow(one) {
  const row = element("tr");
  const cells = {};
  for (const [key, label, className] of [
    ["name", "", "words"], ["phase", "state", "words tight"], ["pid", "pid", ""], ["up", "up", ""], ["cpu", "CPU", ""],
    ["memory", "memory", ""], ["restarts", "restarts", ""], ["says", "", "words wide"], ["act", "", "words wide act"],
  ]) {
    cells[key] = element("td", className);
    if (label) cells[key].dataset.name = label;
    row.append(cells[key]);
  }
  cells.name.append(element("b", "", one.role), element("small", "", one.name));
  cells.state = element("span");
  cells.again = element("small");
  cells.phase.append(cells.state, cells.again);
  cells.said = element("span");
  cells.exit = element("small");
  cells.says.append(cells.said, cells.exit);
  const buttons = {};
  for (const action of ["start", "stop", "restart"]) {
    buttons[action] = element("button", "", action);
    buttons[action].setAttribute("aria-label", `${action} ${one.name}`);
    buttons[action].addEventListener("click", () => act(one.name, action));
    cells.act.append(buttons[action]);
  }
  buttons.log = element("button", "", "log");
  buttons.log.setAttribute("aria-label", `log of ${one.name}`);
  buttons.log.addEventListener("click", () => {
    follow(one.name);
    byId("log-title").scrollIntoView({ block: "nearest" });
    byId("log").scrollIntoView({ block: "nearest" });
  });
  cells.act.append(buttons.log);
  return { row, cells, buttons };
}

function sayings(one, database) {
  const said = [];
  if (one.role === "database" && database) said.push(`${database.connections} of ${many(database.most, "connection")}, ${database.active} at work`);
  if (one.uwsgi) said.push(`${many(one.uwsgi.workers, "worker")}, ${(one.uwsgi.busy * 100).toFixed(0)} % busy, queue ${one.uwsgi.queue}, ${many(one.uwsgi.requests, "request")}`);
  if (one.nginx) said.push(`${many(one.nginx.active, "connection")}, ${one.nginx.waiting} idle, ${many(one.nginx.requests, "request")}`);
  return said.join("; ");
}

function show(state) {
  const present = new Set();
  for (const one of state.processes) {
    present.add(one.name);
    const group = groupOf(one);
    if (!rows.has(one.name)) {
      const made = makeRow(one);
      rows.set(one.name, made);
      group.body.append(made.row);
    }
    if (one.url && !group.link) {
      group.link = element("a", "", one.url);
      group.link.href = one.url;
      group.link.rel = "noreferrer";
      group.cell.append(group.link);
    }
    const { cells, buttons } = rows.get(one.name);
    say(cells.state, WORDS[one.phase]);
    if (cells.state.className !== LOOKS[one.phase]) cells.state.className = LOOKS[one.phase];
    say(cells.again, one.again_s !== null && one.phase === "backing_off" ? `again in ${Math.ceil(one.again_s)} s` : "");
    say(cells.pid, one.pid === null ? "–" : String(one.pid));
    say(cells.up, span(one.up_s));
    say(cells.cpu, one.pid === null ? "–" : `${(one.cpu_cores * 100).toFixed(1)} %`);
    say(cells.memory, mib(one.memory_bytes));
    say(cells.restarts, String(one.restarts));
    cells.restarts.classList.toggle("warn", one.restarts > 0);
    say(cells.said, sayings(one, state.database));
    say(cells.exit, one.last_exit ? `last exit: ${one.last_exit}` : "");
    buttons.start.disabled = one.phase === "running" || one.phase === "starting";
    buttons.stop.disabled = one.phase === "stopped" || one.phase === "stopping";
    buttons.log.setAttribute("aria-pressed", String(shown === one.name));
  }
  for (const [name, { row }] of rows) {
    if (!present.has(name)) { row.remove(); rows.delete(name); }
  }
  for (const [name, { body }] of groups) {
    if (body.rows.length === 1) { body.remove(); groups.delete(name); }
  }
  byId("processes").hidden = rows.size === 0;
  byId("empty").hidden = rows.size > 0;
  const own = state.processes.some((one) => one.role === "database");
  const database = own ? null : state.database;
  say(byId("database"), database ? `your database: ${database.connections} of ${many(database.most, "connection")}, ${database.active} at work` : "");
  // A reload goes on with the log that was open.
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (shown === null && rows.has(wanted)) follow(wanted);
}

async function act(name, action) {
  const answer = byId("answer");
  try {
    const response = await fetch(`api/order?name=${encodeURIComponent(name)}&action=${action}`, { method: "POST" });
    answer.textContent = response.ok ? `${action} ${name}: begun` : await response.text();
  } catch {
    answer.textContent = `${action} ${name}: dyno doesn't answer`;
  }
}

function follow(name) {
  if (log) log.close();
  shown = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  for (const [one, { buttons }] of rows) buttons.log.setAttribute("aria-pressed", String(one === name));
  byId("log-title").textContent = `Log of ${name}`;
  const pane = byId("log");
  pane.textContent = "";
  log = new EventSource(`api/log?name=${encodeURIComponent(name)}`);
  log.onmessage = (event) => {
    const atEnd = pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 20;
    // A log that is coloured for a terminal is read here.
    const text = event.data.replace(/\x1b\[[0-9;]*m/g, "");
    pane.append(text.endsWith("\n") ? text : text + "\n");
    while (pane.textContent.length > MOST_LOG && pane.childNodes.length > 1) pane.firstChild.remove();
    if (atEnd) pane.scrollTop = pane.scrollHeight;
  };
}

follow_states(show, () => {
  if (log?.readyState === EventSource.CLOSED) follow(shown);
});
