// Logs that grow: their end stays in sight for as long as the person is there, and nobody is taken away from elsewhere.
"use strict";
(() => {
  const NEAR_PX = 24;
  const left = new WeakSet(); // logs whose person reads further up

  document.addEventListener("scroll", ({ target: log }) => {
    if (!log.matches?.(".pg-log")) return;
    const atEnd = log.scrollHeight - log.clientHeight - log.scrollTop <= NEAR_PX;
    left[atEnd ? "delete" : "add"](log);
  }, true);

  new MutationObserver(() => {
    for (const log of document.querySelectorAll(".pg-log")) if (!left.has(log)) log.scrollTop = log.scrollHeight;
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
})();
