// The login card: what this device remembers, and the realm's way in.
"use strict";
(() => {
  const REMEMBERED = { username: "proxgate.username", realm: "proxgate.realm" };
  const { find, words, send, setLabel, remembered, remember } = card;
  let chosenRealm = ""; // by hand, or by a name that was typed with it
  let byHand = false;
  let greeted = false;

  const option = (form) => form.elements.realm.selectedOptions[0];
  const isOpenId = (form) => option(form)?.hasAttribute("data-openid") ?? false;

  // A provider's realm wants neither name nor password: what is hidden is not asked for either.
  function fit(form) {
    const openid = isOpenId(form);
    for (const name of ["username", "password"]) {
      form.elements[name].disabled = openid;
      form.elements[name].closest(".pg-field").hidden = openid;
    }
    if (openid && document.activeElement === document.body) form.querySelector(".pg-submit").focus();
    if (!card.isBusy()) setLabel(form, openid ? words().continue.replace("{label}", option(form).textContent) : "");
  }

  document.addEventListener("sending", (event) => {
    const form = event.target;
    if (form.id !== "login") return;
    splitUserid(form);
    if (!isOpenId(form)) return;
    event.preventDefault();
    send(form, "/login/openid", words().going);
  });

  document.addEventListener("accepted", (event) => {
    const form = event.target;
    if (form.id !== "login") return;
    remember(REMEMBERED.realm, form.elements.realm.value);
    if (!isOpenId(form)) remember(REMEMBERED.username, form.elements.username.value);
  });

  document.addEventListener("refused", (event) => {
    if (event.target.id === "login") fit(event.target);
  });

  document.addEventListener("click", (event) => {
    const toggle = event.target.closest("#show-password");
    if (toggle) showPassword(toggle);
  });

  function showPassword(toggle) {
    const password = find("password");
    const show = password.type === "password";
    password.type = show ? "text" : "password";
    toggle.setAttribute("aria-pressed", String(show));
    toggle.setAttribute("aria-label", show ? words().hide : words().show);
    password.focus();
  }

  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form?.id !== "login") return;
    if (event.target.id === "realm") {
      chosenRealm = event.target.value;
      byHand = true;
    }
    if (event.target.id === "username") splitUserid(form);
    fit(form);
  });

  // Many write "root@pam" as Proxmox prints it: the realm moves, before their eyes, to where it belongs.
  function splitUserid(form) {
    const [, user, realm] = /^(.+)@([^@]+)$/.exec(form.elements.username.value) || [];
    const known = [...form.elements.realm.options].find((one) => one.value === realm);
    if (!known || known.hasAttribute("data-openid") || byHand) return;
    form.elements.username.value = user;
    form.elements.realm.value = chosenRealm = realm;
  }

  // The card is drawn by Vue, its realms may come later: fill in what this device remembers as things appear.
  function fillIn() {
    const form = find("login");
    if (!form) return;
    const select = form.elements.realm;
    const realm = chosenRealm || remembered(REMEMBERED.realm);
    if (select && realm && select.value !== realm && [...select.options].some((one) => one.value === realm)) {
      select.value = realm;
    }
    if (select?.options.length) fit(form);
    if (greeted) return;
    greeted = true;
    if (!form.elements.username.value) form.elements.username.value = remembered(REMEMBERED.username);
    const next = form.elements[form.elements.username.value ? "password" : "username"];
    (next.disabled ? form.querySelector(".pg-submit") : next).focus();
  }

  new MutationObserver(fillIn).observe(document.body, { childList: true, subtree: true });
  fillIn();
})();
