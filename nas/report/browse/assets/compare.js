// Candidates side by side, what differs marked by a sign and not by colour alone.
"use strict";

function comparison(root, candidates) {
  const { make } = words;
  const only = make("input", { type: "checkbox", id: "only-different" });
  const body = make("tbody");
  const names = (section) => [...new Set(candidates.flatMap((each) => Object.keys(each.sections[section] || {})))];
  const sections = [...new Set(candidates.flatMap((each) => Object.keys(each.sections)))];

  function draw() {
    const lines = sections.flatMap((section) => {
      const rows = names(section).map((name) => {
        const values = candidates.map((each) => each.sections[section]?.[name] ?? "\u2013");
        return { name, values, differs: new Set(values).size > 1 };
      }).filter((row) => row.differs || !only.checked);
      if (!rows.length) return [];
      const title = make("tr", { class: "part" }, make("th", { colspan: candidates.length + 1, scope: "rowgroup" }, section));
      return [title, ...rows.map((row) => make("tr", { class: row.differs ? "differs" : "" }, make("th", { scope: "row" }, (row.differs ? "\u2260 " : "") + row.name), ...row.values.map((value) => make("td", {}, value))))];
    });
    body.replaceChildren(...lines);
  }

  only.addEventListener("change", draw);
  const head = make("tr", {}, make("th", { scope: "col" }, ""), ...candidates.map((each) => make("th", { scope: "col" }, `trial ${each.trial}`, make("br"), make("code", {}, each.arch_id))));
  root.replaceChildren(make("h2", {}, `Compare trials ${candidates.map((each) => each.trial).join(", ")}`),
    make("label", { for: "only-different", class: "check" }, only, "only what differs"),
    make("div", { class: "scroll", tabindex: "0" }, make("table", { class: "comparison" }, make("thead", {}, head), body)));
  draw();
}
