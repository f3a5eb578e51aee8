// What joins the views to the one file that they are in: all is there already, packed.
"use strict";

(async () => {
  const { make, full } = words;
  const packed = Uint8Array.from(atob(document.getElementById("packed").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const study = JSON.parse(await new Response(stream).text());
  const drawer = document.getElementById("drawer"), one = document.getElementById("one"), comparisonRoot = document.getElementById("comparison");
  const data = study.data;

  function open(which) {
    drawer.hidden = false;
    one.hidden = which !== one;
    comparisonRoot.hidden = which !== comparisonRoot;
    document.getElementById("close").focus();
  }

  // Of a candidate that the file has no pictures of, what the table knows.
  function known(trial) {
    const row = data.trials.indexOf(trial);
    return Object.fromEntries(Object.keys(data.columns).map((name) => [data.quantities[name].label, full(data.quantities[name], data.columns[name][row])]));
  }

  function choose(trial) {
    const found = study.candidates[trial];
    if (found) one.innerHTML = found.html; // written by nas, every text in it escaped
    else one.replaceChildren(make("h2", {}, `Trial ${trial}`), make("p", { class: "muted" }, `This file draws the ${Object.keys(study.candidates).length} leading candidates; nas browse draws all.`),
      make("dl", {}, ...Object.entries(known(trial)).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))));
    open(one);
  }

  function compare(trials) {
    comparison(comparisonRoot, trials.map((trial) => study.candidates[trial]?.facts ?? { trial, arch_id: "", sections: { quantities: known(trial) } }));
    open(comparisonRoot);
  }

  function show() {
    const isSearch = location.hash === "#search";
    document.getElementById("front").hidden = isSearch;
    document.getElementById("search-view").hidden = !isSearch;
    for (const link of document.querySelectorAll("nav a")) link.toggleAttribute("aria-current", (link.hash === "#search") === isSearch);
    window.dispatchEvent(new Event("resize"));
  }

  document.getElementById("search-view").innerHTML = study.search;
  figures.start(data.templates);
  frontView(document.getElementById("front"), { choose, compare }).load(data);
  addEventListener("hashchange", show);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") drawer.hidden = true; });
  document.getElementById("close").addEventListener("click", () => { drawer.hidden = true; });
  show();
})();
