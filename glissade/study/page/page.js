"use strict";
const charts = JSON.parse(document.getElementById("charts").textContent);
const root = document.documentElement;
const NARROW = 520;  // pixels of a chart below which names stay in the legend alone
const PRINT = {full: 680, half: 335};
const ready = {};  // key: the plot's own element, once it is drawn
let printing = false;

// Colours have names; the style sheet says what they are on this ground.
function resolve(value, style) {
  if (typeof value === "string") {
    const found = /^@(\w+)(\/\w\w)?$/.exec(value);
    if (!found) return value;
    return style.getPropertyValue("--" + found[1]).trim() + (found[2] || "").slice(1);
  }
  if (Array.isArray(value)) {
    return typeof value[0] === "number" ? value : value.map(x => resolve(x, style));
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, style)]));
}

const state = Object.fromEntries(Object.keys(charts).map(key => {
  const hidden = new Set();
  return [key, {hidden, over: "steps", scale: charts[key].layout.yaxis.type}];
}));

function size(element) {
  if (!printing) return element.clientWidth;
  const many = element.closest(".pair, .small");
  return many ? PRINT.half : PRINT.full;
}

function figure(key, element) {
  const chart = charts[key], now = state[key], style = getComputedStyle(root);
  const width = size(element);
  const height = printing && chart.shrinks ? 0.7 * chart.height : chart.height;
  element.style.height = height + "px";
  const ink = style.getPropertyValue("--ink").trim(), grid = style.getPropertyValue("--grid").trim();
  const edge = style.getPropertyValue("--edge").trim();
  const data = resolve(chart.data, style), layout = resolve(chart.layout, style);
  data.forEach((trace, i) => {
    trace.type = trace.type || "scatter";
    trace.showlegend = false;
    trace.visible = !now.hidden.has(trace.legendgroup);
    if (now.over === "seconds" && chart.seconds) trace.x = chart.seconds[i];
  });
  for (const name of ["xaxis", "yaxis"]) {
    const axis = layout[name];
    Object.assign(axis, {
      gridcolor: grid, linecolor: edge, zeroline: false, automargin: true, fixedrange: true, tickangle: 0,
      tickfont: {size: 13},
    });
    axis.title = {...axis.title, font: {size: 13}, standoff: 8};
  }
  if (chart.log && now.scale !== layout.yaxis.type) {
    layout.yaxis.type = now.scale;
    layout.yaxis.tickformat = now.scale === "log" ? "~g" : "";
  }
  if (now.over === "seconds" && chart.seconds) {
    layout.xaxis = {...layout.xaxis, range: undefined, autorange: true, rangemode: "tozero",
                    title: {text: "seconds of training", font: {size: 13}, standoff: 8}};
  }
  const room = chart.names === "ends" && width >= NARROW / 1.3
    ? Math.max(0, ...data.filter(t => t.meta).map(t => wide("bold 12px", t.meta))) : 0;
  for (const name of ["xaxis", "yaxis"]) {
    if (layout[name].type === "log") ticks(layout[name], data, name[0], width, height);
  }
  return {data, layout: {
    ...layout, width, height, autosize: false, hovermode: "closest",
    dragmode: false, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: layout.plot_bgcolor || "rgba(0,0,0,0)",
    font: {size: 13, color: ink, family: getComputedStyle(document.body).fontFamily},
    hoverlabel: {font: {size: 13}, align: "left"},
    margin: {l: layout.yaxis.showticklabels === false ? 6 : 46, r: 12 + Math.min(room, width / 3), t: 10, b: 42},
    annotations: layout.annotations || [],
  }};
}

// Of a log axis: the densest set of round numbers that has room.
const SETS = [[1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 7], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1]];
function ticks(axis, data, letter, width, height) {
  let values = axis.range ? axis.range.map(x => 10 ** x) : data.flatMap(
    t => t[letter + "axis"] || t.visible === false ? [] : t[letter]).filter(x => x > 0);
  const low = Math.log10(values.reduce((a, b) => Math.min(a, b), Infinity));
  const high = Math.log10(values.reduce((a, b) => Math.max(a, b), 0));
  if (!(high - low > 0.25)) return;
  const each = (letter === "x" ? width - 90 : height - 60) / (high - low) / 1.1;
  const room = letter === "x" ? 44 : 22;
  const gap = set => Math.min(...set.map((x, i) => Math.log10((set[i + 1] || 10) / x)));
  const set = axis.nticks ? [1] : SETS.find(x => gap(x) * each >= room) || [1];
  const stride = set.length > 1 ? 1 : Math.max(1, Math.ceil(room / each));
  axis.tickmode = "array";
  axis.tickvals = [];
  for (let power = Math.floor(low) - 1; power <= Math.ceil(high); power++) {
    if (power % stride === 0) axis.tickvals.push(...set.map(x => x * 10 ** power));
  }
  axis.ticktext = axis.tickvals.map(brief);
}

const raised = n => String(n).replace(/./g, c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
function brief(x) {
  if (x >= 0.00099 && x < 99999) return String(+x.toPrecision(3));
  const power = Math.floor(Math.log10(x * 1.0000001)), lead = +(x / 10 ** power).toPrecision(2);
  return (lead === 1 ? "" : lead + "·") + "10" + raised(power);
}

const canvas = document.createElement("canvas").getContext("2d");
function wide(font, text) {
  canvas.font = font + " " + getComputedStyle(document.body).fontFamily;
  return canvas.measureText(text).width;
}

// Names beside the ends of lines, moved apart as far as they need it.
function ends(plot) {
  const full = plot._fullLayout, y = full.yaxis, gap = 17, found = [];
  if (full.margin.r < 30) return [];
  for (const trace of plot.data) {
    if (!trace.meta || trace.visible === false) continue;
    let last = trace.y.length - 1;
    while (last >= 0 && trace.y[last] === null) last--;
    if (last < 0) continue;
    const at = y.d2p(trace.y[last]);
    found.push({at: Math.min(Math.max(at, 0), y._length), text: trace.meta, colour: trace.line.color,
                from: at});
  }
  found.sort((a, b) => a.at - b.at);
  apart(found, gap, 8, y._length - 8);
  return found.map(x => ({
    xref: "paper", x: 1, yref: "paper", y: 1 - x.at / y._length, text: "<b>" + escaped(x.text) + "</b>",
    showarrow: false, xanchor: "left", yanchor: "middle", xshift: 4, font: {size: 12, color: x.colour},
  }));
}

function apart(found, gap, low, high) {
  for (let turn = 0; turn < 200; turn++) {
    let moved = false;
    for (let i = 1; i < found.length; i++) {
      const lack = gap - (found[i].at - found[i - 1].at);
      if (lack > 0.1) { found[i].at += lack / 2; found[i - 1].at -= lack / 2; moved = true; }
    }
    for (const x of found) x.at = Math.min(Math.max(x.at, low), high);
    if (!moved) return;
  }
}

// Names beside points, at the first of some places where nothing else is.
function points(plot) {
  const full = plot._fullLayout, x = full.xaxis, y = full.yaxis, boxes = [], notes = [];
  const own = plot.data.filter(t => t.meta).map(t => ({
    x: x.d2p(t.x[0]), y: y.d2p(t.y[0]), r: t.marker.size / 2 + 2, text: t.meta,
    colour: t.marker.line.color,
  }));
  for (const p of own) boxes.push([p.x - p.r, p.y - p.r, p.x + p.r, p.y + p.r]);
  const hits = b => boxes.reduce((sum, o) => sum + Math.max(0, Math.min(b[2], o[2]) - Math.max(b[0], o[0]))
                                                 * Math.max(0, Math.min(b[3], o[3]) - Math.max(b[1], o[1])), 0);
  for (const p of own) {
    const w = wide("12.5px", p.text) + 8, h = 17;
    let best = null;
    for (const far of [0, 14, 30, 48, 68]) {
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, -1], [0, 1], [1, -1], [1, 1], [-1, -1], [-1, 1]]) {
        const cx = p.x + dx * (p.r + far + w / 2), cy = p.y + dy * (p.r + far + h / 2);
        const box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2];
        const out = Math.max(0, -box[0]) + Math.max(0, box[2] - x._length) + Math.max(0, -box[1])
                  + Math.max(0, box[3] - y._length);
        const bad = hits(box) + 40 * out + 0.4 * far;
        if (best === null || bad < best.bad - 1e-6) best = {bad, cx, cy, box, far};
      }
    }
    boxes.push(best.box);
    notes.push({
      xref: "paper", yref: "paper", x: best.cx / x._length, y: 1 - best.cy / y._length,
      text: escaped(p.text), showarrow: false, xanchor: "center", yanchor: "middle", font: {size: 12.5, color: p.colour},
    });
    if (best.far >= 14) {
      notes.push({x: p.x / x._length, y: 1 - p.y / y._length, xref: "paper", yref: "paper", text: "",
                  ax: best.cx - p.x, ay: best.cy - p.y + (best.cy > p.y ? -8 : 8), showarrow: true,
                  arrowhead: 0, arrowwidth: 1, arrowcolor: p.colour, standoff: p.r});
    }
  }
  return notes;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function draw(key) {
  const element = document.getElementById(key), own = figure(key, element);
  const make = ready[key] ? Plotly.react : Plotly.newPlot;
  const config = {displayModeBar: false, scrollZoom: false, doubleClick: false};
  return make(element, own.data, own.layout, config).then(() => {
    ready[key] = element;
    const name = {ends, points}[charts[key].names];
    if (name) {
      const notes = [...own.layout.annotations, ...name(element)];
      return Plotly.relayout(element, {annotations: notes});
    }
  });
}

const keys = Object.keys(charts);
const all = () => keys.filter(key => ready[key]).forEach(draw);

function press(button) {
  for (const other of button.parentElement.querySelectorAll("button")) {
    other.setAttribute("aria-pressed", other === button);
  }
}
document.addEventListener("click", async event => {
  const button = event.target.closest("button");
  if (!button) return;
  const inside = button.closest("figure");
  const own = inside ? [...inside.querySelectorAll(".plot")].map(x => x.id) : [];
  if (button.dataset.over) {
    press(button);
    for (const key of own) { state[key].over = button.dataset.over; draw(key); }
  } else if (button.dataset.scale) {
    press(button);
    for (const key of own) if (charts[key].log) { state[key].scale = button.dataset.scale; draw(key); }
  } else if (button.dataset.group) {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    for (const key of own) {
      state[key].hidden[shown ? "delete" : "add"](button.dataset.group);
      draw(key);
    }
  } else if (button.classList.contains("copy")) {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {  // not allowed for a file: the text is chosen instead
      getSelection().selectAllChildren(code);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }
});

document.getElementById("download").addEventListener("click", event => {
  const text = document.getElementById("data").textContent;
  event.currentTarget.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
});

function print(now) {
  if (now === printing) return;
  printing = now;
  if (now) root.dataset.print = "yes"; else delete root.dataset.print;
  all();
}
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));
matchMedia("print").addEventListener("change", event => print(event.matches));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!printing) all(); });
let width = innerWidth;
addEventListener("resize", () => {
  if (printing || innerWidth === width) return;
  width = innerWidth;
  all();
});

(async () => {
  for (const toggle of document.querySelectorAll("[data-scale]")) {
    const first = [...toggle.closest("figure").querySelectorAll(".plot")].find(x => charts[x.id].log);
    toggle.setAttribute("aria-pressed", state[first.id].scale === toggle.dataset.scale);
  }
  for (const key of keys) {
    await draw(key);
    await new Promise(done => setTimeout(done));
  }
  document.body.dataset.ready = "yes";
})();
