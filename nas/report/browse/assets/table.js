// The table below the front: sorted, filtered, in pages; what it shows can be saved.
"use strict";

const trialTable = (root, hooks) => {
  const { make, number, shown } = words;
  const PAGE = 25;
  let data, state = { sort: null, down: true, page: 0, filter: "" }, rows = [], marked = new Set();

  const filter = make("input", { type: "search", id: "filter", "aria-describedby": "filter-help", placeholder: "front params<500k val_accuracy>80%",
    oninput: () => { state.filter = filter.value; state.page = 0; draw(); } });
  const count = make("span", { class: "muted", id: "row-count", role: "status" });
  const body = make("tbody"), head = make("tr");
  const pages = make("nav", { class: "pages", "aria-label": "pages of the table" });
  root.replaceChildren(
    make("div", { class: "bar" }, make("label", { for: "filter" }, "Filter"), filter, count, make("span", { class: "room" }),
      make("button", { type: "button", id: "save-csv", onclick: () => save("csv") }, "CSV"),
      make("button", { type: "button", id: "save-json", onclick: () => save("json") }, "JSON")),
    make("p", { class: "muted small", id: "filter-help" }, "Words that must all hold: front, a status, a trial number, or a quantity with <, > or = and a number."),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "trials" }, make("table", { id: "trials" }, make("thead", {}, head), body)),
    pages);

  function columns() {
    return data.shown.filter((name) => data.columns[name]);
  }

  function value(row, name) {
    if (name === "trial") return data.trials[row];
    if (name === "status") return standing(row);
    return name === "seeds" ? data.seeds[row] : data.columns[name][row];
  }

  function standing(row) {
    if (hooks.isFront(row)) return "front";
    const status = data.statuses[data.status[row]];
    return data.compared[row] && hooks.fits(row) ? "dominated" : hooks.fits(row) ? status : "over the cap";
  }

  function test(text) {
    const known = /^([\w.-]+)(<=|>=|<|>|=)(.+)$/.exec(text);
    if (known && (data.columns[known[1]] || known[1] === "trial" || known[1] === "seeds")) {
      const wanted = words.parse(known[3]), how = known[2];
      return (row) => {
        const has = value(row, known[1]);
        if (has === null || Number.isNaN(wanted)) return false;
        return how === "<" ? has < wanted : how === ">" ? has > wanted : how === "<=" ? has <= wanted : how === ">=" ? has >= wanted : has === wanted;
      };
    }
    if (/^\d+$/.test(text)) return (row) => data.trials[row] === Number(text);
    return (row) => standing(row).includes(text.toLowerCase());
  }

  function visible() {
    const tests = state.filter.split(/\s+/).filter(Boolean).map(test);
    const found = rows.filter((row) => tests.every((holds) => holds(row)));
    const by = state.sort, sign = state.down ? -1 : 1;
    if (by) found.sort((a, b) => {
      const x = value(a, by), y = value(b, by);
      if (x === y) return a - b;
      if (x === null) return 1;
      if (y === null) return -1;
      return x < y ? -sign : sign;
    });
    return found;
  }

  function header(name, title) {
    const order = state.sort === name ? (state.down ? "descending" : "ascending") : "none";
    const arrow = { descending: " \u2193", ascending: " \u2191", none: "" }[order];
    return make("th", { scope: "col", "aria-sort": order, class: name === "status" ? "" : "number" },
      make("button", { type: "button", class: "plain", onclick: () => { state = { ...state, down: state.sort === name ? !state.down : true, sort: name, page: 0 }; draw(); } }, title + arrow));
  }

  function draw() {
    if (!data) return;
    const found = visible(), names = columns();
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    state.page = Math.min(state.page, last);
    head.replaceChildren(make("th", { scope: "col" }, "compare"), header("trial", "trial"), header("status", "standing"),
      ...names.map((name) => header(name, data.quantities[name].title)), header("seeds", "seeds"));
    body.replaceChildren(...found.slice(state.page * PAGE, (state.page + 1) * PAGE).map((row) => line(row, names)));
    count.textContent = `${found.length.toLocaleString("en-US")} of ${data.trials.length.toLocaleString("en-US")} trial${data.trials.length === 1 ? "" : "s"}`;
    const go = (page, title, is) => make("button", { type: "button", disabled: is, onclick: () => { state.page = page; draw(); } }, title);
    pages.replaceChildren(...(last ? [go(state.page - 1, "Previous", state.page === 0), make("span", { class: "muted" }, `page ${state.page + 1} of ${last + 1}`), go(state.page + 1, "Next", state.page === last)] : []));
  }

  function line(row, names) {
    const trial = data.trials[row];
    const box = make("input", { type: "checkbox", "aria-label": `compare trial ${trial}`, onchange: () => hooks.mark(trial, box.checked) });
    box.checked = marked.has(trial);
    const cells = names.map((name) => {
      const margin = data.margins[name]?.[trial], known = data.quantities[name];
      const text = number(known, data.columns[name][row]);
      return make("td", { class: "number" }, text, margin ? make("small", {}, ` \u00b1${number(known, margin)}`) : null);
    });
    return make("tr", {}, make("td", {}, box), make("td", { class: "number" }, make("button", { type: "button", class: "plain open", onclick: () => hooks.choose(trial) }, String(trial))),
      make("td", {}, standing(row)), ...cells, make("td", { class: "number" }, String(data.seeds[row])));
  }

  function save(kind) {
    const names = Object.keys(data.columns);
    const table = visible().map((row) => ({ trial: data.trials[row], standing: standing(row), status: data.statuses[data.status[row]], seeds: data.seeds[row],
      ...Object.fromEntries(names.map((name) => [name, data.columns[name][row]])) }));
    if (kind === "json") return words.save(`${data.study}.json`, "application/json", JSON.stringify(table, null, 1));
    const cell = (x) => (x === null ? "" : /[",\n\r]/.test(String(x)) ? `"${String(x).replace(/"/g, '""')}"` : String(x));
    const keys = ["trial", "standing", "status", "seeds", ...names];
    return words.save(`${data.study}.csv`, "text/csv", [keys.map(cell).join(","), ...table.map((row) => keys.map((key) => cell(row[key])).join(","))].join("\n") + "\n");
  }

  return {
    show(given, shownRows, chosen) { data = given; rows = shownRows; marked = chosen; draw(); },
  };
};
