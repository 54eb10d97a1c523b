// SPDX-License-Identifier: Apache-2.0
// The list of series with a box before each, and what is ticked.

import { el, nameOf, visible } from "./dom.js";
import { value } from "./format.js";

const LISTED = 300; // more than that nobody scrolls: the filter narrows them

export function keyOf({ device, measurement, field }) {
  return JSON.stringify([device, measurement, field]);
}

/** `onChange` is called with the chosen series after each change. */
export class Picker {
  constructor(host, filter, { series, chosen, oneDevice, onChange }) {
    Object.assign(this, { host, filter, series, oneDevice, onChange });
    this.chosen = new Set(chosen);
    this.lasts = new Map();
    filter.addEventListener("input", () => this.draw());
    this.draw();
  }

  get selected() {
    return this.series.filter((one) => this.chosen.has(keyOf(one)));
  }

  matching() {
    const wanted = this.filter.value.toLowerCase();
    const found = this.series.filter((one) => `${one.device} ${one.measurement} ${one.field}`.toLowerCase().includes(wanted));
    return found.sort((a, b) => this.chosen.has(keyOf(b)) - this.chosen.has(keyOf(a))).slice(0, LISTED);
  }

  draw() {
    this.lasts.clear();
    const found = this.matching();
    this.host.replaceChildren(...found.map((one) => this.line(one)));
    if (!found.length) this.host.append(el("p", { class: "fh-quiet m-0" }, "No series matches."));
  }

  line(one) {
    const key = keyOf(one);
    const box = el("input", { type: "checkbox", class: "form-check-input m-0" });
    box.checked = this.chosen.has(key);
    box.addEventListener("change", () => {
      if (box.checked) this.chosen.add(key);
      else this.chosen.delete(key);
      this.onChange(this.selected);
    });
    const last = el("span", { class: "fh-quiet fh-number fh-mono" }, visible(value(one.last), 16));
    this.lasts.set(key, last);
    const field = el("span", { class: "fh-field", title: visible(`${one.device} · ${one.measurement} · ${one.field}`) }, visible(one.field, 60));
    if (!this.oneDevice) field.append(el("br"), el("small", { class: "fh-quiet" }, nameOf(one.device, 60)));
    return el("label", {}, box, field, last);
  }

  /** Show `any` as the newest value of a series. */
  setLast(one, any) {
    one.last = any;
    const shown = this.lasts.get(keyOf(one));
    if (shown) shown.textContent = visible(value(any), 16);
  }
}
