"use strict";
// The questions' data: parts of the list are read at once, those with details or frames when a question is opened.
const BrowserData = (() => {
  const KEPT_PARTS = 6;
  const SEPARATOR = "\u001f";
  const manifest = JSON.parse(document.getElementById("browser-manifest").textContent);

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
      const inside = document.getElementById(`browser-part-${part.number}`);
      if (inside) {
        resolve(JSON.parse(inside.textContent));
        return;
      }
      const key = `${part.of} ${part.first}`;
      const script = document.createElement("script");
      script.src = `${encodeURIComponent(manifest.folder)}/${encodeURIComponent(part.name)}`;
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

  const facets = new Map(manifest.facets.map(([key, title, values, counts]) => [key, { title, values, counts }]));
  const named = (part, row, key) => {
    const facet = facets.get(key);
    return facet && part.codes[key] ? facet.values[part.codes[key][row]] || "" : "";
  };
  const verdictOf = (part, row) => {
    if (manifest.decided && part.kept[row] !== " ") return part.kept[row] === "1" ? ["kept", "kept"] : ["dropped", "dropped"];
    const yes = manifest.detectors.some((_, number) => said(part, row, number) === "1");
    const judged = manifest.detectors.some((_, number) => "01".includes(said(part, row, number)));
    return yes ? ["answered", "dropped"] : judged ? ["not answered", "kept"] : ["not judged", "none"];
  };

  return { manifest, lists, detailParts, frameParts, loaded, load, loadKept, index, partAt, place, said, optionsOf, facets, named, verdictOf };
})();
