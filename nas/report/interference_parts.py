"""What the page of one network has beside the style of the front page, as constants: nothing of a network is put in."""

from __future__ import annotations

STYLE = """
:root { --below: #2166ac; --above: #b35806; }
@media (prefers-color-scheme: dark) { :root { --below: #7fc0fa; --above: #ffb15c; } }
.below { color: var(--below); }
.above { color: var(--above); }
label { font: inherit; }
select { font: inherit; color: var(--ink); background: var(--ground); border: 1px solid var(--line);
  border-radius: 4px; padding: 3px 8px; max-width: 100%; }
.pair { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: 16px; }
figure { margin: 8px 0 0; }
#gram, #realised { height: 440px; }
@media (min-width: 641px) { td.name { white-space: nowrap; } }
@media (max-width: 640px) {
  .pair { display: block; }
  #gram { height: 340px; }
  #realised { height: 260px; }
  .many { grid-template-columns: 32px 32px repeat(5, minmax(0, 1fr)) 38px 26px; }
  .many td.name { grid-column: 1 / -1; padding-bottom: 0; overflow-wrap: anywhere; }
  .many th.name { display: none; }
  .many .number { padding-right: 3px; font-size: 10.5px; }
}
"""

SCRIPT = """
"use strict";
const parts = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");
const chosen = document.getElementById("projection");

function forPhone(layout, id) {
  if (id !== "heat") return { ...layout, dragmode: false };
  const small = { tickfont: { size: 10 } };
  return {
    ...layout,
    dragmode: false,
    xaxis: { ...layout.xaxis, ...small, tickangle: -90, automargin: true },
    yaxis: { ...layout.yaxis, ...small },
    coloraxis: { ...layout.coloraxis, showscale: false },
    margin: { l: 4, r: 4, t: 90, b: 8 },
  };
}

function draw(id, figure) {
  const layout = { ...figure.layout, template: parts.templates[dark.matches ? "dark" : "light"] };
  Plotly.react(id, figure.data, narrow.matches ? forPhone(layout, id) : layout, {
    displaylogo: false,
    responsive: true,
    modeBarButtons: [["toImage"]],
    displayModeBar: narrow.matches ? false : "hover",
    toImageButtonOptions: { filename: id, scale: 2 },
  });
}

function cosines(each) {
  const bytes = Int8Array.from(atob(each.cosines), (c) => c.charCodeAt(0));
  return Array.from({ length: each.side }, (_, i) =>
    Array.from(bytes.subarray(i * each.side, (i + 1) * each.side), (hundredths) => hundredths / 100));
}

function drawProjection() {
  const each = parts.projections[chosen.selectedIndex];
  document.getElementById("about").textContent = each.about;
  draw("gram", { ...each.gram, data: [{ ...each.gram.data[0], z: cosines(each) }] });
  draw("realised", each.realised);
}

function drawAll() {
  if (parts.heat) draw("heat", parts.heat);
  if (chosen) drawProjection();
}

chosen?.addEventListener("change", drawProjection);
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
drawAll();
"""
