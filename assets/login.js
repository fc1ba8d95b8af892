// Keeps the login form in place while Proxmox is asked. Without this script the form posts by itself.
"use strict";
(() => {
  const REMEMBERED = { username: "proxgate.username", realm: "proxgate.realm" };
  const PATIENCE_MS = 20000;
  let busy = false;

  const find = (id) => document.getElementById(id);

  function remembered(key) {
    try {
      return localStorage.getItem(key) || "";
    } catch {
      return "";
    }
  }

  function remember(form) {
    try {
      localStorage.setItem(REMEMBERED.username, form.elements.username.value);
      localStorage.setItem(REMEMBERED.realm, form.elements.realm.value);
    } catch {
      // A browser that keeps nothing still signs in.
    }
  }

  function setBusy(form, on) {
    busy = on;
    const button = find("submit");
    button.classList.toggle("pg-busy", on);
    button.setAttribute("aria-busy", String(on));
    button.setAttribute("aria-disabled", String(on));
    const words = button.querySelector(".pg-submit-text");
    if (on) words.dataset.idle = words.textContent;
    words.textContent = on ? JSON.parse(form.dataset.words).busy : words.dataset.idle || words.textContent;
  }

  function complain(form, sentence) {
    setBusy(form, false);
    find("login-error").textContent = sentence;
    form.elements.password.setAttribute("aria-invalid", "true");
    form.elements.password.focus();
    form.elements.password.select();
  }

  async function submit(form) {
    find("login-error").textContent = "";
    form.elements.password.removeAttribute("aria-invalid");
    setBusy(form, true);
    const words = JSON.parse(form.dataset.words);
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const body = await answer.json();
      if (!answer.ok) return complain(form, body.error || words.unreachable);
      remember(form);
      window.location.assign(body.next);
    } catch {
      complain(form, words.unreachable);
    }
  }

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "login") return;
    event.preventDefault();
    if (busy) return;
    splitUserid(event.target);
    submit(event.target);
  });

  document.addEventListener("click", (event) => {
    const toggle = event.target.closest("#show-password");
    if (!toggle) return;
    const password = find("password");
    const show = password.type === "password";
    const words = JSON.parse(find("login").dataset.words);
    password.type = show ? "text" : "password";
    toggle.setAttribute("aria-pressed", String(show));
    toggle.setAttribute("aria-label", show ? words.hide : words.show);
    password.focus();
  });

  // A card that the browser kept for its Back button is not busy any more.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });

  // The card is drawn by Vue, its realms may come later: fill in what this device remembers as things appear.
  let chosenRealm = "";
  let greeted = false;
  document.addEventListener("change", (event) => {
    if (event.target.id === "realm") chosenRealm = event.target.value;
    if (event.target.id === "username") splitUserid(event.target.form);
  });

  // Many write "root@pam" as Proxmox prints it: the realm moves, before their eyes, to where it belongs.
  function splitUserid(form) {
    const [, user, realm] = /^(.+)@([^@]+)$/.exec(form.elements.username.value) || [];
    const known = [...form.elements.realm.options].some((one) => one.value === realm && !one.disabled);
    if (!known || chosenRealm) return;
    form.elements.username.value = user;
    form.elements.realm.value = chosenRealm = realm;
  }

  function fillIn() {
    const form = find("login");
    if (!form) return;
    const realm = chosenRealm || remembered(REMEMBERED.realm);
    const select = form.elements.realm;
    if (select && realm && select.value !== realm) {
      const option = [...select.options].find((one) => one.value === realm && !one.disabled);
      if (option) select.value = realm;
    }
    if (greeted) return;
    greeted = true;
    if (!form.elements.username.value) form.elements.username.value = remembered(REMEMBERED.username);
    form.elements[form.elements.username.value ? "password" : "username"].focus();
  }

  new MutationObserver(fillIn).observe(document.body, { childList: true, subtree: true });
  fillIn();
})();
