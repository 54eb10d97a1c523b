// SPDX-License-Identifier: Apache-2.0
// The chart page: which series, which range, and following what comes in.

import { el, pageData, visible } from "./dom.js";
import { value } from "./format.js";
import { Panel } from "./panel.js";
import { Picker, keyOf } from "./picker.js";
import { RANGES, address, interval } from "./points.js";
import { follow, indicator } from "./stream.js";

const data = pageData("chart-data");
const form = document.getElementById("chart-form");
const charts = document.getElementById("charts");
const texts = document.getElementById("texts");
const problem = document.getElementById("chart-problem");
const csv = document.getElementById("chart-csv");
const state = indicator(document.getElementById("chart-stream"));

let panels = [];
let busy = false;
let news = false; // something arrived since the last look

function fromAddress() {
  const shown = new URLSearchParams(window.location.search);
  for (const name of ["range", "aggregate", "from", "to"]) {
    if (shown.get(name)) form.elements.namedItem(name).value = shown.get(name);
  }
  const keys = new Set(shown.getAll("s"));
  const known = data.series.map(keyOf).filter((key) => keys.has(key));
  if (known.length) return known;
  return atFirst().slice(0, data.chosenAtFirst).map(keyOf);
}

/** What to show before anybody chose: all of one device, else the field that most devices measure. */
function atFirst() {
  if (data.device) return data.series.filter((one) => one.kind !== "text");
  const numbers = data.series.filter((one) => one.kind === "number");
  const [most] = groups(numbers).sort((a, b) => b.length - a.length);
  return most ?? data.series;
}

function toAddress(chosen) {
  const shown = new URL(window.location.href);
  for (const name of ["s", "range", "aggregate", "from", "to"]) shown.searchParams.delete(name);
  for (const one of chosen) shown.searchParams.append("s", keyOf(one));
  for (const name of ["range", "aggregate", ...(isCustom() ? ["from", "to"] : [])]) {
    shown.searchParams.set(name, form.elements.namedItem(name).value);
  }
  window.history.replaceState(null, "", shown);
}

function isCustom() {
  return form.elements.namedItem("range").value === "custom";
}

function query() {
  const aggregate = form.elements.namedItem("aggregate").value;
  let end = Date.now() / 1000;
  let start = end - (RANGES[form.elements.namedItem("range").value] ?? 3600);
  if (isCustom()) {
    start = Date.parse(form.elements.namedItem("from").value) / 1000;
    end = Date.parse(form.elements.namedItem("to").value) / 1000;
    if (!(start < end)) throw new Error("Choose a beginning that lies before the end.");
  }
  const every = interval(end - start);
  return { start: Math.floor(start / every) * every, end, every, aggregate };
}

/** Series of one measurement and field share a chart. */
function groups(chosen) {
  const found = new Map();
  for (const one of chosen) {
    const key = JSON.stringify([one.measurement, one.field]);
    found.set(key, [...(found.get(key) ?? []), one]);
  }
  return [...found.values()];
}

function build(chosen) {
  for (const panel of panels) panel.destroy();
  panels = groups(chosen).map((series) => new Panel(series[0].kind === "text" ? texts : charts, data.app, series));
  if (!panels.length) charts.replaceChildren(el("p", { class: "fh-quiet p-3" }, "Tick a series to see it."));
  else charts.querySelector(":scope > p")?.remove();
}

function explain(error) {
  const { title = "The values cannot be shown", detail = error.message, remedy = "" } = error.problem ?? {};
  problem.replaceChildren(
    el("div", { class: "alert alert-danger" }, el("div", {}, el("h4", { class: "alert-title" }, title), el("div", {}, detail), remedy ? el("div", {}, `What to do: ${remedy}`) : null)),
  );
}

async function run(method) {
  if (busy) return;
  busy = true;
  try {
    const asked = query();
    const end = isCustom() ? asked.end : asked.end + asked.every; // the running interval too
    await Promise.all(panels.map((panel) => panel[method]({ ...asked, end })));
    csv.href = `${address(data.app, picker.selected, { ...asked, every: null })}&format=csv`;
    problem.replaceChildren();
  } catch (error) {
    explain(error);
  } finally {
    busy = false;
  }
}

async function rebuild() {
  const custom = isCustom();
  for (const element of form.querySelectorAll("[data-custom]")) element.hidden = !custom;
  if (custom && !(form.elements.namedItem("from").value && form.elements.namedItem("to").value)) return;
  toAddress(picker.selected);
  build(picker.selected);
  await run("load");
}

const picker = new Picker(document.getElementById("series"), document.getElementById("series-filter"), {
  series: data.series,
  chosen: fromAddress(),
  oneDevice: Boolean(data.device),
  onChange: rebuild,
});
form.addEventListener("change", rebuild);
form.addEventListener("submit", (event) => event.preventDefault());
rebuild();

const known = new Map(data.series.map((one) => [keyOf(one), one]));

function take({ series }) {
  news = true;
  for (const fresh of series) {
    const any = fresh.values.at(-1);
    const one = known.get(keyOf(fresh));
    if (one) picker.setLast(one, any);
    const shown = document.getElementById(`last-${keyOf(fresh)}`);
    if (!shown) continue;
    shown.textContent = visible(value(any), 60);
    shown.closest("tr").querySelector("time").dateTime = new Date(fresh.times.at(-1) / 1000).toISOString();
  }
}

const only = data.device ? `?device=${encodeURIComponent(data.device)}` : "";
const end = follow(() => `/api/v1/apps/${data.app}/telemetry/live${only}`, { points: take }, state);
window.addEventListener("pagehide", end);
setInterval(() => {
  if (!news || isCustom() || document.hidden) return;
  news = false;
  run("refresh");
}, 1000);
