"use strict";
// What both pages need. Everything that comes from elsewhere goes through textContent: nothing of it is ever read as HTML.

const byId = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// A place is touched only when its text changes: a screen reader and a selection aren't disturbed each second.
function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

function connection(words, look) {
  say(byId("connection"), words);
  byId("connection").className = `connection ${look}`;
  document.querySelector("main").classList.toggle("stale", look === "lost");
}

// A browser comes back by itself after a dropped connection, but never after an answer that isn't a stream: a dyno that was
// started again on this port knows another token, and one with too many streams says so.
function follow_states(show, again) {
  let closed = false;
  const states = new EventSource("api/stream");
  states.onopen = () => {
    connection("live", "good");
    again();
  };
  states.onmessage = (event) => show(JSON.parse(event.data));
  states.onerror = async () => {
    connection("connection lost, trying again", "lost");
    if (states.readyState !== EventSource.CLOSED || closed) return;
    closed = true;
    let status = 0;
    try {
      status = (await fetch("api/stream", { method: "HEAD" })).status;
    } catch {
      // Nobody listens at the moment.
    }
    if (status === 403) {
      connection("this address is no longer good: `dyno ps`, or the run's terminal, tells the new one", "lost");
      return;
    }
    if (status === 503) connection("too many pages are open, trying again", "lost");
    setTimeout(() => follow_states(show, again), 3000);
  };
}
