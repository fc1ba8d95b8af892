// Keeps the forms of a card in place while they are asked about: one answer, one sentence, one countdown.
"use strict";
const card = (() => {
  const PATIENCE_MS = 20000;
  let busy = false;
  let counting = 0;
  let sent = ""; // the form that is asked about

  const find = (id) => document.getElementById(id);
  const words = () => JSON.parse(document.querySelector(".pg-card").dataset.words);
  const button = (form) => form.querySelector("button[type=submit]");
  const label = (form) => form.querySelector(".pg-submit-text");

  function setLabel(form, text) {
    const place = label(form);
    place.dataset.idle ??= place.textContent;
    const wanted = text || place.dataset.idle;
    if (place.textContent !== wanted) place.textContent = wanted; // a card that watches itself must come to rest
  }

  function setBusy(form, on, text) {
    busy = on;
    button(form).classList.toggle("pg-busy", on);
    button(form).setAttribute("aria-busy", String(on));
    button(form).setAttribute("aria-disabled", String(on));
    setLabel(form, on ? text || words().busy : "");
  }

  function say(sentence, detail) {
    find("card-error").removeAttribute("aria-live");
    find("card-error").textContent = sentence || "";
    find("card-detail").textContent = detail || "";
  }

  // The field that a person types next: the last one that is not hidden.
  const field = (form) => [...form.elements].filter((one) => one.matches("input:not([type=hidden])") && one.offsetParent).pop();

  function complain(form, sentence, detail) {
    setBusy(form, false);
    say(sentence, detail);
    const place = field(form);
    if (!place) return button(form).focus();
    place.setAttribute("aria-invalid", "true");
    place.focus();
    place.select();
  }

  const every = (selector) => [...document.querySelectorAll(selector)];

  function setWaiting(on) {
    for (const one of every(".pg-submit")) one.setAttribute("aria-disabled", String(on));
  }

  // Said once to those who listen; the digits then go down for those who look.
  function countDown(seconds) {
    const until = Date.now() + seconds * 1000;
    setWaiting(true);
    clearInterval(counting);
    counting = setInterval(() => {
      const left = Math.ceil((until - Date.now()) / 1000);
      const alert = find("card-error");
      alert.setAttribute("aria-live", "off");
      if (left > 0) {
        alert.textContent = alert.textContent.replace(/\d+/, String(left));
        return;
      }
      clearInterval(counting);
      counting = 0;
      setWaiting(false);
      say("");
    }, 1000);
  }

  async function send(form, action = form.action, text = "") {
    const now = () => (form.isConnected ? form : find(form.id)); // Vue may draw it anew meanwhile
    sent = form.id;
    say("");
    field(form)?.removeAttribute("aria-invalid");
    setBusy(form, true, text);
    try {
      const answer = await fetch(action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const body = await answer.json();
      if (answer.ok) {
        now().dispatchEvent(new CustomEvent("accepted", { bubbles: true }));
        window.location.assign(body.next);
        return;
      }
      complain(now(), body.error || words().unreachable, body.detail);
      now().dispatchEvent(new CustomEvent("refused", { bubbles: true }));
      if (answer.status === 429) countDown(Number(answer.headers.get("Retry-After")) || 1);
    } catch {
      complain(now(), words().unreachable);
    }
  }

  // A browser may keep the page as it is left: not with what was typed into it.
  window.addEventListener("pagehide", () => {
    for (const secret of every("input[type=password], #password, input[name=code]")) secret.value = "";
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-in-place]")) return;
    event.preventDefault();
    if (busy || counting) return;
    const before = new CustomEvent("sending", { bubbles: true, cancelable: true });
    if (form.dispatchEvent(before)) send(form);
  });

  // Vue has drawn the card once more, in the place of the one that the page came with: what was typed goes over.
  function takeOver() {
    const before = find("pg-still");
    if (!before || !document.querySelector("#app > *")) return;
    const { activeElement } = document;
    const fields = [...before.querySelectorAll("input[id], select[id]")].map((one) => ({ id: one.id, value: one.value, one }));
    const { selectionStart, selectionEnd } = activeElement;
    before.remove();
    for (const { id, value, one } of fields) {
      const now = find(id);
      if (!now) continue;
      if (value) now.value = value;
      if (one !== activeElement) continue;
      now.focus();
      if (now.matches("input")) now.setSelectionRange(selectionStart, selectionEnd);
    }
    if (busy && find(sent)) setBusy(find(sent), true);
    if (counting) setWaiting(true);
  }
  new MutationObserver(takeOver).observe(document.body, { childList: true, subtree: true });

  // NiceGUI's own page sleeps in this one, which can do without, unless something is to be told later.
  function wake() {
    const parts = document.importNode(find("pg-page").content, true);
    for (const script of parts.querySelectorAll("script")) script.async = false; // one after the other
    document.body.append(parts);
  }

  function remembered(key) {
    try {
      return localStorage.getItem(key) || "";
    } catch {
      return "";
    }
  }

  function remember(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch {
      // A browser that keeps nothing still signs in.
    }
  }

  // What the pages behind the card need comes while somebody types; once, since what a browser has, fetched ahead, would
  // be read from its disk again, and not from its memory.
  function fetchAhead() {
    const { content } = find("pg-page");
    const scripts = [...content.querySelectorAll("script[src], link[rel=modulepreload]")].map((one) => one.src || one.href);
    const styles = [...content.querySelector("style").textContent.matchAll(/@import url\("([^"]+)"\)/g)].map((one) => one[1]);
    const files = [...scripts, ...styles];
    let had = remembered("proxgate.fetched").split(" ").filter((file) => files.includes(file));
    for (const href of files.filter((file) => !had.includes(file))) {
      const link = Object.assign(document.createElement("link"), { rel: "prefetch", href });
      link.onload = () => remember("proxgate.fetched", (had = [...had, href]).join(" "));
      document.head.append(link);
    }
  }

  if (find("pg-page")?.dataset.awake !== undefined) wake();
  else if (find("pg-page")) document.addEventListener("input", fetchAhead, { once: true });

  // Once the card is drawn: the wait that it was sent with, and the field of a card that has but one way.
  function greet() {
    const alert = find("card-error");
    if (!alert || !document.querySelector(".pg-submit")) return;
    greeting.disconnect();
    if (alert.dataset.wait) countDown(Number(alert.dataset.wait));
    document.querySelector("[data-first]")?.focus();
  }
  const greeting = new MutationObserver(greet);
  greeting.observe(document.body, { childList: true, subtree: true });
  greet();

  // Whose session had ended, and who has signed in again in another tab, need not do so here as well.
  if (new URLSearchParams(window.location.search).has("ended")) {
    new BroadcastChannel("proxgate").onmessage = () => window.location.reload();
  }

  // A card that the browser kept for its Back button is not busy any more.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });

  const state = { isBusy: () => busy, isWaiting: () => counting > 0 };
  return { find, words, send, setBusy, setLabel, complain, say, remembered, remember, ...state };
})();
