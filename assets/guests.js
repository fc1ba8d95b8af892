// The table of guests: AG Grid over rows that the server searches and sorts. Only blocks in view are asked for; what
// comes is numbered, so that an answer to an old question is dropped. All of a row is text: nothing here parses HTML.
"use strict";
const guests = (() => {
  const PHONE = window.matchMedia("(max-width: 640px)");
  const COLUMNS = "proxgate.guests.columns";
  const TYPING_MS = 200, ASKING_MS = 10, SCROLLING_MS = 120;
  const SLACK = 4; // rows above and below those in view that are kept fresh with them
  const ROW = { high: 46, phone: 72 };
  const [VMID, TYPE, NAME, NODE, STATE, LOCK, CPU, CPU_BAR, MEMORY, MEMORY_BAR, DISK, DISK_BAR, UPTIME, TAGS, POOL] =
    Array(15).keys();

  // How wide each column is at least, and in which order they go when there is not room for all.
  const LAYOUT = {
    name: { minWidth: 190, flex: 3, keep: 0 },
    vmid: { minWidth: 92, keep: 5 },
    node: { minWidth: 104, flex: 1, keep: 3 },
    state: { minWidth: 132, flex: 1, keep: 1 },
    cpu: { minWidth: 132, flex: 1, keep: 2 },
    memory: { minWidth: 152, flex: 1, keep: 4 },
    disk: { minWidth: 152, flex: 1, keep: 9 },
    uptime: { minWidth: 124, flex: 1, keep: 6 },
    tags: { minWidth: 150, flex: 2, keep: 8 },
    pool: { minWidth: 110, flex: 1, keep: 10 },
    addresses: { minWidth: 160, flex: 2, keep: 7 },
  };
  const BLOCK = 50; // as ui/guest_window.py has it
  const MOST_KNOWN = 2000;
  const BIGGEST_FIRST = new Set(["cpu", "memory", "disk", "uptime"]);

  let api = null;
  let words = null;
  let number = Date.now() % 1e9; // above all that a page before this one has asked
  let asking = 0, typing = 0, scrolling = 0;
  let view = { first: 0, last: 0 }; // as the server knows it
  let returning = window.history.state?.first || 0; // the row that was at the top when somebody left this page
  let opened = false; // whether the first block stood in the page itself
  const selected = new Set(); // guests by their numbers, whether in view or not
  let every = false; // whether all that are found have just been selected
  const known = new Map(); // the addresses of guests that were in view, by their numbers

  // Blocks, each by its first row.
  const wanted = new Set(); // to be asked for
  const asked = new Set(); // asked for, and not here yet
  const waiting = new Map(); // the grid's callbacks for those that it waits for
  const early = new Map(); // here before the grid has called for them

  const page = () => document.getElementById("guests");
  const box = () => document.getElementById("guests-search");
  const rowHeight = () => (PHONE.matches ? ROW.phone : ROW.high);
  const headerHeight = () => (PHONE.matches ? 0 : 44);

  // --- what a cell shows ---------------------------------------------------------------------------------------

  function make(tag, classes, text) {
    const element = document.createElement(tag);
    if (classes) element.className = classes;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function isolated(text, classes) {
    return make("bdi", classes, text);
  }

  function withChildren(element, ...children) {
    element.append(...children.filter(Boolean));
    return element;
  }

  function bar(percent, text) {
    if (percent < 0) return make("span", "", text);
    const track = make("span", "pg-cell-bar");
    const fill = make("i", percent >= 90 ? "pg-high" : "");
    fill.style.width = `${percent}%`;
    track.append(fill);
    return withChildren(make("span", "pg-cell-meter"), track, make("span", "", text));
  }

  function state(row) {
    const known = Object.hasOwn(words.states, row[STATE]); // of QEMU's many words for how a machine is we know some
    const dot = make("span", `pg-dot pg-${known ? row[STATE] : "unknown"}`);
    const lock = row[LOCK] && make("span", "pg-lock", row[LOCK]);
    if (lock) lock.title = words.locks.replace("{lock}", row[LOCK]);
    return withChildren(make("span", "pg-cell-state"), dot, make("span", "", known ? words.states[row[STATE]] : row[STATE]), lock);
  }

  function address(row) {
    return `/guests/${row[VMID]}`;
  }

  function link(row, ...children) {
    const to = make("a", "pg-guest-link");
    to.href = address(row);
    to.tabIndex = -1; // the keyboard is on the cell, and Enter opens it
    to.title = row[NAME];
    return withChildren(to, ...children);
  }

  function fact(label, text) {
    return withChildren(make("span", "pg-fact"), make("span", "pg-fact-label", label), " ", make("span", "", text));
  }

  function tags(row) {
    const all = row[TAGS] ? row[TAGS].split(";") : [];
    const room = withChildren(make("span", "pg-tags"), ...all.map((tag) => isolated(tag, "pg-tag")));
    room.title = all.join(" ");
    return room;
  }

  function addresses(row) {
    const text = row[STATE] === "running" ? known.get(row[VMID]) ?? "" : "–";
    const all = isolated(text, "pg-cut");
    all.title = text;
    return all;
  }

  // Space on a row does the same.
  function pick(row) {
    const label = make("label", "pg-pick");
    const box = make("input");
    Object.assign(box, { type: "checkbox", tabIndex: -1, checked: selected.has(row[VMID]) });
    box.dataset.pick = row[VMID];
    box.setAttribute("aria-label", words.select);
    box.setAttribute("aria-description", row[NAME]); // in its name it would be in that of the cell
    return withChildren(label, box);
  }

  const skeleton = () => make("span", "pg-skeleton");
  const drawn = (draw) => (cell) => (cell.data ? draw(cell.data) : skeleton());

  const cells = {
    select: pick,
    name: (row) => link(row, make("span", "pg-type", row[TYPE]), isolated(row[NAME], "pg-guest-name")),
    vmid: (row) => make("span", "", String(row[VMID])),
    node: (row) => isolated(row[NODE], "pg-cut"),
    state,
    cpu: (row) => bar(row[CPU_BAR], row[CPU]),
    memory: (row) => bar(row[MEMORY_BAR], row[MEMORY]),
    disk: (row) => bar(row[DISK_BAR], row[DISK]),
    uptime: (row) => make("span", "", row[UPTIME]),
    tags,
    pool: (row) => isolated(row[POOL], "pg-cut"),
    addresses,
    phone: (row) =>
      withChildren(
        make("span", "pg-phone"),
        link(row),
        pick(row),
        withChildren(make("span", "pg-line"), isolated(row[NAME], "pg-guest-name"), state(row)),
        withChildren(
          make("span", "pg-line pg-line-soft"),
          withChildren(make("span", "pg-place"), isolated(row[NODE]), ` · ${row[VMID]}`),
          fact(words.columns.cpu, row[CPU]),
          fact(words.memory, row[MEMORY]),
        ),
      ),
  };

  // A cell is drawn anew when what it shows has changed.
  const shown = {
    select: [VMID],
    name: [NAME, TYPE], vmid: [VMID], node: [NODE], state: [STATE, LOCK], cpu: [CPU, CPU_BAR],
    memory: [MEMORY, MEMORY_BAR], disk: [DISK, DISK_BAR], uptime: [UPTIME], tags: [TAGS], pool: [POOL],
    addresses: [VMID, STATE],
    phone: [VMID, NAME, NODE, STATE, LOCK, CPU, MEMORY],
  };

  function column(name, label, more) {
    return {
      colId: name,
      headerName: label,
      valueGetter: (cell) => cell.data && shown[name].map((place) => cell.data[place]).join("\n"),
      cellRenderer: drawn(cells[name]),
      resizable: true,
      suppressMovable: true,
      ...more,
    };
  }

  function columns() {
    words = JSON.parse(page().dataset.words);
    const all = Object.entries(words.columns).map(([name, label]) => {
      const { minWidth, flex = 0 } = LAYOUT[name];
      const order = BIGGEST_FIRST.has(name) ? ["desc", "asc", null] : ["asc", "desc", null];
      return column(name, label, { minWidth, flex, width: minWidth, sortable: name !== "addresses", sortingOrder: order });
    });
    const mark = { width: 52, minWidth: 52, maxWidth: 52, resizable: false };
    return [column("select", "", mark), ...all, column("phone", words.guest, { flex: 1, minWidth: 100, hide: true })];
  }

  // --- which columns are shown -----------------------------------------------------------------------------------

  function chosen() {
    try {
      const names = JSON.parse(localStorage.getItem(COLUMNS));
      return Array.isArray(names) ? names.filter((name) => name in LAYOUT) : null;
    } catch {
      return null; // a browser that keeps nothing, or something else
    }
  }

  function choose(names) {
    try {
      if (names) localStorage.setItem(COLUMNS, JSON.stringify(names));
      else localStorage.removeItem(COLUMNS);
    } catch {
      // It is for this page alone, then.
    }
  }

  function fitting() {
    const names = Object.keys(LAYOUT).sort((one, other) => LAYOUT[one].keep - LAYOUT[other].keep);
    const room = page().querySelector(".pg-grid")?.clientWidth || page().clientWidth;
    let used = 4 + 52;
    return names.filter((name) => (used += LAYOUT[name].minWidth) <= room);
  }

  function showColumns() {
    const names = new Set(["select", "name", ...(chosen() || fitting())]);
    const hide = (name) => (PHONE.matches ? name !== "phone" : !names.has(name));
    const all = ["select", ...Object.keys(words.columns), "phone"];
    api.applyColumnState({ state: all.map((name) => ({ colId: name, hide: hide(name) })) });
    for (const check of page().querySelectorAll("[data-column]")) check.checked = names.has(check.dataset.column);
  }

  // --- what is selected ------------------------------------------------------------------------------------------

  function select(vmid, on) {
    if (on) selected.add(vmid);
    else selected.delete(vmid);
    every = false;
    showSelection();
  }

  function showSelection() {
    const bar = document.getElementById("guests-selected");
    const count = bar.querySelector("[data-selected]");
    bar.hidden = selected.size === 0;
    count.textContent = count.dataset.selected.replace("{count}", selected.size);
    offerAll();
    api.refreshCells({ columns: ["select", "phone"], force: true });
  }

  // All that are found: the server knows which these are.
  function offerAll() {
    const button = document.querySelector("[data-select-all]");
    const { selectAll, selectFirst, most } = button.dataset;
    const found = api.getDisplayedRowCount();
    button.hidden = every || !found;
    button.textContent = (found > most ? selectFirst : selectAll).replace("{count}", Math.min(found, most));
  }

  function selectThese(vmids) {
    for (const vmid of vmids) selected.add(vmid);
    every = true;
    showSelection();
    document.querySelector("[data-unselect]").focus(); // the button that had the focus is gone
  }

  function act(action) {
    page().dispatchEvent(new CustomEvent("act", { detail: { action, vmids: [...selected] } }));
  }

  // --- what is asked ---------------------------------------------------------------------------------------------

  function sort() {
    const sorted = api.getColumnState().find((one) => one.sort);
    return sorted ? `${sorted.sort === "desc" ? "-" : ""}${sorted.colId}` : "vmid";
  }

  function setSort(name) {
    const descending = name.startsWith("-");
    const colId = descending ? name.slice(1) : name;
    const state = name === "vmid" ? [] : [{ colId, sort: descending ? "desc" : "asc" }];
    api.applyColumnState({ state, defaultState: { sort: null } });
  }

  function setAddress() {
    const to = new URL(window.location.href);
    const set = (name, value) => (value ? to.searchParams.set(name, value) : to.searchParams.delete(name));
    set("q", box().value.trim());
    set("sort", sort() === "vmid" ? "" : sort());
    if (to.href !== window.location.href) window.history.replaceState(window.history.state, "", to);
    const select = document.getElementById("guests-sort");
    select.value = sort();
  }

  // A new question: what was asked before it is answered no more.
  function renew() {
    number += 1;
    for (const block of waiting.values()) block.failCallback();
    for (const blocks of [wanted, asked, waiting, early]) blocks.clear();
    view = { first: 0, last: 0 };
    opened = every = false;
    window.history.replaceState(null, "");
    setAddress();
  }

  function search() {
    clearTimeout(typing);
    renew();
    wanted.add(0);
    if (api.getDisplayedRowCount()) api.ensureIndexVisible(0, "top");
    if (Object.keys(api.getCacheBlockState()).length > 2) api.purgeInfiniteCache();
    else api.refreshInfiniteCache(); // what stands there stays until its successors come
    askSoon();
  }

  function askSoon() {
    asking ||= setTimeout(ask, ASKING_MS);
  }

  function inView() {
    const { top, bottom } = api.getVerticalPixelRange();
    return { first: Math.floor(top / rowHeight()), last: Math.floor(bottom / rowHeight()) };
  }

  function question(blocks) {
    const addresses = Boolean(api.getColumn("addresses")?.isVisible());
    return { number, search: box().value.trim(), sort: sort(), blocks, opened, ...view, addresses };
  }

  function ask() {
    asking = 0;
    const { first } = inView();
    const high = Math.ceil(window.innerHeight / rowHeight());
    view = { first: Math.max(0, first - SLACK), last: first + high + SLACK };
    const detail = question([...wanted]);
    wanted.forEach((start) => asked.add(start));
    wanted.clear();
    page().dispatchEvent(new CustomEvent("ask", { detail }));
  }

  // Told when somebody scrolls beyond what the server keeps fresh, and not when a list that shrinks moves by itself.
  function scrolled() {
    scrolling = 0;
    const { first, last } = inView();
    const end = Math.min(last, api.getDisplayedRowCount() - 1);
    if (first < view.first || end > view.last) askSoon();
    window.history.replaceState({ first }, ""); // for whoever comes back from a guest
  }

  const source = {
    getRows(block) {
      if (early.has(block.startRow)) {
        block.successCallback(early.get(block.startRow), api.getDisplayedRowCount());
        early.delete(block.startRow);
        return;
      }
      waiting.get(block.startRow)?.failCallback();
      waiting.set(block.startRow, block);
      if (asked.has(block.startRow)) return;
      wanted.add(block.startRow);
      askSoon();
    },
  };

  // --- what comes ------------------------------------------------------------------------------------------------

  function take({ number: answered, count, blocks = [], rows = [] }) {
    if (answered !== number || !api) return;
    const focused = focusedGuest();
    setCount(count);
    if (returning && count) {
      api.ensureIndexVisible(Math.min(returning, count - 1), "top");
      returning = 0;
    }
    for (const [start, block] of blocks) {
      const place = waiting.get(start);
      for (const blocks of [wanted, asked, waiting]) blocks.delete(start);
      if (place) place.successCallback(block, count);
      else putUnasked(start, block);
    }
    for (const [index, row] of rows) setRow(index, row);
    follow(focused);
    if (selected.size) offerAll();
  }

  function setCount(count) {
    page().style.setProperty("--pg-rows", count);
    if (count && (api.getDisplayedRowCount() !== count || !api.isLastRowIndexKnown())) api.setRowCount(count, true);
    const high = view.last - view.first;
    if (view.last >= count) view = { first: Math.max(0, Math.min(view.first, count - high - 1)), last: view.last };
  }

  function putUnasked(start, block) {
    early.set(start, block);
    block.forEach((row, place) => setRow(start + place, row));
  }

  function setRow(index, row) {
    const start = index - (index % BLOCK);
    if (early.has(start)) early.get(start)[index - start] = row;
    const node = api.getRowNode(String(index)) || api.getRenderedNodes().find((one) => one.rowIndex === index);
    if (!node) return;
    if (node.data?.[VMID] === row[VMID]) node.updateData(row);
    else node.setData(row);
  }

  function know(addresses) {
    if (known.size > MOST_KNOWN) known.clear();
    for (const [vmid, text] of Object.entries(addresses)) known.set(Number(vmid), text);
    api?.refreshCells({ columns: ["addresses"], force: true });
  }

  // The keyboard stays on its guest where the order has changed.
  function focusedGuest() {
    const cell = page().querySelector(".pg-grid").contains(document.activeElement) && api.getFocusedCell();
    const vmid = cell && rendered(cell.rowIndex)?.data?.[VMID];
    return vmid === undefined || !cell ? null : { ...cell, vmid };
  }

  function rendered(index) {
    return api.getRenderedNodes().find((one) => one.rowIndex === index);
  }

  function follow(focused) {
    if (!focused || rendered(focused.rowIndex)?.data?.[VMID] === focused.vmid) return;
    const now = api.getRenderedNodes().find((one) => one.data?.[VMID] === focused.vmid);
    if (now) api.setFocusedCell(now.rowIndex, focused.column);
  }

  // --- beginnings ------------------------------------------------------------------------------------------------

  function open(event) {
    const row = event.data;
    const own = event.event?.target?.closest?.("a, label");
    if (row && !own && !String(window.getSelection())) window.location.assign(address(row));
  }

  function ready(grid) {
    api = grid;
    api.setGridAriaProperty("label", words.guests);
    setSort(page().dataset.sort);
    showColumns();
    api.addEventListener("sortChanged", renew);
    api.addEventListener("rowClicked", open);
    api.addEventListener("cellKeyDown", (event) => {
      if (event.event.key === "Enter" && event.data) window.location.assign(address(event.data));
      if (event.event.key === " " && event.data) {
        event.event.preventDefault();
        select(event.data[VMID], !selected.has(event.data[VMID]));
      }
    });
    api.addEventListener("bodyScroll", () => (scrolling ||= setTimeout(scrolled, SCROLLING_MS)));
    setAddress();
    api.setGridOption("datasource", source);
    const { opening } = page().dataset;
    opened = Boolean(opening);
    if (opening) take({ ...JSON.parse(opening), number });
    else wanted.add(0);
    askSoon();
    let width = 0;
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width && contentRect.width !== width) fit((width = contentRect.width));
    }).observe(page().querySelector(".pg-grid-room"));
  }

  // Told of every width that the window or the sidebar leaves to the table, the first one included.
  function fit() {
    if (api.getGridOption("rowHeight") !== rowHeight()) api.setGridOption("rowHeight", rowHeight());
    api.setGridOption("headerHeight", headerHeight());
    showColumns();
    askSoon(); // more rows may be in view, and another column
  }

  document.addEventListener("input", (event) => {
    if (event.target.id !== "guests-search" || !api) return;
    clearTimeout(typing);
    typing = setTimeout(search, TYPING_MS);
  });

  document.addEventListener("change", (event) => {
    const { target } = event;
    if (target.id === "guests-sort") setSort(target.value);
    if (target.dataset?.pick) select(Number(target.dataset.pick), target.checked);
    if (!target.dataset?.column) return;
    choose([...page().querySelectorAll("[data-column]:checked")].map((check) => check.dataset.column));
    showColumns();
    askSoon(); // there may be addresses to be asked for
  });

  document.addEventListener("click", (event) => {
    for (const menu of page().querySelectorAll("details[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    if (event.target.closest("[data-columns=fit]")) {
      choose(null);
      showColumns();
    }
    const action = event.target.closest("[data-action]");
    if (action && action.ariaDisabled !== "true") act(action.dataset.action); // grey says why by itself
    if (event.target.closest("[data-select-all]")) {
      page().dispatchEvent(new CustomEvent("all", { detail: question([]) })); // by what stands in the box by now
    }
    if (event.target.closest("[data-unselect]")) {
      selected.clear();
      every = false;
      showSelection();
      box().focus();
    }
    if (event.target.closest("[data-clear]")) {
      box().value = "";
      box().focus();
      search();
    }
  });

  document.addEventListener("keydown", (event) => {
    const menu = page().querySelector("details[open]");
    if (event.key === "Escape" && menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    if (event.target.id !== "guests-search" || !api) return;
    if (event.key === "Enter") search();
    if (event.key === "ArrowDown" && api.getDisplayedRowCount()) {
      event.preventDefault();
      api.setFocusedCell(0, PHONE.matches ? "phone" : "name");
    }
  });

  return { columns, headerHeight, know, ready, rowHeight, selectThese, take };
})();
