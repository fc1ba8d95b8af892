// What every protected page needs besides NiceGUI.
"use strict";
const proxgate = (() => {
  const RETRY_MS = 1000;
  const GIVEN_UP_MS = 30_000;

  // Covers the page while the session store is silent: nothing done here has any effect, and nothing is lost.
  function cover(on) {
    document.getElementById("pg-cover").hidden = !on;
    document.getElementById("app").inert = on;
    document.querySelector(":popover-open")?.hidePopover(); // what lies above everything
    document.querySelector("dialog[open]")?.close();
    for (const dialog of document.querySelectorAll("[id^=q-portal]")) dialog.inert = on;
  }

  // The name of a page that was kept for its person has done its work once the page is there.
  const address = new URL(window.location.href);
  if (address.searchParams.has("kept")) {
    address.searchParams.delete("kept");
    window.history.replaceState(null, "", address);
  }

  // Cards of tabs whose session had ended go on by themselves once somebody has signed in in another tab.
  new BroadcastChannel("proxgate").postMessage("signed-in");

  // A Proxmox beside Proxgate is on the machine where this page is from, and not on the browser's own.
  const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
  function repoint({ target }) {
    const link = target.closest?.("a[href][target=_blank]");
    if (!link?.hash.startsWith("#v1:") || LOOPBACK.test(window.location.hostname)) return;
    if (LOOPBACK.test(link.hostname)) link.hostname = window.location.hostname;
  }
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, repoint);

  // A page that the browser kept for its Back button is asked for anew: it may show what has ended.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });

  // What an address points at may be drawn later than the page: then it is gone to once more.
  function pointed() {
    try {
      return document.getElementById(decodeURIComponent(address.hash.slice(1)));
    } catch {
      return null; // an address that somebody has mangled
    }
  }
  if (address.hash && !pointed()) {
    const waiting = new MutationObserver(() => {
      if (!pointed()) return;
      waiting.disconnect();
      window.location.replace(address.hash);
    });
    waiting.observe(document.body, { subtree: true, childList: true });
  }

  // Nobody looks at a tab that is hidden: the server need not ask Proxmox so often for it.
  function tellSight() {
    const detail = document.hidden ? "hidden" : "seen";
    document.getElementById("pg-sight")?.dispatchEvent(new CustomEvent("sight", { detail }));
  }
  document.addEventListener("visibilitychange", tellSight);

  // On the way to the login card nothing else is loaded: it would cut that short, and the card would not say why.
  let leaving = false;
  function adopt(socket) {
    socket.on("connect", () => {
      cover(false); // it is let in only while the store answers
      if (document.hidden) setTimeout(tellSight, RETRY_MS); // a tab that was opened behind the others
    });
    socket.on("open", ({ path, new_tab: aside }) => {
      if (aside || !path.startsWith("/login")) return;
      leaving = true;
      setTimeout(() => (leaving = false), GIVEN_UP_MS); // somebody may have stopped it
      socket.disconnect(); // a page that connects again is told to load anew
    });
  }
  let socket = null;
  Object.defineProperty(window, "socket", { get: () => socket, set: (made) => adopt((socket = made)) });

  // A page that has lost its socket may have lost its session too, as on a laptop that slept: then it must not stay.
  setInterval(async () => {
    if (leaving || document.getElementById("popup")?.ariaHidden !== "false") return;
    try {
      // Nothing lives at this address: the guard answers 401 without a session, and builds no page with one.
      const answer = await fetch("/_nicegui_ws/", { cache: "no-store", redirect: "manual" });
      if (answer.status === 401 && !leaving) window.location.reload();
      cover(answer.status === 503);
    } catch {
      // Proxgate itself is away: NiceGUI says so and tries again.
    }
  }, RETRY_MS);

  // What a page shows stands in its address, for whoever reloads it or passes it on; empty takes it out.
  function setAddress(name, value) {
    const to = new URL(window.location.href);
    if (value) to.searchParams.set(name, value);
    else to.searchParams.delete(name);
    window.history.replaceState(window.history.state, "", to);
  }

  return { cover, setAddress };
})();
window.proxgate = proxgate;
