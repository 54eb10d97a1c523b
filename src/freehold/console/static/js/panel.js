// SPDX-License-Identifier: Apache-2.0
// One card: a field of some devices, as a chart; or as a table where it holds text.

import { Chart, aligned } from "./chart.js";
import { el, nameOf, visible } from "./dom.js";
import { moment, value } from "./format.js";
import { joined, points } from "./points.js";

const TEXT_ROWS = 20;
const SLACK_S = 5; // an event needs a moment from its time stamp to the store

export class Panel {
  constructor(host, app, series) {
    Object.assign(this, { app, series, data: new Map() });
    const [{ field, measurement, kind }] = series;
    this.text = kind === "text";
    this.body = el("div", { class: this.text ? "table-responsive" : "fh-chart" });
    if (!this.text) {
      const devices = series.map((one) => visible(one.device, 60)).join(", ");
      this.body.setAttribute("role", "img");
      this.body.setAttribute("aria-label", `Chart of ${visible(field, 60)} of ${devices}`);
    }
    this.card = el(
      "section",
      { class: "card mb-3" },
      el("div", { class: "card-header" }, el("h2", { class: "card-title" }, nameOf(field)), el("span", { class: "card-actions fh-quiet" }, nameOf(measurement, 60))),
      el("div", { class: this.text ? "" : "card-body" }, this.body),
    );
    host.append(this.card);
    if (!this.text) {
      const lines = series.map((one) => ({ label: visible(one.device, 40), stepped: one.kind === "bool" }));
      this.chart = new Chart(this.body, { series: lines, height: 220, least: kind === "bool" ? 0 : null });
    }
  }

  /** `query` as it makes sense here: texts as they are, of switches the last state and not the mean. */
  asked(query) {
    if (this.text) return { ...query, every: null, limit: TEXT_ROWS };
    const counted = query.aggregate === "count";
    return this.series[0].kind === "bool" && !counted ? { ...query, aggregate: "last" } : query;
  }

  /** Everything from `query.start` anew. */
  async load(query) {
    const now = Date.now() / 1000;
    this.data = await points(this.app, this.series, this.asked(query));
    this.loaded = now;
    this.draw(query);
  }

  /** Only what may have changed: from the interval before the one of the last look on. */
  async refresh(query) {
    const now = Date.now() / 1000;
    const from = Math.max(query.start, Math.floor((this.loaded - SLACK_S) / query.every - 1) * query.every);
    const found = await points(this.app, this.series, this.asked({ ...query, start: from }));
    const nothing = { times: [], values: [] };
    for (const { device } of this.series) {
      this.data.set(device, joined(this.data.get(device) ?? nothing, found.get(device) ?? nothing, from, query.start));
    }
    this.loaded = now;
    this.draw(query);
  }

  draw(query) {
    const nothing = { times: [], values: [] };
    const ordered = this.series.map((one) => this.data.get(one.device) ?? nothing);
    if (this.text) this.drawTable(ordered);
    else this.chart.set(aligned(ordered), [query.start, query.end]);
  }

  drawTable(ordered) {
    const rows = ordered.flatMap(({ times, values }, index) => times.map((time, at) => [time, this.series[index].device, values[at]]));
    rows.sort((a, b) => b[0] - a[0]);
    const head = el("thead", {}, el("tr", {}, ...["When", "Device", "Text"].map((text) => el("th", { scope: "col" }, text))));
    const lines = rows.slice(0, TEXT_ROWS).map(([time, device, text]) =>
      el("tr", {}, el("td", { class: "fh-nowrap fh-quiet" }, moment(time * 1000)), el("td", {}, nameOf(device, 60)), el("td", {}, visible(value(text), 500))),
    );
    this.body.replaceChildren(el("table", { class: "table table-sm card-table" }, head, el("tbody", {}, ...lines)));
  }

  destroy() {
    this.chart?.destroy();
    this.card.remove();
  }
}
