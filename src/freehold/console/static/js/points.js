// SPDX-License-Identifier: Apache-2.0
// Points from the telemetry API: how much to ask for, asking, and joining what is new to what is there.

export const RANGES = { "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000];
const POINTS = 500;

/** Seconds of one interval, so that a chart over `seconds` has about 500 points. */
export function interval(seconds) {
  return STEPS.find((step) => seconds / step <= POINTS * 1.2) ?? STEPS.at(-1);
}

/** Address of the points of some series; `start` and `end` in seconds, `every` in seconds or null for raw values. */
export function address(app, series, { start, end, every, aggregate, limit }) {
  const query = new URLSearchParams();
  for (const name of ["device", "measurement", "field"]) {
    for (const value of new Set(series.map((one) => one[name]))) query.append(name, value);
  }
  query.set("start", new Date(start * 1000).toISOString());
  query.set("end", new Date(end * 1000).toISOString());
  if (every) {
    query.set("every", `${every}s`);
    query.set("aggregate", aggregate);
  }
  if (limit) query.set("limit", limit);
  return `/api/v1/apps/${app}/telemetry?${query}`;
}

/** Points by device of one measurement and field: Map of device → {times (seconds), values}. */
export async function points(app, series, query) {
  const answer = await fetch(address(app, series, query), { headers: { accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), { problem: body });
  return new Map(body.series.map((one) => [one.device, { times: one.times.map((time) => time / 1e6), values: one.values }]));
}

/** `old` up to `from`, then `fresh`; what lies before `start` falls out. */
export function joined(old, fresh, from, start) {
  const times = [];
  const values = [];
  const take = (points, low, high) => {
    points.times.forEach((time, index) => {
      if (time >= low && time < high) {
        times.push(time);
        values.push(points.values[index]);
      }
    });
  };
  take(old, start, from);
  take(fresh, from, Infinity);
  return { times, values };
}
