// The front: axes, caps, the plot and what is brushed. Everything is derived here from the columns of the study.
"use strict";

const frontView = (root, hooks) => {
  const { make, full, short, shown } = words;
  const MARKS = { front: { size: 11, opacity: 1 }, dominated: { size: 7, opacity: 0.5 }, other: { size: 5, opacity: 0.3 } };
  const GREY = "#8b949e", MANY = 1500;
  const gl = (() => { try { return !!document.createElement("canvas").getContext("webgl"); } catch { return false; } })();
  let data = null, columns = [], places = [], state = null, found = { front: [], rest: [], over: [] }, isFront = new Set(), brushed = null;
  const marked = new Set();

  const controls = make("form", { class: "controls", onsubmit: (event) => event.preventDefault() });
  const sliders = make("div", { class: "controls", id: "caps" });
  const facts = make("p", { id: "volume", class: "facts", role: "status" });
  const plot = make("div", { id: "plot", role: "img", "aria-label": "scatter plot of the trials; the table below has them all" });
  const tools = make("div", { class: "bar" });
  const tableRoot = make("section", { "aria-label": "table of trials" });
  root.replaceChildren(controls, sliders, facts, plot, tools, tableRoot);
  const table = trialTable(tableRoot, { isFront: (row) => isFront.has(row), fits, choose: hooks.choose, mark });

  function load(given) {
    const isNew = !data || data.study !== given.study || data.empty;
    data = given;
    columns = geometry.losses(data);
    const compared = data.trials.map((_, row) => row).filter((row) => data.compared[row]);
    places = geometry.box(data, columns, compared);
    if (isNew) {
      state = { ...data.axes, z: "", xlog: isWide(data.axes.x), ylog: false, caps: { ...data.caps }, tool: "brush", all: false, views: 0 };
      marked.clear(); brushed = null;
    }
    const isEmpty = !data.columns[state.x] || !data.columns[state.y] || !data.columns[state.colour];
    for (const part of [controls, sliders, plot, tools, tableRoot]) part.hidden = isEmpty;
    if (isEmpty) {
      facts.textContent = data.trials.length ? "nothing has been measured yet" : "no trial has been started yet";
      data.empty = true; // until something was measured, there is nothing to choose axes from
      return;
    }
    build();
    derive();
  }

  function isWide(name) {
    const values = (data.columns[name] || []).filter((value) => value !== null);
    return values.length > 1 && Math.min(...values.slice(0, 5000)) > 0 && Math.max(...values.slice(0, 5000)) / Math.min(...values.slice(0, 5000)) >= 8;
  }

  function build() {
    const names = Object.keys(data.columns);
    const pick = (id, title, extra) => make("label", { for: id }, title, make("select", { id, onchange: (event) => { state[id] = event.target.value; if (id === "x") state.xlog = isWide(state.x); build(); derive(); } },
      ...extra, ...names.map((name) => make("option", { value: name, selected: state[id] === name }, data.quantities[name].title))));
    const check = (id, title) => { const box = make("input", { type: "checkbox", id, onchange: () => { state[id] = box.checked; derive(); } }); box.checked = state[id]; return make("label", { for: id, class: "check" }, box, title); };
    controls.replaceChildren(pick("x", "x ", []), check("xlog", "log"), pick("y", "y ", []), check("ylog", "log"),
      pick("z", "third axis ", [make("option", { value: "" }, "none")]), pick("colour", "colour ", []));
    sliders.replaceChildren(...Object.keys(data.caps).map(slider));
    const tool = (name, title) => make("button", { type: "button", "aria-pressed": String(state.tool === name), onclick: () => { state.tool = name; build(); draw(); } }, title);
    tools.replaceChildren(tool("brush", "Brush"), tool("zoom", "Zoom"), make("button", { type: "button", onclick: () => { brushed = null; state.views += 1; draw(); } }, "Reset"), make("button", { type: "button", "aria-pressed": String(state.all), onclick: () => { state.all = !state.all; build(); draw(); } }, "All trials"),
      make("span", { class: "room" }), make("button", { type: "button", id: "compare", disabled: marked.size < 2, onclick: () => hooks.compare([...marked]) }, compareTitle()));
  }

  function compareTitle() { return marked.size < 2 ? "Compare: tick 2 to 4 trials" : `Compare ${[...marked].join(", ")}`; }

  // Sliders move over the values that there are: each position takes as many trials in as another.
  function slider(name) {
    const values = (data.columns[name] || []).filter((value) => value !== null).sort((a, b) => a - b), most = data.caps[name];
    const steps = Math.min(200, values.length), at = (i) => (i >= steps ? most ?? values[values.length - 1] : values[Math.floor((i * values.length) / steps)]);
    const output = make("output", { for: `cap-${name}` });
    const input = make("input", { type: "range", id: `cap-${name}`, min: 0, max: steps, step: 1, oninput: () => { state.caps[name] = Number(input.value) >= steps ? data.caps[name] : at(Number(input.value)); tell(); derive(); } });
    input.value = state.caps[name] === data.caps[name] ? steps : values.findIndex((value) => value >= state.caps[name]) * steps / Math.max(1, values.length);
    const tell = () => { const cap = state.caps[name]; const text = cap === null || cap === undefined ? "no cap" : full({ ...data.quantities[name], exact: false }, cap); output.textContent = text; input.setAttribute("aria-valuetext", text); };
    tell();
    return make("label", { class: "cap", for: `cap-${name}` }, `cap on ${data.quantities[name].label}`, input, output);
  }

  function fits(row) {
    for (const [name, cap] of Object.entries(state.caps)) if (cap !== null && cap !== undefined && data.columns[name][row] > cap) return false;
    return true;
  }

  function derive() {
    const began = performance.now(), inside = [], rest = [], over = [];
    for (let row = 0; row < data.trials.length; row++) (fits(row) ? (data.compared[row] ? inside : rest) : over).push(row);
    const front = geometry.front(columns, inside);
    isFront = new Set(front);
    found = { front, dominated: inside.filter((row) => !isFront.has(row)), rest, over };
    const caps = Object.entries(state.caps).filter(([, cap]) => cap !== null && cap !== undefined).map(([name, cap]) => `${data.quantities[name].label} \u2264 ${full({ ...data.quantities[name], exact: false }, cap)}`);
    const share = geometry.hypervolume(places, front);
    facts.textContent = front.length
      ? `front: ${front.length} of ${inside.length.toLocaleString("en-US")} trials measured at ${data.fidelity}; hypervolume ${share.toFixed(4)} of the box` + (caps.length ? `; ${caps.join(", ")}` : "")
      : data.trials.length ? "the front is empty: no trial under these caps was measured to the end" : "no trial has been started yet";
    draw();
    root.dataset.milliseconds = String(performance.now() - began);
  }

  function axis(name, isLog) {
    const known = data.quantities[name] || { title: name, kind: "plain" };
    return { title: { text: words.escaped(known.title) }, type: isLog ? "log" : "linear", tickformat: known.kind === "count" ? "~s" : "", automargin: true, ...(isLog ? { dtick: "D2", minorloglabels: "complete" } : {}) };
  }

  function points(rows, name, mark, symbol, isColoured) {
    const take = (axisName) => { const known = data.quantities[axisName], column = data.columns[axisName], factor = known.kind === "percent" ? 100 : 1; return rows.map((row) => (column[row] === null ? null : factor * column[row])); };
    const three = state.z !== "" && data.columns[state.z];
    const error = (axisName) => {
      const known = data.margins[axisName];
      if (!known || !isColoured || three) return undefined;
      const array = rows.map((row) => shown(data.quantities[axisName], known[data.trials[row]] || 0));
      return array.some(Boolean) ? { type: "data", array, color: GREY, thickness: 1.2, width: 0 } : undefined;
    };
    const line = (label, axisName, letter) => `${label}: %{${letter}:.5~g}${data.quantities[axisName].unit ? " " + words.escaped(data.quantities[axisName].unit) : ""}`;
    const lines = [[state.x, "x"], [state.y, "y"], ...(three ? [[state.z, "z"]] : [])].map(([axisName, letter]) => line(words.escaped(data.quantities[axisName].label), axisName, letter));
    const colours = isColoured ? { color: take(state.colour), coloraxis: "coloraxis" } : { color: GREY };
    const type = three ? "scatter3d" : gl && data.trials.length > MANY ? "scattergl" : "scatter";
    const trace = { type, mode: "markers", name: `${name}: ${rows.length.toLocaleString("en-US")}`, x: take(state.x), y: take(state.y), customdata: rows.map((row) => data.trials[row]),
      marker: { ...mark, symbol, ...colours, line: { width: 0 }, ...(three ? { size: mark.size / 1.6 } : {}) }, hovertemplate: `<b>trial %{customdata}</b><br>${lines.join("<br>")}<extra>${name}</extra>`, unselected: { marker: { opacity: 0.12 } } };
    if (isColoured) trace.showlegend = false; // its symbol has many colours; `entry` stands in the legend for it
    if (three) trace.z = take(state.z);
    if (error(state.x)) trace.error_x = error(state.x);
    if (error(state.y)) trace.error_y = error(state.y);
    return trace;
  }

  function entry() {
    return { type: "scatter", mode: "markers", x: [null], y: [null], name: `on the front: ${found.front.length.toLocaleString("en-US")}`, marker: { ...MARKS.front }, hoverinfo: "skip" };
  }

  // What is stopped early lies so far off that the front would be a strip: it is let in as far as half as much again.
  function range(name, isLog) {
    if (isLog || state.all || data.quantities[name].kind === "count") return undefined;
    const ends = (rows) => { let low = Infinity, high = -Infinity; for (const row of rows) { const v = data.columns[name][row], m = isFront.has(row) ? data.margins[name]?.[data.trials[row]] || 0 : 0; if (v !== null) { low = Math.min(low, v - m); high = Math.max(high, v + m); } } return [low, high]; };
    const [low, high] = ends([...found.front, ...found.dominated]), [least, most] = ends([...found.front, ...found.dominated, ...found.rest]);
    if (!(high > low)) return undefined;
    const room = 0.6 * (high - low), air = 0.06 * (high - low);
    return [Math.max(least, low - room) - air, Math.min(most, high + room) + air].map((v) => shown(data.quantities[name], v));
  }

  function outside(name, points, symbol, colour, isNamed) {
    const take = (axisName) => points.map((point) => (point.metrics[axisName] === undefined || point.metrics[axisName] === null ? null : shown(data.quantities[axisName], point.metrics[axisName])));
    const trace = { type: state.z && data.columns[state.z] ? "scatter3d" : "scatter", mode: isNamed ? "markers+text" : "markers", name: words.escaped(name), x: take(state.x), y: take(state.y), text: points.map((point) => words.escaped(point.name)), textposition: "top center",
      marker: { symbol, size: 11, color: colour, line: { width: 1.5 } }, hovertemplate: "<b>%{text}</b><br>%{x:.5~g}, %{y:.5~g}<extra></extra>" };
    if (trace.type === "scatter3d") trace.z = take(state.z);
    return trace;
  }

  function staircase() {
    const better = (name) => (data.quantities[name].better === "maximize" ? -1 : 1), sx = better(state.x), sy = better(state.y);
    const pairs = found.front.map((row) => [data.columns[state.x][row], data.columns[state.y][row]]).filter(([x, y]) => x !== null && y !== null).sort((a, b) => sx * (a[0] - b[0]) || sy * (a[1] - b[1]));
    const steps = []; let best = Infinity;
    for (const [x, y] of pairs) if (sy * y < best) { best = sy * y; steps.push([shown(data.quantities[state.x], x), shown(data.quantities[state.y], y)]); }
    return { type: gl && data.trials.length > MANY ? "scattergl" : "scatter", mode: "lines", x: steps.map((s) => s[0]), y: steps.map((s) => s[1]), line: { shape: "hv", width: 1.5, color: GREY }, hoverinfo: "skip", showlegend: false };
  }

  function draw() {
    if (!data || data.empty || !window.Plotly) return;
    const three = state.z !== "" && data.columns[state.z];
    const cap = state.caps[state.x];
    const traces = [points(found.rest, "not measured to the end", MARKS.other, gl && data.trials.length > MANY ? "circle" : "triangle-down", false), points(found.dominated, "dominated", MARKS.dominated, "circle", false),
      ...(three ? [] : [staircase()]), points(found.front, "on the front", MARKS.front, "circle", true), ...(three ? [] : [entry()]),
      ...data.baselines.map((each, i) => outside(`front of ${each.name}`, each.points, ["square-open", "cross-open", "star-open"][i % 3], ["#d9772b", "#3f9c6b", "#b06fc4"][i % 3], false)),
      ...(data.references.length ? [outside("references", data.references, "diamond-open", "#d9772b", true)] : [])];
    const small = figures.narrow.matches, known = data.quantities[state.colour];
    const layout = { template: figures.template(), showlegend: true, hovermode: "closest", dragmode: small ? false : state.tool === "brush" ? "select" : "zoom", uirevision: [state.x, state.y, state.z, state.xlog, state.ylog, state.all, state.views].join(),
      xaxis: { ...axis(state.x, state.xlog), range: range(state.x, state.xlog) }, yaxis: { ...axis(state.y, state.ylog), range: range(state.y, state.ylog) }, margin: { l: 60, r: 16, t: 40, b: small ? 120 : 48 }, hoverlabel: { align: "left" },
      legend: { orientation: "h", x: 0, y: 1, yref: "container", yanchor: "top", xanchor: "left", font: { size: 12 }, itemsizing: "constant" },
      coloraxis: { showscale: found.front.length > 1, colorbar: { title: { text: words.escaped(known.title) + (known.better ? `<br>${known.better === "minimize" ? "lower" : "higher"} is better` : ""), side: small ? "right" : "top" }, thickness: 12, tickformat: known.kind === "count" ? "~s" : "", ...(small ? { orientation: "h", y: -0.3, yanchor: "top", len: 1 } : { len: 0.8 }) } },
      shapes: cap !== null && cap !== undefined && !three ? [{ type: "line", x0: cap, x1: cap, y0: 0, y1: 1, yref: "paper", line: { dash: "dash", width: 1.5 } }] : [],
      scene: { xaxis: { ...axis(state.x, state.xlog), automargin: undefined }, yaxis: { ...axis(state.y, state.ylog), automargin: undefined }, zaxis: { ...axis(state.z, false), automargin: undefined } } };
    delete layout.scene[three ? "" : "xaxis"];
    if (!three) delete layout.scene;
    Plotly.react(plot, traces, layout, { displaylogo: false, responsive: true, displayModeBar: false, scrollZoom: false });
    if (!plot.dataset.ready) listen();
    show();
  }

  function listen() {
    plot.dataset.ready = "yes";
    plot.on("plotly_click", (event) => { const trial = event.points[0]?.customdata; if (trial !== undefined) hooks.choose(trial); });
    plot.on("plotly_selected", (event) => {
      if (!event) return;
      const began = performance.now();
      brushed = event.points?.length ? new Set(event.points.map((point) => point.customdata)) : null;
      show();
      root.dataset.brushed = String(performance.now() - began);
    });
    plot.on("plotly_deselect", () => { brushed = null; show(); });
  }

  function show() {
    const order = [...found.front, ...found.dominated, ...found.rest, ...found.over];
    table.show(data, brushed ? order.filter((row) => brushed.has(data.trials[row])) : order, marked);
  }

  function mark(trial, is) {
    if (is && marked.size >= 4) marked.delete(marked.values().next().value);
    if (is) marked.add(trial); else marked.delete(trial);
    const button = document.getElementById("compare");
    button.disabled = marked.size < 2;
    button.textContent = compareTitle();
    show();
  }

  for (const query of [figures.dark, figures.narrow]) query.addEventListener("change", () => draw());
  return { load, addBaselines(list) { if (data) { data.baselines = list; draw(); } }, state: () => state };
};
