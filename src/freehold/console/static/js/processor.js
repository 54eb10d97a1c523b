// SPDX-License-Identifier: Apache-2.0
// The processor page: says when the source differs from what was saved, and guards against leaving it unsaved.

const form = document.getElementById("processor-form");
const source = document.getElementById("source");
const packages = document.getElementById("packages");
const mark = document.getElementById("changed");
const saved = { source: source.value, packages: packages.value };

function changed() {
  return source.value !== saved.source || packages.value !== saved.packages;
}

form.addEventListener("input", () => (mark.hidden = !changed()));

// Pasting a sample means wanting to try with it.
document.getElementById("sample").addEventListener("input", () => (document.getElementById("take-pasted").checked = true));

// While packages install, the newest line of the installer shows beside the spinner.
let asking = 0;
document.body.addEventListener("htmx:beforeRequest", (event) => {
  const selector = event.detail.elt.getAttribute("hx-indicator");
  const line = selector && document.querySelector(`${selector} [data-progress]`);
  if (!line) return;
  line.textContent = "";
  clearInterval(asking);
  asking = setInterval(async () => {
    const answer = await fetch(form.dataset.progressAt).catch(() => null);
    if (answer?.ok) line.textContent = await answer.text();
  }, 1000);
});
document.body.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.elt.hasAttribute("hx-indicator")) clearInterval(asking);
});

let leaving = false;
document.body.addEventListener("htmx:beforeOnLoad", (event) => {
  if (event.detail.xhr.getResponseHeader("HX-Redirect")) leaving = true;
});
form.addEventListener("submit", () => (leaving = true));
window.addEventListener("beforeunload", (event) => {
  if (changed() && !leaving) event.preventDefault();
});
