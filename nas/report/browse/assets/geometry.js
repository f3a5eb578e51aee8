// Fronts and hypervolumes of columns of losses: smaller is better in each. No state, no page.
"use strict";

const geometry = (() => {
  const COSTS = new Set(["params", "macs", "peak_activation_bytes", "train_seconds"]);

  // One array of losses for each objective; what was not measured is worst.
  function losses(data) {
    return data.objectives.map(({ name, direction }) => {
      const sign = direction === "maximize" ? -1 : 1;
      return Float64Array.from(data.columns[name] || [], (value) => (value === null ? Infinity : sign * value));
    });
  }

  // The rows that no other of the rows dominates; equal ones all stay.
  function front(columns, rows) {
    const d = columns.length;
    const order = rows.slice().sort((a, b) => {
      for (let k = 0; k < d; k++) if (columns[k][a] !== columns[k][b]) return columns[k][a] - columns[k][b];
      return a - b;
    });
    const kept = []; // nobody behind in this order dominates what is before
    for (const row of order) {
      let beaten = false;
      for (let i = 0; i < kept.length; i++) {
        const other = kept[i];
        let worse = false, better = false;
        for (let k = 0; k < d; k++) {
          if (columns[k][other] > columns[k][row]) { worse = true; break; }
          if (columns[k][other] < columns[k][row]) better = true;
        }
        if (!worse && better) {
          beaten = true;
          if (i) { kept[i] = kept[i >> 1]; kept[i >> 1] = other; } // who beats often is asked early
          break;
        }
      }
      if (!beaten) kept.push(row);
    }
    return kept.sort((a, b) => a - b);
  }

  // From the best of each objective to a tenth beyond the worst, costs as logarithms: as `nas.effort.Box`.
  function box(data, columns, rows) {
    const scaled = columns.map((column, k) => {
      const { name, direction } = data.objectives[k];
      const isCost = COSTS.has(name) && direction === "minimize";
      return Float64Array.from(column, (value) => (isCost ? Math.log(Math.max(value, 1e-9)) : value));
    });
    const finite = rows.filter((row) => scaled.every((column) => Number.isFinite(column[row])));
    return scaled.map((column) => {
      let low = Infinity, high = -Infinity;
      for (const row of finite) { low = Math.min(low, column[row]); high = Math.max(high, column[row]); }
      const span = high > low ? high - low : 1;
      return Float64Array.from(column, (value) => (value - low) / span);
    });
  }

  // The share of the box that some rows dominate.
  function hypervolume(places, rows) {
    const reference = 1.1;
    const points = rows.map((row) => places.map((column) => column[row])).filter((p) => p.every((x) => x < reference));
    return volume(points, places.length, reference) / reference ** places.length;
  }

  // While et al. 2012: each point adds its box less what the points before it cover of that, by recursion.
  function volume(points, d, reference) {
    if (!points.length) return 0;
    if (d === 1) return reference - Math.min(...points.map((p) => p[0]));
    if (d === 2) {
      let sum = 0, edge = reference;
      for (const [x, y] of points.slice().sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
        if (y < edge) { sum += (reference - x) * (edge - y); edge = y; }
      }
      return sum;
    }
    const order = points.slice().sort((a, b) => a[d - 1] - b[d - 1]);
    let sum = 0, slice = 0, seen = [];
    for (let i = 0; i < order.length; i++) { // slices from the best of the last objective on
      const point = order[i], next = i + 1 < order.length ? order[i + 1][d - 1] : reference;
      slice += exclusive(point, seen, d - 1, reference);
      sum += slice * (next - point[d - 1]);
      seen = seen.filter((other) => !covers(point, other, d - 1));
      if (!seen.some((other) => covers(other, point, d - 1))) seen.push(point);
    }
    return sum;
  }

  function exclusive(point, others, d, reference) {
    let own = 1;
    for (let k = 0; k < d; k++) own *= reference - point[k];
    const limited = [];
    for (const other of others) {
      const q = [];
      for (let k = 0; k < d; k++) q.push(Math.max(other[k], point[k]));
      if (limited.some((known) => covers(known, q, d))) continue;
      for (let i = limited.length - 1; i >= 0; i--) if (covers(q, limited[i], d)) limited.splice(i, 1);
      limited.push(q);
    }
    return own - volume(limited, d, reference);
  }

  function covers(a, b, d) {
    for (let k = 0; k < d; k++) if (a[k] > b[k]) return false;
    return true;
  }

  return { losses, front, box, hypervolume };
})();
