// What every protected page needs besides NiceGUI.
"use strict";
(() => {
  const RETRY_MS = 1000;

  // A page that the browser kept for its Back button is asked for anew: it may show what has ended.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });

  // A page that has lost its socket may have lost its session too, as on a laptop that slept: then it must not stay.
  setInterval(async () => {
    if (document.getElementById("popup")?.ariaHidden !== "false") return;
    try {
      // Nothing lives at this address: the guard answers 401 without a session, and builds no page with one.
      const answer = await fetch("/_nicegui_ws/", { cache: "no-store", redirect: "manual" });
      if (answer.status === 401) window.location.reload();
    } catch {
      // Proxgate itself is away: NiceGUI says so and tries again.
    }
  }, RETRY_MS);
})();
