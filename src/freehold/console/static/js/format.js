// SPDX-License-Identifier: Apache-2.0
// Numbers and times as the console writes them; `format.py` writes them the same way.

const THIN = "\u202f";

/** 1284 → "1 284", 0.1234567 → "0.1235". */
export function number(value, digits = 4) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return grouped(String(value));
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) return value.toExponential(digits - 1);
  const [whole, fraction] = value.toFixed(size >= 1000 ? 1 : size >= 10 ? 2 : digits).split(".");
  const rest = (fraction ?? "").replace(/0+$/, "");
  return grouped(whole) + (rest ? `.${rest}` : "");
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

/** A rate of events: few digits, because it changes all the time. */
export function rate(value) {
  if (!Number.isFinite(value)) return "–";
  return value >= 10 ? grouped(String(Math.round(value))) : String(Math.round(value * 10) / 10);
}

/** Any stored value: numbers as above, everything else as it is. */
export function value(any) {
  if (typeof any === "number") return number(any);
  if (typeof any === "boolean") return any ? "true" : "false";
  return String(any);
}

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];

/** Seconds → "3 s ago". */
export function ago(seconds) {
  if (seconds < 1) return "now";
  const [, unit, name] = STEPS.find(([bound]) => seconds < bound);
  return `${Math.floor(seconds / unit)} ${name} ago`;
}

const two = (n) => String(n).padStart(2, "0");

/** Milliseconds since 1970 → "02:31:07" in the viewer's time zone. */
export function clock(ms, withMillis = false) {
  const d = new Date(ms);
  const text = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return withMillis ? `${text}.${String(d.getMilliseconds()).padStart(3, "0")}` : text;
}

/** Milliseconds since 1970 → "2026-11-22 02:31:07" in the viewer's time zone. */
export function moment(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms)}`;
}
