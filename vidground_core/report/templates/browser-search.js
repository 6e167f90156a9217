"use strict";
// Search, filters and order over all that is read of the list.
const BrowserSearch = (() => {
  const { manifest, loaded, said } = BrowserData;

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
  const keepers = (filters) =>
    filters.map((select) => {
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

  // The numbers of the questions that match, in order; `filters` are select elements.
  const choose = (text, filters, orderKey) => {
    const rows = loaded.length ? loaded[loaded.length - 1].end : 0;
    const terms = words(text).sort((a, b) => b.length - a.length);
    const keep = keepers(filters);
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
    const sorted = order(orderKey);
    let next = 0;
    for (let step = 0; step < rows; step++) {
      const row = sorted ? sorted[step] : step;
      if (hits[row]) chosen[next++] = row;
    }
    return chosen;
  };

  return { choose, forgetOrders: () => orders.clear() };
})();
