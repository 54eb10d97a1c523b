// SPDX-License-Identifier: Apache-2.0
// The live event viewer: a bounded list, newest first, that can be paused and filtered.

import { announce, el, icon, nameOf } from "./dom.js";
import { clock, moment } from "./format.js";
import { long, readable, short } from "./payload.js";
import { follow, indicator } from "./stream.js";

const SHOWN = 200;
const HELD = 500;

const form = document.getElementById("event-filter");
const list = document.getElementById("events");
const none = document.getElementById("no-events");
const pause = document.getElementById("pause");
const state = indicator(document.getElementById("event-stream"));

let paused = false;
let held = []; // what came while paused: {event} or {missed}
let dropped = 0;
let end = () => {};

function wanted() {
  const fields = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...fields]) if (!value) fields.delete(name);
  return fields;
}

function entry(event) {
  const time = Date.parse(event.time);
  const details = el(
    "details",
    {},
    el(
      "summary",
      {},
      el("time", { datetime: event.time, title: moment(time), class: "fh-mono fh-quiet" }, clock(time, true)),
      el("span", {}, nameOf(event.device, 60)),
      el("span", { class: "fh-quiet" }, nameOf(event.subject ?? "", 60)),
      el("span", { class: "fh-mono" }, short(event)),
    ),
  );
  // The body is made when somebody looks: most are never opened.
  details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(body(event)));
  return el("li", {}, details);
}

function body(event) {
  return el(
    "div",
    { class: "fh-event-body" },
    el("h3", { class: "h5 mb-1" }, `Payload (${event.datacontenttype ?? "no type"})`),
    el("pre", { class: "fh-code mb-2", tabindex: "0" }, long(event)),
    el(
      "details",
      {},
      el("summary", { class: "fh-quiet" }, "CloudEvent as JSON"),
      el("pre", { class: "fh-code", tabindex: "0" }, readable(JSON.stringify(event, null, 2))),
    ),
  );
}

function gap(missed) {
  return el("li", { class: "fh-gap" }, icon("alert-triangle"), ` ${missed} events were skipped: they came faster than this page shows them`);
}

function show(items) {
  if (!items.length) return;
  none.hidden = true;
  list.prepend(...items.map((item) => (item.event ? entry(item.event) : gap(item.missed))).reverse());
  while (list.childElementCount > SHOWN) list.lastElementChild.remove();
}

// Events that come in one moment are drawn in one go.
let waiting = [];
function take(item) {
  if (paused) {
    held.push(item);
    if (held.length > HELD) dropped += held.shift().missed ?? 1;
    label();
    return;
  }
  if (!waiting.length) requestAnimationFrame(flush);
  waiting.push(item);
  if (waiting.length > SHOWN) waiting.shift(); // a hidden tab draws nothing for hours
}

function flush() {
  show(waiting);
  waiting = [];
}

function label() {
  pause.querySelector("span").textContent = paused ? `Resume${held.length ? ` (${held.length + dropped})` : ""}` : "Pause";
}

function setPaused(on) {
  paused = on;
  pause.setAttribute("aria-pressed", String(on));
  pause.replaceChild(icon(on ? "player-play" : "player-pause"), pause.firstElementChild);
  if (!on) {
    show(dropped ? [{ missed: dropped }, ...held] : held);
    held = [];
    dropped = 0;
  }
  state(on ? "paused" : "live");
  announce(on ? "Paused" : "Following again");
  label();
}

function clear() {
  list.replaceChildren();
  none.hidden = false;
}

function start() {
  end();
  clear();
  if (paused) setPaused(false);
  const query = wanted();
  const shown = new URLSearchParams(query);
  window.history.replaceState(null, "", `${window.location.pathname}${shown.size ? `?${shown}` : ""}`);
  query.set("backfill", "100");
  end = follow(
    () => `/api/v1/apps/${form.dataset.app}/events?${query}`,
    { event: (event) => take({ event }), gap: ({ missed }) => take({ missed }) },
    (name) => state(paused ? "paused" : name),
  );
}

let timer = 0;
form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(start, 400);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
pause.addEventListener("click", () => setPaused(!paused));
document.getElementById("clear").addEventListener("click", clear);
window.addEventListener("pagehide", () => end());
start();
