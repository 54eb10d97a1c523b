// SPDX-License-Identifier: Apache-2.0
// What every page has: navigation, theme, dialogs, copy buttons, living times, and manners for htmx.

import { announce, el, icon } from "./dom.js";
import { ago, moment } from "./format.js";

// --- navigation on small screens, and menus -----------------------------------------------------
function startNavigation() {
  const toggle = document.getElementById("nav-toggle");
  const menu = document.getElementById("sidebar-menu");
  toggle?.addEventListener("click", () => {
    const open = menu.classList.toggle("show");
    toggle.setAttribute("aria-expanded", String(open));
  });
  document.querySelector(".fh-tabs .active")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll("details.fh-menu[open]")) {
      if (!open.contains(event.target)) open.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.fh-menu[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });
}

// --- theme ----------------------------------------------------------------------------------------
function startTheme() {
  const buttons = document.querySelectorAll("[data-theme-set]");
  const mark = () => {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.themeSet === window.freeholdTheme.get()));
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      window.freeholdTheme.set(button.dataset.themeSet);
      mark();
      announce(`Theme: ${button.dataset.themeSet}`);
    });
  }
  mark();
}

// --- dialogs: <dialog> brings the focus trap and Esc -----------------------------------------------
function startDialogs() {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) {
      event.preventDefault();
      document.getElementById(opener.dataset.dialog).showModal();
      return;
    }
    const closer = event.target.closest("[data-close]");
    if (closer) closer.closest("dialog").close();
  });
  // A dialog that the address asks for (`?new=1`) is open at once.
  document.querySelector("dialog[data-open-now]")?.showModal();
  // A thing that was shown once must not come back when the dialog is opened again.
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("close", () => {
      if (dialog.querySelector("[data-reload-on-close]")) window.location.reload();
    });
  }
}

// Deleting asks for the name: the button works once it is typed.
function startTypedNames() {
  document.addEventListener("input", (event) => {
    const field = event.target.closest("[data-must-equal]");
    if (!field) return;
    field.form.querySelector("[type=submit]").disabled = field.value !== field.dataset.mustEqual;
  });
}

// --- copy buttons -----------------------------------------------------------------------------------
async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = source.dataset.copyText ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    say(button, "Copied", "check");
  } catch {
    // No clipboard on plain http from another machine: select it, so that Ctrl+C does the rest.
    const selection = window.getSelection();
    selection.selectAllChildren(source);
    say(button, "Selected: press Ctrl+C", "select");
  }
}

function say(button, text, name) {
  const before = [...button.childNodes];
  button.replaceChildren(icon(name), el("span", {}, text));
  announce(text);
  setTimeout(() => button.replaceChildren(...before), 1600);
}

function startCopying() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
}

// --- times ------------------------------------------------------------------------------------------
function refreshTimes(root = document) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const then = Date.parse(time.dateTime);
    const text = ago(Math.max(0, (now - then) / 1000));
    if (time.textContent !== text) time.textContent = text;
    if (!time.title) time.title = moment(then);
  }
  for (const time of root.querySelectorAll("time[data-local]")) time.textContent = moment(Date.parse(time.dateTime));
}

// --- what htmx needs of us --------------------------------------------------------------------------
const waits = new Map();

/** Where a refusal of what `element` asked for is shown: what was typed stays. */
function placeFor(element) {
  return element.closest("form, [data-problem-scope]")?.querySelector("[data-problem]");
}

function startWaiting(element) {
  placeFor(element)?.replaceChildren();
  const selector = element.getAttribute("hx-indicator");
  const clock = (selector ? document.querySelector(selector) : element)?.querySelector("[data-elapsed]");
  if (!clock) return;
  const begun = Date.now();
  const tick = () => (clock.textContent = `${Math.floor((Date.now() - begun) / 1000)} s`);
  tick();
  waits.set(element, setInterval(tick, 1000));
}

function stopWaiting(element) {
  clearInterval(waits.get(element));
  waits.delete(element);
}

function startHtmx() {
  const { body } = document;
  body.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    if (xhr.status < 400) return;
    const own = requestConfig.elt.hasAttribute("data-show-problem");
    const place = own ? event.detail.target : placeFor(requestConfig.elt);
    if (place) event.detail.target = place;
    event.detail.shouldSwap = Boolean(place);
    event.detail.isError = false;
  });
  body.addEventListener("htmx:beforeRequest", (event) => {
    const { elt } = event.detail;
    // A tab that nobody looks at does not ask every two seconds what is new.
    if (document.hidden && elt.getAttribute("hx-trigger")?.startsWith("every")) event.preventDefault();
    else startWaiting(elt);
  });
  body.addEventListener("htmx:afterRequest", (event) => stopWaiting(event.detail.elt));
  body.addEventListener("htmx:sendError", () => toast("Freehold cannot be reached. Is it running?", "danger"));
  body.addEventListener("htmx:afterSwap", (event) => refreshTimes(event.detail.target));
}

/** A short message that goes away by itself. */
export function toast(text, kind = "success") {
  const shown = el("div", { class: `alert alert-${kind} fh-toast`, role: "status" }, text);
  document.getElementById("toasts").append(shown);
  setTimeout(() => shown.remove(), 6000);
}

function startToasts() {
  const given = document.querySelector("#toasts [data-done]");
  if (!given) return;
  setTimeout(() => given.remove(), 6000);
  const address = new URL(window.location.href);
  address.searchParams.delete("done");
  window.history.replaceState(null, "", address);
}

startNavigation();
startTheme();
startDialogs();
startTypedNames();
startCopying();
startHtmx();
startToasts();
refreshTimes();
setInterval(refreshTimes, 1000);
