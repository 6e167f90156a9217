"use strict";
// The list, the pane of the open question, keys, links and controls.
(() => {
  const { manifest, lists, detailParts, loaded, load, loadKept, index, partAt, place, facets, named } = BrowserData;
  const { make, count, counted, badge, rowElement, optionList, details, address } = BrowserPane;
  const LIMIT = 300000; // rows that a list can be long: browsers bound the height of an element
  const HEIGHT = 56;
  const total = manifest.rows;
  const at = (id) => document.getElementById(id);
  const root = at("browser");
  const [finder, find, sortBy, filters, found, list, rowsBox, pane, printed] = [
    "browser-finder", "find", "browser-sort", "browser-filters", "found", "browser-list", "browser-rows", "browser-pane", "browser-print",
  ].map(at);

  let shown = new Int32Array(0); // the numbers of the questions listed
  let active = 0; // the place in the list that is selected
  let opened = -1; // the number of the open question

  const tell = () => {
    const done = loaded.length === lists.length;
    const read = loaded.length ? loaded[loaded.length - 1].end : 0;
    const listed = shown.length > LIMIT ? `; the first ${count(LIMIT)} are listed` : "";
    found.textContent = done
      ? `${count(shown.length)} of ${counted(total, "question")}${listed}`
      : `Reading: ${count(read)} of ${counted(total, "question")} so far, ${count(shown.length)} match`;
  };

  const filtersBox = filters.closest("details");
  const usedFilters = () => [...filters.querySelectorAll("select")].filter((select) => select.value !== "");
  const tellFilters = () => {
    const used = usedFilters().length;
    filtersBox.querySelector("summary").textContent = used ? `Filters (${used} in use)` : "Filters";
  };

  const update = () => {
    tellFilters();
    const row = shown[active];
    shown = BrowserSearch.choose(find.value, usedFilters(), sortBy.value);
    const still = row === undefined ? -1 : shown.indexOf(row);
    active = Math.max(0, still);
    virtual.setOptions({ ...virtual.options, count: Math.min(shown.length, LIMIT) });
    virtual._willUpdate();
    if (still < 0) virtual.scrollToIndex(0, { align: "start" });
    draw();
    tell();
    root.dataset.searched = String(Number(root.dataset.searched || 0) + 1);
  };

  // Only the rows in sight are in the document.

  const draw = () => {
    rowsBox.style.height = `${virtual.getTotalSize()}px`;
    rowsBox.replaceChildren(
      ...virtual.getVirtualItems().map(({ index: number, start }) => {
        const selected = number === active;
        const element = rowElement(place(shown[number]), {
          role: "option",
          id: `browser-row-${number}`,
          "aria-selected": String(selected),
          "aria-posinset": number + 1,
          "aria-setsize": shown.length,
        });
        if (shown[number] === opened) element.classList.add("open");
        element.style.transform = `translateY(${start}px)`;
        element.dataset.number = number;
        return element;
      })
    );
    if (at(`browser-row-${active}`)) list.setAttribute("aria-activedescendant", `browser-row-${active}`);
    else list.removeAttribute("aria-activedescendant");
    const none = shown.length === 0 && loaded.length === lists.length;
    root.classList.toggle("empty", none);
    at("browser-none").hidden = !none;
  };

  const virtual = new VirtualCore.Virtualizer({
    count: 0,
    getScrollElement: () => list,
    estimateSize: () => HEIGHT,
    overscan: 6,
    scrollToFn: VirtualCore.elementScroll,
    observeElementRect: VirtualCore.observeElementRect,
    observeElementOffset: VirtualCore.observeElementOffset,
    onChange: () => draw(),
  });
  virtual._didMount();
  virtual._willUpdate();

  const go = (number) => {
    if (!shown.length) return;
    active = Math.min(Math.max(0, number), Math.min(shown.length, LIMIT) - 1);
    virtual.scrollToIndex(active, { align: "auto" });
    draw();
    if (opened >= 0 && !pane.hidden) open(shown[active]);
  };

  const button = (text, label, keys, act) => {
    const element = make("button", { type: "button", "aria-label": label, "aria-keyshortcuts": keys }, text);
    element.addEventListener("click", act);
    return element;
  };
  const toolbar = () =>
    make(
      "div",
      { class: "tools" },
      button("← Previous", "Previous question", "k", () => go(active - 1)),
      button("Next →", "Next question", "j", () => go(active + 1)),
      button("Close", "Close the question", "Escape", () => close())
    );

  const open = async (row, focus = false) => {
    opened = row;
    const [part, number] = place(row);
    const title = make("h3", { id: "browser-title", dir: "auto", tabindex: "-1" }, part.text[number] || "(no text)");
    const link = make("a", { href: address([part, number]) }, "Link to this question");
    const late = make("div", { class: "late" }, make("p", { class: "note" }, "Reading …"));
    const held = pane.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    pane.replaceChildren(toolbar(), make("p", { class: "head" }, badge(part, number), link), title, optionList(part, number), late);
    pane.hidden = false;
    root.classList.add("opened");
    draw();
    try {
      history.replaceState(null, "", address([part, number]));
    } catch {
      // Some browsers refuse it for files; the link in the pane still names the question.
    }
    const again = held && [...pane.querySelectorAll("button")].find((one) => one.getAttribute("aria-label") === held);
    if (focus) title.focus();
    else if (again) again.focus();
    try {
      const from = partAt(detailParts, row);
      const more = (await loadKept(from))[row - from.first];
      const boxes = await details([part, number], more);
      if (opened !== row) return;
      late.replaceChildren(...boxes);
    } catch (error) {
      late.replaceChildren(make("p", { class: "warning", role: "alert" }, `The details cannot be shown: ${error.message}.`));
    }
    pane.dataset.ready = String(row);
  };

  const close = () => {
    if (pane.hidden) return;
    pane.hidden = true;
    opened = -1;
    root.classList.remove("opened");
    try {
      history.replaceState(null, "", "#questions");
    } catch {
      // As above.
    }
    draw();
    list.focus();
  };

  // Links to a question, keys, printing.

  const wanted = () => {
    const match = /^#q=([^&]*)(?:&in=(.*))?$/.exec(location.hash);
    if (!match) return null;
    try {
      return [decodeURIComponent(match[1]), decodeURIComponent(match[2] || "")];
    } catch {
      return null;
    }
  };
  const follow = () => {
    const [id, set] = wanted() || [];
    if (id === undefined) return true;
    for (const part of loaded)
      for (let row = part.id.indexOf(id); row >= 0; row = part.id.indexOf(id, row + 1))
        if (!set || named(part, row, "set") === set) {
          reveal(part.first + row);
          return true;
        }
    if (loaded.length === lists.length) found.textContent = `No question has the id ${JSON.stringify(id)}; ${found.textContent}`;
    return false;
  };
  const reveal = (row) => {
    if (opened === row) return;
    let number = shown.indexOf(row);
    if (number < 0) {
      clear();
      number = shown.indexOf(row);
    }
    active = Math.max(0, number);
    virtual.scrollToIndex(active, { align: "center" });
    at("questions").scrollIntoView();
    open(row, true);
  };

  const clear = () => {
    find.value = "";
    for (const select of filters.querySelectorAll("select")) select.value = "";
    update();
  };

  const page = () => Math.max(1, Math.floor(list.clientHeight / HEIGHT) - 1);
  const MOVES = {
    ArrowDown: () => active + 1,
    ArrowUp: () => active - 1,
    j: () => active + 1,
    k: () => active - 1,
    PageDown: () => active + page(),
    PageUp: () => active - page(),
    Home: () => 0,
    End: () => shown.length - 1,
  };

  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (MOVES[event.key]) go(MOVES[event.key]());
    else if (event.key === "Enter" && shown.length) open(shown[active], true);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-number]");
    if (!row) return;
    active = Number(row.dataset.number);
    open(shown[active]);
  });
  pane.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.key !== "j" && event.key !== "k")) return;
    event.preventDefault();
    go(active + (event.key === "j" ? 1 : -1));
    if (at("browser-title")) at("browser-title").focus();
  });
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !pane.hidden) {
      event.preventDefault();
      close();
    }
  });
  find.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "Enter") return;
    event.preventDefault();
    list.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName)) return;
    event.preventDefault();
    find.focus();
  });
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => {
    const rows = Math.min(shown.length, 50);
    const note = `The first ${count(rows)} of ${counted(shown.length, "question")} that match; all ${count(total)} are on the page itself.`;
    printed.replaceChildren(make("p", {}, note), ...Array.from({ length: rows }, (_, number) => rowElement(place(shown[number]), {})));
  });
  window.addEventListener("afterprint", () => printed.replaceChildren());

  // Controls.

  const select = (key, title, choices) => {
    const element = make("select", { "data-key": key }, make("option", { value: "" }, "all"), ...choices.map(([value, text]) => make("option", { value }, text)));
    element.addEventListener("change", update);
    filters.append(make("label", {}, make("span", { dir: "auto" }, title), " ", element));
  };
  const short = (text) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
  if (manifest.decided) select("decision", "Decision", [["yes", "kept"], ["no", "dropped"]]);
  for (const [key, { title, values, counts }] of facets) {
    const choices = values.map((value, code) => [code, value || "none", counts[code]]).filter(([, , number]) => number);
    choices.sort((a, b) => b[2] - a[2]);
    select(key, title, choices.map(([code, value, number]) => [code, `${short(value)} (${count(number)})`]));
  }
  manifest.detectors.forEach((name, number) => {
    select(`said:${number}`, name, [["yes", "answered"], ["no", "not answered"], ["unjudged", "not judged"], ["none", "no verdict"]]);
    sortBy.append(make("option", { value: `high:${number}` }, `${short(name)}: highest score first`), make("option", { value: `low:${number}` }, `${short(name)}: lowest score first`));
  });
  if (manifest.detectors.length > 1) sortBy.append(make("option", { value: "answered" }, "answered by most detectors first"));

  let timer = 0;
  find.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(update, 0); // keys that came together are one search
  });
  sortBy.addEventListener("change", update);
  at("browser-clear").addEventListener("click", () => {
    clear();
    find.focus();
  });
  finder.addEventListener("submit", (event) => event.preventDefault());

  const readAll = async () => {
    let followed = false;
    let drawn = 0;
    try {
      const begin = (part) => {
        const promise = load(part);
        promise.catch(() => {}); // told below, once, where it is waited for
        return promise;
      };
      const ahead = lists.slice(0, 3).map(begin);
      for (let number = 0; number < lists.length; number++) {
        const columns = await ahead[number];
        if (number + 3 < lists.length) ahead.push(begin(lists[number + 3]));
        loaded.push(index(lists[number], columns));
        BrowserSearch.forgetOrders();
        if (performance.now() - drawn > 250 || number === 0 || number + 1 === lists.length) {
          update();
          drawn = performance.now();
        }
        followed = followed || follow();
      }
      root.dataset.state = "ready";
    } catch (error) {
      root.dataset.state = "failed";
      found.textContent = `The questions cannot be shown: ${error.message}.`;
      found.classList.add("warning");
    }
  };
  root.hidden = false;
  root.classList.toggle("decided", manifest.decided);
  if (window.matchMedia("(max-width: 46rem)").matches) filtersBox.open = false;
  // After the first paint: the rest of the page is there to be read while the questions come.
  requestAnimationFrame(() => setTimeout(readAll, 0));
})();
