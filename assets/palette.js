// The command palette: opened by Ctrl-K, walked through by the arrows; what it finds comes from the server, as text.
"use strict";
(() => {
  const ASK_MS = 80;
  const find = (selector) => document.querySelector(selector);
  const dialog = () => find("#palette");
  const field = () => find("#palette input");
  const list = () => find("#palette-list");
  const hits = () => [...list().children];
  let asking = 0;

  function ask() {
    clearTimeout(asking);
    asking = setTimeout(() => {
      find("#palette-data").dispatchEvent(new CustomEvent("ask", { detail: field().value }));
    }, ASK_MS);
  }

  function open() {
    if (!dialog() || dialog().open || find("#app").inert || find(".q-dialog")) return;
    find(":popover-open")?.hidePopover();
    field().value = "";
    list().replaceChildren();
    choose(null);
    dialog().showModal();
    ask();
  }

  function choose(chosen) {
    for (const hit of hits()) hit.setAttribute("aria-selected", String(hit === chosen));
    if (chosen) field().setAttribute("aria-activedescendant", chosen.id);
    else field().removeAttribute("aria-activedescendant");
    chosen?.scrollIntoView({ block: "nearest" });
  }

  function move(by) {
    const all = hits();
    const at = all.findIndex((hit) => hit.ariaSelected === "true");
    if (all.length) choose(all[(at + by + all.length) % all.length]);
  }

  function part(tag, name, words) {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = words;
    return made;
  }

  function drawn({ kind, name, detail, address, dot }, place) {
    const hit = part("a", "pg-palette-hit", "");
    Object.assign(hit, { id: `palette-hit-${place}`, role: "option", href: address, tabIndex: -1 });
    const more = part("span", "pg-palette-more", detail);
    if (dot) more.prepend(part("span", dot, ""));
    hit.append(part("span", "pg-type", kind), part("span", "pg-palette-name", name), more);
    return hit;
  }

  function draw() {
    const { typed, hits: found } = JSON.parse(find("#palette-data").dataset.hits);
    if (typed !== field().value) return; // more was typed meanwhile: its answer is on the way
    list().replaceChildren(...found.map(drawn));
    const said = find(".pg-palette-said");
    said.textContent = found.length ? "" : said.dataset.none;
    field().setAttribute("aria-expanded", String(found.length > 0));
    choose(hits()[0]);
  }

  const KEYS = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: () => find("#palette [aria-selected=true]")?.click() };

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    } else if (event.target === field() && KEYS[event.key] && !event.isComposing) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });
  document.addEventListener("input", (event) => event.target === field() && ask());
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-opens=palette]")) open();
    else if (event.target === dialog() || event.target.closest("#palette button, #palette a")) dialog().close();
  });

  // A dialog of the page, such as that before a session's end, is not to be missed behind this one.
  new MutationObserver(() => {
    if (!find("[id^=q-portal] .q-dialog__inner")) return;
    if (dialog()?.open) dialog().close();
    find(":popover-open")?.hidePopover();
  }).observe(document.body, { childList: true });

  // Vue draws the page, and the server writes the hits into it, when they come.
  new MutationObserver((changes) => {
    if (changes.some((change) => change.target.id === "palette-data")) draw();
  }).observe(document.body, { subtree: true, attributeFilter: ["data-hits"] });
})();
