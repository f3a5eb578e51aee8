// What joins the views to the server: the columns of a study are fetched when they have changed, candidates when asked for.
"use strict";

const live = (() => {
  let view = null, mounted = null, name = null;

  async function get(path) {
    const answer = await fetch(path, { credentials: "same-origin" });
    if (!answer.ok) throw new Error((await answer.text()) || `status ${answer.status}`);
    return answer.json();
  }

  function open(which) {
    const drawer = document.getElementById("drawer");
    drawer.hidden = false;
    for (const id of ["one", "comparison"]) document.getElementById(id).hidden = id !== which;
    document.getElementById("close").focus();
  }

  function close() { document.getElementById("drawer").hidden = true; }

  function choose(trial) {
    dash_clientside.set_props("chosen", { data: { study: name, trial } });
    open("one");
  }

  async function compare(trials) {
    const found = await Promise.all(trials.map((trial) => get(`data/facts?study=${encodeURIComponent(name)}&trial=${trial}`)));
    comparison(document.getElementById("comparison"), found);
    open("comparison");
  }

  async function follow(stamp) {
    const root = document.getElementById("front");
    if (!root) return "";
    const isFront = stamp?.study && !new URLSearchParams(stamp.page).get("view")?.startsWith("search");
    root.hidden = !isFront;
    if (!isFront) return stamp?.version || "";
    if (root !== mounted || name !== stamp.study) { view = frontView(root, { choose, compare }); mounted = root; name = stamp.study; close(); }
    try {
      const data = await get(`data/study?study=${encodeURIComponent(name)}&version=${stamp.version}`);
      figures.start(data.templates);
      view.load(data);
      root.dataset.version = stamp.version;
      get(`data/baselines?study=${encodeURIComponent(name)}`).then((list) => list.length && view.addBaselines(list)).catch(() => {});
    } catch (error) {
      document.getElementById("notice").textContent = `the study could not be read: ${error.message}`;
    }
    return stamp.version;
  }

  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  document.addEventListener("click", (event) => { if (event.target.id === "close") close(); });
  // React would answer clicks on buttons of its own alone; that of measuring comes and goes with its candidate.
  window.dash_clientside = Object.assign({}, window.dash_clientside, { nas: { follow, templates(given) { figures.start(given); return ""; } } });
  return { get };
})();
