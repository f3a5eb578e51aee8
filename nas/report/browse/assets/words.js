// Numbers as readers know them, and elements made without markup: a text stays a text.
"use strict";

const words = (() => {
  const MINUS = "\u2212";

  function short(value) {
    const rounded = Number(value.toPrecision(3));
    for (const [size, suffix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (Math.abs(rounded) >= size) return `${Number((rounded / size).toPrecision(3))}${suffix}`;
    return String(rounded);
  }

  function shown(known, value) { return known.kind === "percent" ? 100 * value : value; }

  function number(known, value) {
    if (value === null || value === undefined) return "\u2013";
    if (known.exact && Number.isInteger(value)) return value.toLocaleString("en-US");
    if (known.kind === "count" || (known.kind === "free" && Math.abs(value) >= 1e5)) return short(value);
    const text = known.kind === "free" ? String(Number(value.toPrecision(5))) : shown(known, value).toFixed(known.digits);
    return text.replace("-", MINUS);
  }

  function full(known, value) {
    const text = number(known, value);
    if (text === "\u2013" || !known.unit) return text;
    return /[kMG]$/.test(text) ? `${text.slice(0, -1)} ${text.slice(-1)}${known.unit}` : `${text} ${known.unit}`;
  }

  // 1.5M, 100k, 80%: a number as people write it; NaN for what is none.
  function parse(text) {
    const found = /^(-?[\d.,_]+)\s*([kKmMgG%]?)$/.exec(text.trim());
    if (!found) return NaN;
    const factor = { k: 1e3, m: 1e6, g: 1e9, "%": 0.01 }[found[2].toLowerCase()] || 1;
    return Number(found[1].replace(/[,_]/g, "")) * factor;
  }

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function save(name, type, text) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    const link = make("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  // Plotly reads a little HTML in its texts.
  function escaped(text) {
    return String(text).replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  }

  return { short, shown, number, full, parse, make, save, escaped };
})();
