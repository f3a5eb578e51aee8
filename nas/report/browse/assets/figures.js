// Draws every element of class "figure" from the JSON in its data-figure, in the colours of the screen.
"use strict";

const figures = (() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const config = { displaylogo: false, responsive: true, displayModeBar: false };
  let templates = null;

  function template() { return templates ? templates[dark.matches ? "dark" : "light"] : {}; }

  function draw(element) {
    const { data, layout } = JSON.parse(element.dataset.figure);
    const small = narrow.matches ? { dragmode: false, font: { size: 11 } } : {};
    const traces = data.map((trace) => (narrow.matches && trace.type === "heatmap" ? { ...trace, showscale: false, textfont: { ...trace.textfont, size: 9 } } : trace));
    Plotly.react(element, traces, { ...layout, template: template(), ...small }, config);
  }

  function drawAll(root) {
    if (!templates || !window.Plotly) return;
    if (root.matches?.(".figure[data-figure]")) draw(root);
    root.querySelectorAll?.(".figure[data-figure]").forEach(draw);
  }

  function start(given) {
    const first = !templates;
    templates = given;
    if (!first) return;
    drawAll(document);
    new MutationObserver((changes) => {
      for (const change of changes) {
        if (change.type === "attributes") draw(change.target);
        change.addedNodes.forEach((node) => node.nodeType === 1 && !node.closest(".js-plotly-plot .svg-container") && drawAll(node));
      }
    }).observe(document.body, { childList: true, subtree: true, attributeFilter: ["data-figure"] });
    for (const query of [dark, narrow]) query.addEventListener("change", () => drawAll(document));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (!button) return;
    const done = () => { button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 1500); };
    const text = button.dataset.copy;
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => select(button));
    else select(button);
  });

  function select(button) { // without leave to write the clipboard, the command is marked to be copied by hand
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }

  return { start, template, dark, narrow };
})();
