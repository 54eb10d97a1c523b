// SPDX-License-Identifier: Apache-2.0
// Server-sent events that stay: EventSource gives up after an HTTP error, this one comes back.

const SLOWEST_MS = 30_000;

/**
 * Follow `url()`; `handlers` maps event names to functions of (parsed data, last event id).
 * `state` is told "connecting", "live" or "lost". Returns a function that ends it.
 */
export function follow(url, handlers, state = () => {}) {
  let source = null;
  let timer = 0;
  let pause = 1000;
  let lastId = "";
  let ended = false;

  function open() {
    state("connecting");
    const address = new URL(url(), window.location.href);
    if (lastId) address.searchParams.set("last_event_id", lastId);
    source = new EventSource(address);
    source.addEventListener("open", () => {
      pause = 1000;
      state("live");
    });
    source.addEventListener("error", () => {
      state("lost");
      if (source.readyState !== EventSource.CLOSED || ended) return;
      timer = setTimeout(open, pause);
      pause = Math.min(pause * 2, SLOWEST_MS);
    });
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        lastId = event.lastEventId || lastId;
        handle(JSON.parse(event.data), event.lastEventId);
      });
    }
  }

  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    source.close();
  };
}

/** Show a stream's state in `<span data-stream>`. */
export function indicator(element) {
  const texts = { connecting: "connecting", live: "live", lost: "reconnecting", paused: "paused" };
  return (name) => {
    element.dataset.state = name;
    element.querySelector("[data-text]").textContent = texts[name];
  };
}
