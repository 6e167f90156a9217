"use strict";
(() => {
  const root = document.getElementById("browser");
  if (!root) return;
  const LIMIT = 300000; // rows that a list can be long: browsers bound the height of an element
  const HEIGHT = 56;
  const KEPT_PARTS = 6;
  const SEPARATOR = "\u001f";
  const manifest = JSON.parse(document.getElementById("browser-manifest").textContent);
  const total = manifest.rows;
  const at = (id) => document.getElementById(id);
  const [finder, find, sortBy, filters, found, list, rowsBox, pane, printed] = [
    "browser-finder", "find", "browser-sort", "browser-filters", "found", "browser-list", "browser-rows", "browser-pane", "browser-print",
  ].map(at);

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== false) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== undefined && child !== ""));
    return element;
  };
  const count = (number) => number.toLocaleString("en-US");
  const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
  const rate = (value) => (value === null || value === undefined ? "none" : value.toFixed(2));

  // Data: parts of the list are read at once, those with details or frames when a question is opened.

  const partsOf = (kind) => manifest.parts.map(([of, first, name], number) => ({ of, first, name, number })).filter((part) => part.of === kind);
  const lists = partsOf("list");
  const detailParts = partsOf("details");
  const frameParts = partsOf("frames");
  const loaded = []; // parts of the list in order: columns, and one lower-case text with the place where each row begins
  const waiting = new Map();
  const cache = new Map();

  window.vidgroundPart = (kind, first, value) => {
    const settle = waiting.get(`${kind} ${first}`);
    if (settle) settle(value);
  };

  const load = (part) =>
    new Promise((resolve, reject) => {
      const inside = at(`browser-part-${part.number}`);
      if (inside) {
        resolve(JSON.parse(inside.textContent));
        return;
      }
      const key = `${part.of} ${part.first}`;
      const script = make("script", { src: `${encodeURIComponent(manifest.folder)}/${encodeURIComponent(part.name)}` });
      script.nonce = manifest.nonce;
      script.async = true;
      const end = (settle) => (value) => {
        waiting.delete(key);
        script.remove();
        settle(value);
      };
      waiting.set(key, end(resolve));
      script.onerror = () => end(reject)(new Error(`${manifest.folder}/${part.name} is not beside this page: keep the two together`));
      script.onload = () => waiting.has(key) && end(reject)(new Error(`${manifest.folder}/${part.name} is damaged: run vg report again`));
      document.head.append(script);
    });

  const loadKept = (part) => {
    if (cache.has(part.number)) {
      const kept = cache.get(part.number);
      cache.delete(part.number);
      cache.set(part.number, kept);
      return kept;
    }
    const promise = load(part);
    cache.set(part.number, promise);
    promise.catch(() => cache.delete(part.number));
    if (cache.size > KEPT_PARTS) cache.delete(cache.keys().next().value);
    return promise;
  };

  const index = (part, columns) => {
    const starts = new Int32Array(columns.n + 1);
    const texts = new Array(columns.n);
    let length = 0;
    for (let row = 0; row < columns.n; row++) {
      texts[row] = `${columns.id[row]}\n${columns.text[row]}\n${columns.options[row]}`.toLowerCase();
      starts[row] = length;
      length += texts[row].length + 1;
    }
    starts[columns.n] = length;
    for (const codes of [columns.codes, columns.tags]) for (const key of Object.keys(codes)) codes[key] = Uint16Array.from(codes[key]);
    for (const key of Object.keys(columns.score)) columns.score[key] = Int16Array.from(columns.score[key]);
    return { ...columns, first: part.first, end: part.first + columns.n, search: texts.join("\n"), starts };
  };

  const partAt = (parts, row) => {
    let [low, high] = [0, parts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (parts[middle].first <= row) low = middle;
      else high = middle - 1;
    }
    return parts[low];
  };
  const place = (row) => {
    const part = partAt(loaded, row);
    return [part, row - part.first];
  };
  const said = (part, row, detector) => (part.said[detector] || "")[row] || " ";
  const optionsOf = (part, row) => part.options[row].split(SEPARATOR);

  // Search, filters and order.

  const words = (text) => [...text.toLowerCase().matchAll(/"([^"]+)"|([^\s"]+)/g)].map((match) => match[1] || match[2]);

  const searchPart = (part, terms, hits) => {
    const [first, ...others] = terms;
    let from = part.search.indexOf(first);
    let row = 0;
    while (from >= 0) {
      while (part.starts[row + 1] <= from) row++;
      const end = part.starts[row + 1] - 1;
      if (from + first.length <= end && (!others.length || others.every((term) => part.search.substring(part.starts[row], end).includes(term)))) {
        hits[part.first + row] = 1;
        from = part.search.indexOf(first, end + 1);
      } else from = part.search.indexOf(first, others.length && from + first.length <= end ? end + 1 : from + 1);
    }
  };

  const SAYS = { yes: "1", no: "0", unjudged: "-", none: " " };
  const keepers = () =>
    [...filters.querySelectorAll("select")]
      .filter((select) => select.value !== "")
      .map((select) => {
        const key = select.dataset.key;
        if (key === "decision") return (part, row) => part.kept[row] === SAYS[select.value];
        if (key.startsWith("said:")) return (part, row) => said(part, row, key.slice(5)) === SAYS[select.value];
        const code = Number(select.value);
        return (part, row) => {
          const codes = key.startsWith("tag:") ? part.tags[key.slice(4)] : part.codes[key];
          return ((codes && codes[row]) || 0) === code;
        };
      });

  const orders = new Map();
  const order = (key) => {
    if (key === "data") return null;
    if (!orders.has(key)) orders.set(key, makeOrder(key));
    return orders.get(key);
  };
  const makeOrder = (key) => {
    const rows = loaded.length ? loaded[loaded.length - 1].end : 0;
    if (key === "id") {
      const ids = loaded.flatMap((part) => part.id);
      return Int32Array.from(ids.keys()).sort((a, b) => (ids[a] < ids[b] ? -1 : ids[a] > ids[b] ? 1 : a - b));
    }
    const weights = new Float64Array(rows);
    const detector = /^(high|low):(\d+)$/.exec(key);
    for (const part of loaded)
      for (let row = 0; row < part.n; row++) {
        let weight = 0;
        if (detector) {
          const score = part.score[detector[2]] && row < part.score[detector[2]].length ? part.score[detector[2]][row] : -1;
          weight = score < 0 ? 2000 : detector[1] === "high" ? 1000 - score : score;
        } else if (key === "long" || key === "short") weight = key === "long" ? 100000 - part.text[row].length : part.text[row].length;
        else weight = manifest.detectors.length - manifest.detectors.filter((_, number) => said(part, row, number) === "1").length;
        weights[part.first + row] = weight * 4194304 + part.first + row; // one number sorts without a comparison function
      }
    weights.sort();
    return Int32Array.from(weights, (weight) => weight % 4194304);
  };

  let shown = new Int32Array(0);
  let active = 0;
  let opened = -1;

  const choose = () => {
    const rows = loaded.length ? loaded[loaded.length - 1].end : 0;
    const terms = words(find.value).sort((a, b) => b.length - a.length);
    const keep = keepers();
    const hits = new Uint8Array(rows);
    for (const part of loaded) {
      if (terms.length) searchPart(part, terms, hits);
      else hits.fill(1, part.first, part.end);
      if (keep.length)
        for (let row = 0; row < part.n; row++) if (hits[part.first + row] && !keep.every((test) => test(part, row))) hits[part.first + row] = 0;
    }
    let matches = 0;
    for (let row = 0; row < rows; row++) matches += hits[row];
    const chosen = new Int32Array(matches);
    const sorted = order(sortBy.value);
    let next = 0;
    for (let step = 0; step < rows; step++) {
      const row = sorted ? sorted[step] : step;
      if (hits[row]) chosen[next++] = row;
    }
    return chosen;
  };

  const tell = () => {
    const done = loaded.length === lists.length;
    const read = loaded.length ? loaded[loaded.length - 1].end : 0;
    const listed = shown.length > LIMIT ? `; the first ${count(LIMIT)} are listed` : "";
    found.textContent = done
      ? `${count(shown.length)} of ${counted(total, "question")}${listed}`
      : `Reading: ${count(read)} of ${counted(total, "question")} so far, ${count(shown.length)} match`;
  };

  const filtersBox = filters.closest("details");
  const tellFilters = () => {
    const used = [...filters.querySelectorAll("select")].filter((select) => select.value !== "").length;
    filtersBox.querySelector("summary").textContent = used ? `Filters (${used} in use)` : "Filters";
  };

  const update = () => {
    tellFilters();
    const row = shown[active];
    shown = choose();
    const still = row === undefined ? -1 : shown.indexOf(row);
    active = Math.max(0, still);
    virtual.setOptions({ ...virtual.options, count: Math.min(shown.length, LIMIT) });
    virtual._willUpdate();
    if (still < 0) virtual.scrollToIndex(0, { align: "start" });
    draw();
    tell();
    root.dataset.searched = String(Number(root.dataset.searched || 0) + 1);
  };

  // The list. Only the rows in sight are in the document.

  const verdictOf = (part, row) => {
    if (manifest.decided && part.kept[row] !== " ") return part.kept[row] === "1" ? ["kept", "kept"] : ["dropped", "dropped"];
    const yes = manifest.detectors.some((_, number) => said(part, row, number) === "1");
    const judged = manifest.detectors.some((_, number) => "01".includes(said(part, row, number)));
    return yes ? ["answered", "dropped"] : judged ? ["not answered", "kept"] : ["not judged", "none"];
  };
  const facets = new Map(manifest.facets.map(([key, title, values, counts]) => [key, { title, values, counts }]));
  const named = (part, row, key) => {
    const facet = facets.get(key);
    return facet && part.codes[key] ? facet.values[part.codes[key][row]] || "" : "";
  };
  const badge = (part, row) => {
    const [word, style] = verdictOf(part, row);
    return make("span", { class: `badge ${style}` }, word);
  };
  const answers = (part, row) =>
    manifest.detectors
      .map((name, number) => [name, said(part, row, number)])
      .filter(([, word]) => word !== " ")
      .map(([name, word]) => `${name}: ${{ 1: "answered", 0: "not answered", "-": "not judged" }[word]}`)
      .join(" · ");

  const rowElement = (number, attributes) => {
    const [part, row] = place(shown[number]);
    const under = [named(part, row, "set"), named(part, row, "reason"), answers(part, row)].filter(Boolean).join(" · ");
    return make(
      "div",
      { class: "row", ...attributes },
      badge(part, row),
      make("span", { class: "text", dir: "auto" }, part.text[row] || "(no text)"),
      make("span", { class: "under" }, under),
      make("span", { class: "id" }, part.id[row])
    );
  };

  const draw = () => {
    rowsBox.style.height = `${virtual.getTotalSize()}px`;
    rowsBox.replaceChildren(
      ...virtual.getVirtualItems().map(({ index: number, start }) => {
        const selected = number === active;
        const element = rowElement(number, {
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
    root.classList.toggle("empty", shown.length === 0);
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

  // The pane with one question.

  const CONDITIONS = new Map([
    ["blind", "question and options, no video"],
    ["text", "question and options, no video"],
    ["ordered", "the frames in order"],
    ["shuffled", "the frames in random order"],
    ["reversed", "the frames backwards"],
    ["single", "one frame"],
    ["blank", "black frames"],
    ["options", "the options alone"],
    ["subtitles", "question, options and subtitles, no video"],
    ["centre", "the frame in the middle"],
    ["mismatched", "the frames of another video"],
    ["recorded", "as recorded; see its source"],
  ]);
  const table = (caption, heads, rows) =>
    make(
      "div",
      { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
      make(
        "table",
        {},
        make("caption", { class: "hidden" }, caption),
        make("thead", {}, make("tr", {}, ...heads.map((head, number) => make("th", { scope: "col", class: number ? "number" : undefined }, head)))),
        make("tbody", {}, ...rows.map(([head, ...cells]) => make("tr", {}, make("th", { scope: "row" }, head), ...cells.map((cell) => make("td", { class: "number" }, cell)))))
      )
    );
  const numbers = (values) =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${value === null ? "none" : value}`)
      .join(", ");

  const optionList = (part, row) => {
    if (part.gold[row] < 0) return make("p", {}, "Right answer: ", make("span", { class: "gold", dir: "auto" }, optionsOf(part, row)[0]));
    return make(
      "ol",
      { class: "options", type: "A" },
      ...optionsOf(part, row).map((option, number) =>
        number === part.gold[row]
          ? make("li", { class: "gold", dir: "auto" }, option, " ", make("span", { class: "tick" }, "✓ right answer"))
          : make("li", { dir: "auto" }, option)
      )
    );
  };

  const detectorBox = ([name, rule, shortcut, answered, tallies, scores, evidence]) => {
    const word = answered === null ? "not judged" : answered ? "answered without watching" : "not answered";
    return make(
      "section",
      { class: "detector" },
      make("h4", { dir: "auto" }, name, " ", make("small", {}, `${word}; score ${rate(shortcut)}${rule ? `; rule: ${rule}` : ""}`)),
      tallies.length
        ? table(
            `Trials of ${name}`,
            ["Shown", "Trials", "Right", "P(gold)", "No answer"],
            tallies.map(([condition, trials, right, refused, unparsed, failed, gold]) => [
              CONDITIONS.has(condition) ? `${condition}: ${CONDITIONS.get(condition)}` : condition,
              count(trials),
              count(right),
              rate(gold),
              [[refused, "refused"], [unparsed, "unparsed"], [failed, "failed"]].filter(([n]) => n).map(([n, what]) => `${count(n)} ${what}`).join(", ") || "0",
            ])
          )
        : "",
      evidence.length ? make("ul", { class: "evidence" }, ...evidence.map((line) => make("li", { dir: "auto" }, line))) : "",
      Object.keys(scores).length ? make("p", { class: "note" }, numbers(scores)) : ""
    );
  };

  const decisionBox = ([kept, policy, version, reason, values]) =>
    make(
      "p",
      { class: "decision" },
      make("strong", {}, kept ? "Kept" : "Dropped"),
      reason === "kept" ? "" : ": ",
      make("span", { dir: "auto" }, reason === "kept" ? "" : reason || "no reason given"),
      `. Policy ${policy} ${version}${Object.keys(values).length ? `, on ${numbers(values)}` : ""}.`
    );

  const facts = (part, row, more) => {
    const pairs = [["id", part.id[row]], ["kind", more.k], ["source", more.s], ["video", more.g], ["data set", named(part, row, "set")]];
    for (const [path, type, start, end] of more.m || []) {
      const span = start === null && end === null ? "" : `, ${start === null ? 0 : start} s to ${end === null ? "the end" : `${end} s`}`;
      pairs.push([type, `${path}${span}`]);
    }
    pairs.push(...Object.entries(more.t || {}));
    return make("dl", { class: "meta" }, ...pairs.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", { dir: "auto" }, name), make("dd", { dir: "auto" }, value)]));
  };

  const framed = new Map(manifest.framed.map((key, number) => [JSON.stringify(key), number]));
  const framesBox = async (media) => {
    const key = (media || []).map((medium) => framed.get(JSON.stringify(medium))).find((number) => number !== undefined);
    if (key === undefined || !frameParts.length) return "";
    const pictures = (await loadKept(frameParts[0]))[key].filter((picture) => /^data:image\/webp;base64,[A-Za-z0-9+/=]+$/.test(picture));
    return make("div", { class: "frames" }, ...pictures.map((src, number) => make("img", { src, alt: `Frame ${number + 1} of ${pictures.length}, in order of time` })));
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

  const address = (row) => {
    const [part, place_] = place(row);
    const id = part.id[place_];
    const set = named(part, place_, "set");
    const safe = (text) => encodeURIComponent(text.toWellFormed ? text.toWellFormed() : text.replace(/[\ud800-\udfff]/g, "\ufffd"));
    return `#q=${safe(id)}${set ? `&in=${safe(set)}` : ""}`;
  };

  const open = async (row, focus = false) => {
    opened = row;
    const [part, number] = place(row);
    const title = make("h3", { id: "browser-title", dir: "auto", tabindex: "-1" }, part.text[number] || "(no text)");
    const link = make("a", { href: address(row) }, "Link to this question");
    const late = make("div", { class: "late" }, make("p", { class: "note" }, "Reading …"));
    pane.replaceChildren(toolbar(), make("p", { class: "head" }, badge(part, number), link), title, optionList(part, number), late);
    pane.hidden = false;
    root.classList.add("opened");
    draw();
    try {
      history.replaceState(null, "", address(row));
    } catch {
      // Some browsers refuse it for files; the link in the pane still names the question.
    }
    if (focus) title.focus();
    try {
      const details = partAt(detailParts, row);
      const more = (await loadKept(details))[row - details.first];
      const frames = await framesBox(more.m).catch(() => "");
      if (opened !== row) return;
      late.replaceChildren(
        ...[
          frames,
          more.d ? decisionBox(more.d) : "",
          more.v.length ? make("h4", { class: "hidden" }, "What each detector was shown and answered") : make("p", { class: "note" }, "No detector has judged it."),
          more.v.some((verdict) => verdict[6].some((line) => /\b(?:ABCD|BADC|BCDA)\b/.test(line)))
            ? make("p", { class: "note" }, "An order such as BCDA names the options above in the places where they were shown.")
            : "",
          ...more.v.map(detectorBox),
          facts(part, number, more),
        ].filter(Boolean)
      );
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
    printed.replaceChildren(make("p", {}, note), ...Array.from({ length: rows }, (_, number) => rowElement(number, {})));
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
    timer = setTimeout(update, total > 20000 ? 30 : 0);
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
        orders.clear();
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
