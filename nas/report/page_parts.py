"""The style sheet and the script of the front page, as constants: nothing of a study is ever put into them."""

from __future__ import annotations

from nas.report.theme import DARK, FONT, LIGHT

STYLE = f"""
:root {{ color-scheme: light dark; {LIGHT.css()} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK.css()} }} }}
""" + """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 20px 24px 40px; max-width: 1320px; background: var(--ground); color: var(--ink);
  font: 14px/1.45 FONT; }
h1 { margin: 0 0 8px; font-size: 22px; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 24px 0 8px; font-size: 16px; }
dl { display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 0; }
dl div { display: flex; gap: 6px; min-width: 0; }
dt { color: var(--muted); flex: none; }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.note { margin: 10px 0 0; padding-left: 10px; border-left: 3px solid var(--line); overflow-wrap: anywhere; }
#plot { height: clamp(380px, 66vh, 640px); margin-top: 12px; }
.more { margin-top: 8px; }
.caption { margin: 4px 0 0; color: var(--muted); }
a { color: inherit; }
button { font: inherit; color: var(--ink); background: none; border: 1px solid var(--line); border-radius: 4px;
  padding: 1px 10px; cursor: pointer; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 6px 14px 6px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--grid); }
th { color: var(--muted); font-weight: 500; border-bottom-color: var(--line); vertical-align: bottom; }
table.narrow { width: auto; }
.small-screen { display: none; }
small { color: var(--muted); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: 13px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.words { width: 99%; padding-right: 0; }
.words span { display: inline-block; margin-right: 4px; }
.words span:not(:last-of-type)::after { content: " \\2192"; color: var(--muted); }
@media (max-width: 640px) {
  body { padding: 14px 14px 32px; }
  dl { display: block; }
  #plot { height: 540px; margin-inline: -6px; }
  table, thead, tbody, tr { display: grid; grid-template-columns: subgrid; grid-column: 1 / -1; }
  table { grid-template-columns: repeat(var(--columns), auto); }
  th, td { padding: 8px 6px 2px 0; border: 0; font-size: 12px; }
  tr { border-bottom: 1px solid var(--grid); }
  th.number { white-space: normal; font-size: 11px; }
  code { font-size: 11px; }
  th.words, .sure { display: none; }
  .small-screen { display: block; }
  small { display: block; }
  td.words { grid-column: 1 / -1; width: auto; padding: 0 0 8px; color: var(--muted); }
}
""".replace("FONT", FONT)

SCRIPT = """
"use strict";
const parts = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");
const config = {
  displaylogo: false,
  responsive: true,
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  toImageButtonOptions: { filename: "front", scale: 2 },
};

const button = document.getElementById("range");
let showsAll = false;

function layout() {
  const wide = { ...parts.layout, template: parts.templates[dark.matches ? "dark" : "light"] };
  if (showsAll) wide.yaxis = { ...wide.yaxis, range: parts.full_range };
  wide.yaxis = { ...wide.yaxis, uirevision: showsAll };
  if (!narrow.matches) return wide;
  const title = { ...wide.coloraxis.colorbar.title, text: wide.coloraxis.colorbar.title.text.replace("<br>", ", ") };
  const bar = { ...wide.coloraxis.colorbar, title, orientation: "h", len: 1, thickness: 10,
    x: 0.5, xanchor: "center", y: -0.24, yanchor: "top" };
  return {
    ...wide,
    coloraxis: { ...wide.coloraxis, colorbar: bar },
    legend: { ...wide.legend, font: { size: 12 } },
    margin: { l: 52, r: 12, t: 10, b: 110 },
    dragmode: false,
  };
}

function draw() {
  Plotly.react("plot", parts.data, layout(), { ...config, displayModeBar: narrow.matches ? false : "hover" });
}

button?.addEventListener("click", () => {
  showsAll = !showsAll;
  button.textContent = showsAll ? "Show the front" : "Show all";
  draw();
});
function drawMore() {
  for (const [id, figure] of Object.entries(parts.more)) {
    const layout = { ...figure.layout, template: parts.templates[dark.matches ? "dark" : "light"] };
    const small = narrow.matches ? { dragmode: false, font: { size: 11 } } : {};
    Plotly.react(id, figure.data, { ...layout, ...small }, { ...config, displayModeBar: false });
  }
}

for (const how of [draw, drawMore]) {
  how();
  dark.addEventListener("change", how);
  narrow.addEventListener("change", how);
}
"""
