// The second step: one kind open at a time, the one last used first; autofill sends, security keys are asked.
"use strict";
(() => {
  const REMEMBERED = "proxgate.factor";
  const { find, words, send, setBusy, complain, say } = card;
  let greeted = false;

  const forms = () => [...document.querySelectorAll("form[data-kind]")];

  function open(kind) {
    for (const form of forms()) form.hidden = form.dataset.kind !== kind;
    for (const link of document.querySelectorAll("button[data-kind]")) link.hidden = link.dataset.kind === kind;
    const form = find(`verify-${kind}`);
    (form.querySelector("input:not([type=hidden])") || form.querySelector("button")).focus();
  }

  function last() {
    try {
      return localStorage.getItem(REMEMBERED) || "";
    } catch {
      return "";
    }
  }

  document.addEventListener("accepted", (event) => {
    try {
      localStorage.setItem(REMEMBERED, event.target.dataset.kind);
    } catch {
      // A browser that keeps nothing shows the first kind.
    }
  });

  // A key's answer is good for one try: what comes next is another way.
  document.addEventListener("refused", (event) => {
    const kinds = forms().map((form) => form.dataset.kind);
    const next = kinds[(kinds.indexOf("webauthn") + 1) % kinds.length];
    if (event.target.dataset.kind === "webauthn") open(next);
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("button[data-kind]");
    if (!link || card.isBusy()) return;
    if (!card.isWaiting()) say("");
    open(link.dataset.kind);
  });

  // A code that was filled in, by the keyboard's suggestion or a password manager, is sent; a typed one waits for Enter.
  document.addEventListener("input", (event) => {
    const field = event.target;
    const filled = field.matches(":autofill") || event.inputType === "insertReplacementText";
    if (field.id === "code-totp" && filled && field.value.trim()) field.form.requestSubmit();
  });

  document.addEventListener("sending", (event) => {
    const form = event.target;
    if (form.dataset.kind !== "webauthn") return;
    event.preventDefault();
    askKey(form);
  });

  // Proxmox wants the answer with bytes as base64url, and the challenge beside it.
  const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const toText = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

  async function askKey(form) {
    const { publicKey } = JSON.parse(form.dataset.options);
    const challenge = publicKey.challenge;
    setBusy(form, true);
    let signed;
    try {
      publicKey.challenge = toBytes(challenge);
      for (const key of publicKey.allowCredentials || []) key.id = toBytes(key.id);
      signed = await navigator.credentials.get({ publicKey });
    } catch {
      return complain(form, words().keyGaveUp);
    }
    const { authenticatorData, clientDataJSON, signature } = signed.response;
    form.elements.code.value = JSON.stringify({
      id: signed.id,
      type: signed.type,
      challenge,
      rawId: toText(signed.rawId),
      response: {
        authenticatorData: toText(authenticatorData),
        clientDataJSON: toText(clientDataJSON),
        signature: toText(signature),
      },
    });
    await send(form);
  }

  function greet() {
    if (greeted || !forms().length) return;
    greeted = true;
    const kinds = forms().map((form) => form.dataset.kind);
    open(kinds.includes(last()) ? last() : kinds[0]);
  }

  new MutationObserver(greet).observe(document.body, { childList: true, subtree: true });
  greet();
})();
