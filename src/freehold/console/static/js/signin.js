// SPDX-License-Identifier: Apache-2.0
// The one-time link carries its code behind the `#`, so that no server, proxy or log of requests ever sees it.

const code = decodeURIComponent(window.location.hash.slice(1));
if (code) {
  window.history.replaceState(null, "", window.location.pathname);
  const form = document.getElementById("signin-form");
  form.elements.namedItem("code").value = code;
  form.classList.add("fh-sending");
  form.requestSubmit();
}
