"use strict";
(() => {
  const finder = document.querySelector(".finder");
  if (!finder) return;
  const find = document.getElementById("find");
  const show = document.getElementById("show");
  const found = document.getElementById("found");
  const groups = [...document.querySelectorAll(".examples")];
  const rows = groups.flatMap((group) =>
    [...group.querySelectorAll(".question")].map((row) => ({ row, group: group.dataset.group, text: row.textContent.toLowerCase() }))
  );

  const update = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let visible = 0;
    for (const { row, group, text } of rows) {
      const match = (!show.value || show.value === group) && words.every((word) => text.includes(word));
      row.hidden = !match;
      visible += match ? 1 : 0;
    }
    for (const group of groups) group.hidden = !group.querySelector(".question:not([hidden])");
    found.textContent = `${visible} of the ${rows.length} questions listed`;
  };

  const move = (step) => {
    const summaries = rows.filter(({ row }) => !row.hidden).map(({ row }) => row.querySelector("summary"));
    const at = summaries.indexOf(document.activeElement);
    const next = document.activeElement === find ? (step > 0 ? summaries[0] : undefined) : at < 0 ? undefined : summaries[at + step];
    if (next) next.focus();
    return Boolean(next);
  };

  find.addEventListener("input", update);
  show.addEventListener("change", update);
  finder.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName);
    if (event.key === "/" && !typing) {
      event.preventDefault();
      find.focus();
    } else if ((event.key === "ArrowDown" && move(1)) || (event.key === "ArrowUp" && move(-1))) {
      event.preventDefault();
    }
  });
  finder.hidden = false;
  update();
})();
