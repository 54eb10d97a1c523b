// SPDX-License-Identifier: Apache-2.0
// Light, dark or as the system says. A classic script at the top of <head>, so that the first paint is right.
"use strict";

window.freeholdTheme = (() => {
  const KEY = "freehold.theme";
  const CHOICES = ["auto", "light", "dark"];
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function get() {
    try {
      const kept = localStorage.getItem(KEY);
      return CHOICES.includes(kept) ? kept : "auto";
    } catch {
      return "auto"; // storage can be forbidden: then the choice lasts as long as the page
    }
  }

  function apply(choice) {
    const dark = choice === "dark" || (choice === "auto" && system.matches);
    document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
    document.documentElement.dataset.themeChoice = choice;
    window.dispatchEvent(new CustomEvent("freehold:theme", { detail: { choice, dark } }));
  }

  function set(choice) {
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // see get()
    }
    apply(choice);
  }

  apply(get());
  system.addEventListener("change", () => apply(get()));
  return { CHOICES, get, set };
})();
