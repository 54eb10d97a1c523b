// SPDX-License-Identifier: Apache-2.0
// Time series on uPlot, in the colours of the theme, following the width of their card.

import { clock, moment, number } from "./format.js";

const COLOURS = {
  light: ["#066fd1", "#d6336c", "#0b7a5c", "#b34a00", "#8a2fb0", "#0f6f83", "#a61e4d", "#4b6300", "#3b5bdb", "#7a4b00"],
  dark: ["#5aa9ee", "#f783ac", "#38d9a9", "#ffa94d", "#da77f2", "#66d9e8", "#ff8787", "#a9e34b", "#91a7ff", "#ffd43b"],
};
const SYNC = "freehold";

function isDark() {
  return document.documentElement.dataset.bsTheme === "dark";
}

/** Colour number `index` that is legible on the present background. */
export function colour(index) {
  const list = COLOURS[isDark() ? "dark" : "light"];
  return list[index % list.length];
}

function timeLabels(_, splits, __, ___, step) {
  let day = "";
  return splits.map((seconds) => {
    const [date, time] = moment(seconds * 1000).split(" ");
    const text = step >= 86_400 ? date.slice(5) : step >= 60 ? time.slice(0, 5) : time;
    const head = date === day || step >= 86_400 ? "" : `\n${date.slice(5)}`;
    day = date;
    return text + head;
  });
}

/** One chart. `series`: [{label, stepped}], `data`: [seconds[], values[], …] as uPlot wants them. */
export class Chart {
  constructor(host, { series, height = 240, fill = false, sync = true, least = null }) {
    Object.assign(this, { host, series, height, fill, sync, least });
    this.data = [[], ...series.map(() => [])];
    this.range = null;
    this.onTheme = () => this.build();
    window.addEventListener("freehold:theme", this.onTheme);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(host);
    this.build();
  }

  options() {
    const style = getComputedStyle(document.documentElement);
    const text = style.getPropertyValue("--fh-chart-text").trim();
    const grid = { stroke: style.getPropertyValue("--fh-chart-grid").trim(), width: 1 };
    const axis = { stroke: text, grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    return {
      width: Math.max(200, this.host.clientWidth),
      height: this.height,
      cursor: this.sync ? { sync: { key: SYNC }, points: { size: 7 } } : { points: { size: 7 } },
      scales: {
        x: { range: (_, low, high) => this.range ?? [low, high] },
        y: { range: (_, low, high) => this.bounds(low, high) },
      },
      axes: [
        { ...axis, values: timeLabels, space: 70 },
        { ...axis, size: 58, values: (_, splits) => splits.map((value) => number(value)) },
      ],
      series: [
        { label: "Time", value: (_, seconds) => (seconds === null ? "–" : clock(seconds * 1000)) },
        ...this.series.map((one, index) => this.line(one, index)),
      ],
    };
  }

  line({ label, stepped = false }, index) {
    const stroke = colour(index);
    return {
      label,
      stroke,
      width: 2,
      fill: this.fill && index === 0 ? `${stroke}22` : undefined,
      spanGaps: true,
      points: { show: (chart) => chart.data[0].length < 60, size: 5, fill: stroke },
      paths: stepped ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
      value: (_, value) => (value === null || value === undefined ? "–" : number(value)),
    };
  }

  bounds(low, high) {
    if (low === null || high === null) return [0, 1];
    const bottom = this.least === null ? low : Math.min(this.least, low);
    const room = (high - bottom || Math.abs(high) || 1) * 0.08;
    return [this.least !== null && low >= this.least ? bottom : bottom - room, high + room];
  }

  build() {
    this.plot?.destroy();
    this.plot = new window.uPlot(this.options(), this.data, this.host);
  }

  resize() {
    const width = Math.max(200, this.host.clientWidth);
    if (width !== this.plot.width) this.plot.setSize({ width, height: this.height });
  }

  /** Show `data`; `range` ([from, to] in seconds) fixes the time axis. */
  set(data, range = null) {
    this.data = data;
    this.range = range;
    this.plot.setData(data);
    // While nobody points at the chart, the legend tells the newest values.
    if (this.plot.cursor.idx === null && data[0].length) this.plot.setLegend({ idx: data[0].length - 1 });
  }

  destroy() {
    window.removeEventListener("freehold:theme", this.onTheme);
    this.observer.disconnect();
    this.plot.destroy();
  }
}

/** Series of {times, values} on one time axis, as uPlot wants them; booleans become 0 and 1. */
export function aligned(list) {
  const times = [...new Set(list.flatMap((one) => one.times))].sort((a, b) => a - b);
  const place = new Map(times.map((time, index) => [time, index]));
  const columns = list.map((one) => {
    const column = new Array(times.length).fill(undefined); // undefined: no point, the line goes on
    one.times.forEach((time, index) => (column[place.get(time)] = Number(one.values[index])));
    return column;
  });
  return [times, ...columns];
}
