"use strict";
// Everything that comes from elsewhere goes through textContent: nothing of it is ever read as HTML.

const byId = (id) => document.getElementById(id);
const rows = new Map();
const MOST_LOG = 400_000;
let shown = null;
let log = null;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function span(seconds) {
  if (seconds === null) return "";
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

const mib = (bytes) => (bytes ? `${(bytes / 1048576).toFixed(1)} MiB` : "");
const WORDS = { starting: "starting", running: "running", backing_off: "backing off", stopping: "stopping", stopped: "stopped" };
const LOOKS = { starting: "warn", running: "good", backing_off: "bad", stopping: "warn", stopped: "soft" };

function makeRow(name) {
  const row = element("tr");
  const cells = {};
  for (const [key, label, className] of [
    ["name", "", "words"], ["phase", "state", "words"], ["pid", "pid", ""], ["up", "up", ""], ["cpu", "CPU", ""],
    ["memory", "memory", ""], ["restarts", "restarts", ""], ["says", "says", "words"], ["act", "", "words"],
  ]) {
    cells[key] = element("td", className);
    if (label) cells[key].dataset.name = label;
    row.append(cells[key]);
  }
  const buttons = {};
  for (const action of ["start", "stop", "restart"]) {
    buttons[action] = element("button", "", action);
    buttons[action].setAttribute("aria-label", `${action} ${name}`);
    buttons[action].addEventListener("click", () => act(name, action));
    cells.act.append(buttons[action]);
  }
  buttons.log = element("button", "", "log");
  buttons.log.setAttribute("aria-label", `log of ${name}`);
  buttons.log.addEventListener("click", () => follow(name));
  cells.act.append(buttons.log);
  return { row, cells, buttons };
}

// A cell is touched only when its text changes: a screen reader and a selection aren't disturbed each second.
function say(cell, text, className) {
  if (cell.textContent !== text) cell.textContent = text;
  if (className !== undefined && cell.firstChild && cell.className !== className) cell.className = className;
}

function sayings(one) {
  const said = [];
  if (one.uwsgi) {
    said.push(`uWSGI: ${one.uwsgi.workers} workers, ${(one.uwsgi.busy * 100).toFixed(0)} % busy, queue ${one.uwsgi.queue}, ${one.uwsgi.requests} requests`);
  }
  if (one.nginx) {
    said.push(`nginx: ${one.nginx.active} connections, ${one.nginx.waiting} idle, ${one.nginx.requests} requests`);
  }
  if (one.again_s !== null && one.phase === "backing_off") said.push(`starts again in ${Math.ceil(one.again_s)} s`);
  if (one.last_exit) said.push(`last exit: ${one.last_exit}`);
  return said.join("; ");
}

function show(state) {
  const present = new Set();
  for (const one of state.processes) {
    present.add(one.name);
    if (!rows.has(one.name)) {
      const made = makeRow(one.name);
      made.cells.name.append(element("b", "", one.name), element("small", "", one.role));
      if (one.url) {
        const link = element("a", "", one.url);
        link.href = one.url;
        link.rel = "noreferrer";
        made.cells.name.append(link);
      }
      rows.set(one.name, made);
      byId("processes").append(made.row);
    }
    const { cells, buttons } = rows.get(one.name);
    say(cells.phase, WORDS[one.phase], `words ${LOOKS[one.phase]}`);
    say(cells.pid, one.pid === null ? "" : String(one.pid));
    say(cells.up, span(one.up_s));
    say(cells.cpu, one.pid === null ? "" : `${(one.cpu_cores * 100).toFixed(1)} %`);
    say(cells.memory, mib(one.memory_bytes));
    say(cells.restarts, String(one.restarts));
    say(cells.says, sayings(one));
    buttons.start.disabled = one.phase === "running" || one.phase === "starting";
    buttons.stop.disabled = one.phase === "stopped" || one.phase === "stopping";
    buttons.log.setAttribute("aria-pressed", String(shown === one.name));
  }
  for (const [name, { row }] of rows) {
    if (!present.has(name)) { row.remove(); rows.delete(name); }
  }
  const database = state.database;
  say(byId("database"), database ? `database: ${database.connections} of ${database.most} connections, ${database.active} at work` : "");
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
  for (const [one, { buttons }] of rows) buttons.log.setAttribute("aria-pressed", String(one === name));
  byId("log-title").textContent = `Log of ${name}`;
  const pane = byId("log");
  pane.textContent = "";
  log = new EventSource(`api/log?name=${encodeURIComponent(name)}`);
  log.onmessage = (event) => {
    const atEnd = pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 20;
    pane.append(event.data.endsWith("\n") ? event.data : event.data + "\n");
    while (pane.textContent.length > MOST_LOG && pane.childNodes.length > 1) pane.firstChild.remove();
    if (atEnd) pane.scrollTop = pane.scrollHeight;
  };
}

const connection = byId("connection");
const states = new EventSource("api/stream");
states.onopen = () => { connection.textContent = "live"; connection.className = "connection good"; };
states.onmessage = (event) => show(JSON.parse(event.data));
states.onerror = () => { connection.textContent = "connection lost, trying again"; connection.className = "connection lost"; };
