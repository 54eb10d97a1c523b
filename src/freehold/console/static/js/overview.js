// SPDX-License-Identifier: Apache-2.0
// The overview follows the platform: once a second the newest figures and what the chart lacks.

import { Chart } from "./chart.js";
import { announce, pageData } from "./dom.js";
import { number, rate } from "./format.js";
import { indicator } from "./stream.js";

const KEPT_S = 600;
const PAUSE_MS = 1000;

const state = indicator(document.getElementById("overview-stream"));
const chart = new Chart(document.getElementById("rate-chart"), {
  series: [{ label: "accepted" }, { label: "stored" }, { label: "refused" }],
  height: 250,
  fill: true,
  sync: false,
  least: 0,
});
let rows = pageData("rates");

function draw() {
  const last = rows.length ? rows[rows.length - 1][0] : Date.now() / 1000;
  rows = rows.filter(([time]) => time > last - KEPT_S);
  const columns = [0, 1, 2, 3].map((index) => rows.map((row) => row[index]));
  chart.set(columns, [last - KEPT_S, last]);
}

function show(id, text) {
  const element = document.getElementById(`kpi-${id}`);
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

async function refresh() {
  if (document.hidden) return;
  const since = rows.length ? rows[rows.length - 1][0] : 0;
  try {
    const answer = await fetch(`/live/overview?since=${since}`, { redirect: "error" });
    if (!answer.ok) throw new Error(answer.statusText);
    const { figures, rates, problems } = await answer.json();
    show("connections", number(figures.connections));
    show("accepted", rate(figures.accepted_rate));
    show("stored", rate(figures.stored_rate));
    show("refused", number(figures.refused));
    if (show("problems", number(problems))) announce(problems ? `${problems} health problems` : "All is well");
    rows.push(...rates);
    draw();
    state("live");
  } catch {
    state("lost");
  }
}

draw();
(async function follow() {
  await refresh();
  setTimeout(follow, PAUSE_MS);
})();
