"use strict";
// What the browser shows, as elements whose texts are set as texts: nothing from the data is read as HTML.
const BrowserPane = (() => {
  const { manifest, frameParts, loadKept, said, optionsOf, named, verdictOf } = BrowserData;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== false) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== undefined && child !== ""));
    return element;
  };
  const count = (number) => number.toLocaleString("en-US");
  const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
  const rate = (value) => (value === null || value === undefined ? "none" : value.toFixed(2));

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
    const pairs = [["id", part.id[row]], ["kind", more.k], ["source", more.s], ["group", more.g], ["data set", named(part, row, "set")]];
    for (const [path, type, start, end] of more.m || []) {
      const span = start === null && end === null ? "" : `, ${start === null ? 0 : start} s to ${end === null ? "the end" : `${end} s`}`;
      pairs.push([type, `${path}${span}`]);
    }
    pairs.push(...Object.entries(more.t || {}));
    return make("dl", { class: "meta" }, ...pairs.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", { dir: "auto" }, name), make("dd", { dir: "auto" }, value)]));
  };

  const framed = new Map(manifest.framed.map((key, number) => [JSON.stringify(key), number]));
  const framesBox = async (media) => {
    if (!media || !media.length) return "";
    const key = media.map((medium) => framed.get(JSON.stringify(medium))).find((number) => number !== undefined);
    if (key === undefined || !frameParts.length) {
      const held = framed.size ? `it holds those of ${count(framed.size)} of ${count(manifest.media)} videos and images` : "no video that was tried could be read where it was written";
      return make("p", { class: "note" }, `The page has no frames of this question: ${held}. They would come from `, make("span", { dir: "auto" }, media[0][0]), ".");
    }
    const pictures = (await loadKept(frameParts[0]))[key].filter((picture) => /^data:image\/webp;base64,[A-Za-z0-9+/=]+$/.test(picture));
    return make("div", { class: "frames" }, ...pictures.map((src, number) => make("img", { src, alt: `Frame ${number + 1} of ${pictures.length}, in order of time` })));
  };

  const rowElement = (place, attributes) => {
    const [part, row] = place;
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

  // All that a part of the details holds of a question; `place` is its part of the list and its row there.
  const details = async (place, more) => [
    await framesBox(more.m).catch((error) => make("p", { class: "note" }, `The frames cannot be shown: ${error.message}.`)),
    more.d ? decisionBox(more.d) : "",
    more.v.length ? make("h4", { class: "hidden" }, "What each detector was shown and answered") : make("p", { class: "note" }, "No detector has judged it."),
    more.v.some((verdict) => verdict[6].some((line) => /\b(?:ABCD|BADC|BCDA)\b/.test(line)))
      ? make("p", { class: "note" }, "An order such as BCDA names the options above in the places where they were shown.")
      : "",
    ...more.v.map(detectorBox),
    facts(...place, more),
  ].filter(Boolean);

  const address = ([part, row]) => {
    const id = part.id[row];
    const set = named(part, row, "set");
    const safe = (text) => encodeURIComponent(text.toWellFormed ? text.toWellFormed() : text.replace(/[\ud800-\udfff]/g, "\ufffd"));
    return `#q=${safe(id)}${set ? `&in=${safe(set)}` : ""}`;
  };

  return { make, count, counted, badge, rowElement, optionList, details, address };
})();
