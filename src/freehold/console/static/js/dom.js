// SPDX-License-Identifier: Apache-2.0
// Building of elements. Text only ever becomes text: nothing in the console assigns innerHTML.

const SPRITE = new URL("../vendor/icons/tabler.svg", import.meta.url).pathname;
const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`class`, `data-x`, …; `on` holds listeners) and children (nodes or texts). */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A Tabler icon; decoration only, so hidden from readers. */
export function icon(name, extra = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${extra}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${SPRITE}#tabler-${name}`);
  svg.append(use);
  return svg;
}

// Control characters and those that reorder text: a device named with one could pass for another.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** `text` with what cannot be seen made visible, cut to `limit` characters. The server's `visible` does the same. */
export function visible(text, limit = 200) {
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return cut.replace(HIDDEN, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** A name that a device or a person chose, isolated from the direction of the text around it. */
export function nameOf(text, limit = 80) {
  return el("bdi", { class: "fh-name", title: visible(text, 300) }, visible(text, limit));
}

/** JSON that the server put into the page as `<script type="application/json" id="…">`. */
export function pageData(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/** Say `text` to screen readers without moving the focus. */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = text;
}
