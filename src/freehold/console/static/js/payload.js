// SPDX-License-Identifier: Apache-2.0
// A CloudEvent's payload as people read it: JSON indented, text as text, bytes as hex.

import { visible } from "./dom.js";

const LONGEST = 4096;

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

/** Lines of 16 bytes: offset, hex, letters. */
export function hexdump(bytes) {
  const lines = [];
  for (let start = 0; start < Math.min(bytes.length, LONGEST); start += 16) {
    const part = [...bytes.slice(start, start + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = part.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${start.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${letters}`);
  }
  if (bytes.length > LONGEST) lines.push(`… ${bytes.length - LONGEST} bytes more`);
  return lines.join("\n");
}

/** Text of several lines, bounded, with what cannot be seen made visible. */
export function readable(text) {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}\n… ${text.length - LONGEST} characters more` : text;
  return cut.split(/\r?\n/).map((line) => visible(line.replaceAll("\t", "    "), 2000)).join("\n");
}

/** The whole payload, on several lines. */
export function long(event) {
  if ("data_base64" in event) return hexdump(bytesOf(event.data_base64));
  if (!("data" in event)) return "(empty)";
  return readable(typeof event.data === "string" ? event.data : JSON.stringify(event.data, null, 2));
}

/** One line for the list. */
export function short(event) {
  if ("data_base64" in event) {
    const bytes = bytesOf(event.data_base64);
    const head = [...bytes.slice(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    return `${bytes.length} bytes: ${head}${bytes.length > 16 ? " …" : ""}`;
  }
  if (!("data" in event)) return "(empty)";
  return visible(typeof event.data === "string" ? event.data : JSON.stringify(event.data), 200);
}
