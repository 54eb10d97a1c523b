// SPDX-License-Identifier: Apache-2.0
// Turns `<textarea data-editor="python|json">` into an ACE editor that writes back into it. Without it, it stays one.

const THEMES = { light: "ace/theme/github_light_default", dark: "ace/theme/tomorrow_night" };

function theme() {
  return THEMES[document.documentElement.dataset.bsTheme === "dark" ? "dark" : "light"];
}

function upgrade(textarea) {
  const host = document.createElement("div");
  host.className = `fh-editor ${textarea.dataset.editorSize === "small" ? "fh-editor-small" : ""}`;
  textarea.after(host);
  textarea.hidden = true;
  const editor = window.ace.edit(host, {
    mode: "ace/mode/python", // its strings, numbers and brackets are those of JSON too
    theme: theme(),
    value: textarea.value,
    useWorker: false, // a worker would need blob: in the policy, and the server checks the source anyway
    showPrintMargin: false,
    tabSize: 4,
    useSoftTabs: true,
    fontSize: 13,
    enableKeyboardAccessibility: true,
    placeholder: textarea.placeholder,
  });
  const label = document.querySelector(`label[for="${textarea.id}"]`);
  editor.textInput.getElement().setAttribute("aria-label", label?.textContent ?? "Editor");
  editor.session.on("change", () => {
    textarea.value = editor.getValue();
    textarea.dispatchEvent(new Event("input", { bubbles: true }));
  });
  window.addEventListener("freehold:theme", () => editor.setTheme(theme()));
  // Tests and other modules reach the text through the textarea; setting it goes through here.
  textarea.addEventListener("fh:set", (event) => editor.setValue(event.detail, -1));
}

if (window.ace) {
  window.ace.config.set("useStrictCSP", true); // its styles come from ace.css, not from inline <style>
  for (const textarea of document.querySelectorAll("textarea[data-editor]")) upgrade(textarea);
}
