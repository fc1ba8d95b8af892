// Keeps the forms of a card in place while they are asked about: one answer, one sentence, one countdown.
"use strict";
const card = (() => {
  const PATIENCE_MS = 20000;
  let busy = false;
  let counting = 0;

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

  // Said once to those who listen; the digits then go down for those who look.
  function countDown(form, seconds) {
    const until = Date.now() + seconds * 1000;
    clearInterval(counting);
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      const alert = find("card-error");
      if (left <= 0) {
        clearInterval(counting);
        counting = 0;
        say("");
        for (const one of document.querySelectorAll("form[data-in-place]")) setLabel(one, "");
        return;
      }
      alert.textContent = alert.textContent.replace(/\d+/, String(left));
      alert.setAttribute("aria-live", "off");
      for (const one of document.querySelectorAll("form[data-in-place]")) {
        setLabel(one, words().wait.replace("{seconds}", String(left)));
      }
    };
    counting = setInterval(tick, 1000);
    setTimeout(() => find("card-error").setAttribute("aria-live", "off"), 500);
  }

  async function send(form, action = form.action, text = "") {
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
        form.dispatchEvent(new CustomEvent("accepted", { bubbles: true }));
        window.location.assign(body.next);
        return;
      }
      complain(form, body.error || words().unreachable, body.detail);
      form.dispatchEvent(new CustomEvent("refused", { bubbles: true }));
      if (answer.status === 429) countDown(form, Number(answer.headers.get("Retry-After")) || 1);
    } catch {
      complain(form, words().unreachable);
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-in-place]")) return;
    event.preventDefault();
    if (busy || counting) return;
    const before = new CustomEvent("sending", { bubbles: true, cancelable: true });
    if (form.dispatchEvent(before)) send(form);
  });

  // A card that the browser kept for its Back button is not busy any more.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });

  return { find, words, send, setBusy, setLabel, complain, say, isBusy: () => busy };
})();
