// The bell: what this person has set going, and which of it has failed since they last looked; kept in this browser.
"use strict";
(() => {
  const DAY = 24 * 3600;
  const find = (id) => document.getElementById(id);
  const place = () => `proxgate-bell-${find("bell-data").dataset.account}`;
  const tasks = () => JSON.parse(find("bell-data").dataset.tasks ?? "[]");
  const failures = (all, since) => (all || []).filter(({ state, ended }) => state === "failed" && ended > since);
  let seen = 0; // when the newest task ended that this browser has shown; what follows is for one without storage

  function seenUntil(all) {
    try {
      if (localStorage.getItem(place()) === null) keep(all); // what failed before anybody looked is old
      seen = Math.max(seen, Number(localStorage.getItem(place())) || 0);
    } catch {}
    return seen;
  }

  function keep(all) {
    if (!all) return; // nobody could tell
    const latest = Date.now() / 1000 + DAY; // a node whose clock is years ahead must not silence what fails until then
    seen = Math.max(seen, ...all.map(({ ended }) => Math.min(ended, latest)));
    try {
      localStorage.setItem(place(), String(seen));
    } catch {}
  }

  function made(tag, name, words, ...children) {
    const element = document.createElement(tag);
    element.className = name;
    element.append(words, ...children);
    return element;
  }

  function drawn({ key, what, about, href, state, words, at, utc }) {
    const link = made("a", "pg-bell-task", "", made("span", "pg-dot", ""));
    const title = made("span", "pg-bell-what", what, about ? " " : "", made("bdi", "", about));
    const time = made("time", "pg-exact", utc); // assets/times.js tells it in the browser's zone
    time.dateTime = at;
    const line = made("span", "pg-bell-state", "", time, " · ", made("bdi", "", words));
    link.append(made("span", "pg-bell-words", "", title, line));
    link.href = href;
    link.dataset.key = key;
    return made("li", `pg-task-${state}`, "", link);
  }

  // "Your tasks: 2 tasks running, 1 failed"
  function label(words, running, failed) {
    const say = (one, many, count) => (count === 1 ? words[one] : words[many].replace("{count}", count));
    const said = [running && say("oneRunning", "running", running), failed && say("oneFailed", "failed", failed)];
    return [words.title, said.filter(Boolean).join(", ")].filter(Boolean).join(": ");
  }

  function drawButton(all) {
    const running = (all || []).filter(({ state }) => state === "running").length;
    const failed = failures(all, seenUntil(all)).length;
    const button = find("bell-button");
    button.setAttribute("aria-label", label(JSON.parse(find("bell-data").dataset.words), running, failed));
    button.classList.toggle("pg-bell-marked", failed > 0);
    find("bell-count").textContent = running || "";
  }

  function drawList(all) {
    const words = JSON.parse(find("bell-data").dataset.words);
    const focused = document.activeElement?.closest("#bell-list a")?.dataset.key;
    const list = made("ul", "", "", ...(all || []).map(drawn));
    list.setAttribute("role", "list");
    find("bell-list").replaceChildren(all?.length ? list : made("p", "pg-hint", all ? words.none : words.unread));
    if (focused) [...list.querySelectorAll("a")].find((link) => link.dataset.key === focused)?.focus();
  }

  function draw() {
    const all = tasks();
    drawList(all);
    if (find("bell").matches(":popover-open")) keep(all);
    drawButton(all);
  }

  document.addEventListener("toggle", ({ target, newState }) => {
    if (target.id !== "bell" || newState !== "open") return;
    keep(tasks());
    drawButton(tasks());
  }, true);
  window.addEventListener("storage", () => drawnIn && draw()); // seen in another tab

  // Vue draws the page, and the server writes the tasks into it, when they come.
  let drawnIn = null;
  let drawnOf = "";
  new MutationObserver(() => {
    const list = find("bell-list");
    const told = find("bell-data")?.dataset.tasks;
    if (!list || told === undefined || (list === drawnIn && told === drawnOf)) return;
    [drawnIn, drawnOf] = [list, told];
    draw();
  }).observe(document.body, { subtree: true, childList: true, attributeFilter: ["data-tasks"] });
})();
