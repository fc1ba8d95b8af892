// Tables whose rows come as figures and words in `data-rows`: drawn as text, and only what changed is touched, so that
// nobody loses their place in them.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  function make(tag, attributes = {}, ...children) {
    const element = tag === "svg" || tag === "path" ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const name = (words) => make("bdi", {}, words);
  const dot = () => make("span", { class: "pg-dot", "aria-hidden": "true" });
  const link = (href, words, more = "") => make("a", { href, class: `pg-name ${more}` }, name(words));

  // The way to Proxmox, which opens beside our page.
  function out(href, label) {
    const attributes = { viewBox: "0 0 24 24", width: 18, height: 18, class: "pg-icon", "aria-hidden": "true" };
    const picture = make("svg", attributes, make("path", { d: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6" }));
    const more = { target: "_blank", rel: "noopener noreferrer", class: "pg-icon-button" };
    return make("a", { href, "aria-label": label, title: label, ...more }, picture);
  }

  function meter(label, part, words, percent) {
    const limits = { "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": part };
    const fill = make("div", { class: "pg-bar-fill", style: `width: ${part}%` });
    return make(
      "div",
      { class: "pg-meter" },
      make("span", { class: "pg-meter-words" }, words),
      make("b", { class: "pg-meter-words" }, percent),
      make("div", { role: "meter", "aria-label": label, ...limits, class: "pg-bar" }, fill),
    );
  }

  // What stands in each column of a row, and the row's class.
  const KINDS = {
    task: ({ state, what, task, about, href, node, nodeHref, words, user, at, utc, link: way, label }) => ({
      class: `pg-task-${state}`,
      what: [link(task, what)],
      about: [about && (href ? link(href, about) : name(about))],
      node: [link(nodeHref, node, "pg-plain-name")],
      state: [dot(), name(words)],
      user: [name(user)],
      at: [make("time", { class: "pg-exact", datetime: at }, utc)],
      link: [way ? out(way, label) : null],
    }),
    storage: ({ key, level, name: storage, nodes, type, holds, used, percent, part, note, pace, href, label }) => ({
      id: key, // with a slash in it, which no other id of a page has
      class: `pg-storage-${level}`,
      name: [make("b", {}, name(storage)), make("span", { class: "pg-count" }, name(nodes))],
      type: [type],
      holds: holds.map(([kind, count]) => make("span", { class: "pg-tag" }, `${kind} `, make("b", {}, count))),
      used: [
        part === null ? null : meter(storage, part, used, percent),
        note ? make("span", { class: "pg-storage-note" }, note) : null,
        pace ? make("span", { class: "pg-storage-pace" }, pace) : null,
      ],
      link: [href ? out(href, label) : null],
    }),
  };

  function row(kind, columns, figures) {
    const drawn = KINDS[kind](figures);
    const cells = columns.map((column) => make("td", { class: `pg-${kind}-${column}` }, ...drawn[column]));
    const aim = drawn.id && { id: drawn.id, tabindex: -1 }; // who comes by its address stands there by keyboard too
    return make("tr", { ...aim, class: drawn.class, "data-key": figures.key }, ...cells);
  }

  // Makes the old one like the fresh one, and touches nothing that is so already.
  function patch(old, fresh) {
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeName === "TIME" && old.dateTime === fresh.dateTime) return; // times.js has told it in the zone here
    for (const { name: each } of [...old.attributes]) if (!fresh.hasAttribute(each)) old.removeAttribute(each);
    for (const { name: each, value } of fresh.attributes) {
      if (old.getAttribute(each) !== value) old.setAttribute(each, value);
    }
    const children = [...fresh.childNodes];
    while (old.childNodes.length > children.length) old.lastChild.remove();
    children.forEach((child, index) => (old.childNodes[index] ? patch(old.childNodes[index], child) : old.append(child)));
  }

  function draw(body) {
    const { kind, columns } = body.dataset;
    const before = new Map([...body.children].map((one) => [one.dataset.key, one]));
    const fresh = JSON.parse(body.dataset.rows).map((figures) => row(kind, columns.split(" "), figures));
    const kept = new Set(fresh.map((one) => one.dataset.key));
    for (const [key, one] of before) if (!kept.has(key)) one.remove();
    fresh.forEach((one, index) => {
      const old = before.get(one.dataset.key);
      if (old) patch(old, one);
      const place = old || one;
      if (body.children[index] !== place) body.insertBefore(place, body.children[index] || null);
    });
  }

  const drawn = new WeakMap();
  function drawAll() {
    for (const body of document.querySelectorAll("tbody[data-rows]")) {
      if (drawn.get(body) === body.dataset.rows) continue;
      drawn.set(body, body.dataset.rows);
      draw(body);
    }
  }
  new MutationObserver(drawAll).observe(document.body, {
    subtree: true, childList: true, attributeFilter: ["data-rows"],
  });
  drawAll();
})();
