// Inside one model: its code, what each unit does, and the image that a changed code draws.

import { $, csv, figureOf, make, panelAsPng, picture, toast } from "./dom.js";
import { info, labelOf } from "./data.js";
import { colour, difference, figure, grey, ink, plot, reaches, scaleBar, signed } from "./paint.js";
import { ask, latest, refusals } from "./server.js";
import { floats, on, set, state } from "./state.js";

const BARS = 96;  // codes of up to so many numbers are bars, longer ones a map
let ui, facts = null, image = null, code = null, stats = null, cells = [], range = 1, history = [], sliding = false;

export function begin() {
  const place = $("inside"), known = info.models.filter((one) => one.units);
  if (!known.length) { place.append(make("p", { class: "empty" }, "None of these models has a code of its own that it makes at once.")); return; }
  const model = make("select", { onchange: () => set({ model: model.value, unit: -1, code: "" }) }, ...known.map((one) => make("option", { value: one.name }, one.name)));
  const map = make("canvas", { class: "plot", tabindex: "0", role: "application", "aria-label": "The code. Arrow keys choose a unit, Page Up and Page Down change its value." });
  const input = picture("What the model is given"), out = picture("What the decoder draws from the code as it is now");
  const number = make("input", { type: "number", min: "0", step: "1", onchange: () => choose(Number(number.value)) });
  const value = make("input", { type: "range", min: "-100", max: "100", oninput: () => change(Number(value.value)), onchange: () => { sliding = false; } });
  const pictures = Object.fromEntries(["filter", "atom", "without", "effect"].map((name) => [name, picture("")]));
  const titles = { filter: "looks for", atom: "draws", without: "image without it", effect: "what it adds here" };
  const figures = Object.fromEntries(Object.entries(pictures).map(([name, canvas]) => {
    canvas.setAttribute("aria-label", `Of the chosen unit: ${titles[name]}`);
    return [name, figureOf(canvas, titles[name])];
  }));
  ui = { place, model, map, input, out, number, value, pictures, figures, bar: scaleBar(1),
    says: make("p", { class: "says", role: "status" }), reset: make("button", { type: "button", onclick: () => { history.push(state.code); set({ code: "" }); } }, "Undo all changes"),
    valueSays: make("output", {}), about: make("p", { class: "soft" }), thumbs: make("div", { class: "thumbs" }), thumbsTitle: make("h3", {}), busy: make("p", { class: "busy", role: "status" }),
    layers: make("div", { class: "stack" }), inputFigure: figureOf(input, "given"), outFigure: figureOf(out, "drawn from the code") };
  const codePanel = make("section", { class: "panel", "aria-label": "Code" }, make("h2", {}, "The code", ui.bar), map, make("p", { class: "soft small" }, "Click a unit, or drag it up and down to change its value. A unit that no test image switches on has a dot."));
  const unitPanel = make("section", { class: "panel stack", "aria-label": "Unit" }, make("div", { class: "row" }, make("label", {}, make("b", {}, "Unit "), number), make("label", { class: "slider grow" }, "value", value, ui.valueSays)), ui.about,
    make("div", { class: "pictures four" }, ...Object.values(figures)), make("div", {}, ui.thumbsTitle, ui.thumbs));
  const side = make("section", { class: "panel", "aria-label": "In and out" }, make("div", { class: "pictures two" }, ui.inputFigure, ui.outFigure), make("div", { class: "row" }, ui.reset, ui.busy));
  const panels = make("div", { class: "stack" }, make("div", { class: "columns even" }, make("div", { class: "stack" }, codePanel, side), unitPanel), ui.layers);
  place.append(ui.says, make("div", { class: "tools" }, make("label", {}, "Model", model), make("span", { class: "end" },
    make("button", { type: "button", onclick: () => panelAsPng(panels, `isthmus-${state.model}.png`, `${state.model}, unit ${state.unit}`) }, "PNG"),
    make("button", { type: "button", onclick: table }, "CSV"))), panels);
  const ratio = (width) => (cells.bars ? Math.min(0.5 * width, 320) : Math.min(width * cells.ratio, Math.max(260, innerHeight * 0.62)));
  plot(map, ratio, draw);
  pointer(map);
  on("model", () => { facts = null; code = null; history = []; if (state.view === "inside" && image) show(image); });
  on("unit", () => { if (state.view === "inside" && code) { ui.map.redraw(); unit(); } });
  on("code", () => { if (state.view === "inside" && code) { ui.map.redraw(); sliders(); drawNow(); } });
}

const changes = () => new Map(state.code.split(",").filter(Boolean).map((one) => one.split(":").map(Number)).filter(([u, v]) => u < facts.units && Number.isFinite(v)));
function edited() {
  const now = code.slice();
  for (const [u, v] of changes()) now[u] = v;
  return now;
}

export const show = latest(async (x) => {
  image = x;
  if (!ui) return;
  try {
    if (facts?.name !== state.model) await open();
    const found = await ask("code", { model: facts.name, kind: state.kind, level: state.level, draw: state.draw }, x.slice().buffer);
    code = found.code.data;
    grey(ui.input, found.noisy.data, info.shape);
    layers(found);
    if (!stats) scale();
    if (!ui.map.width || ui.map.dataset.model !== facts.name) { ui.map.dataset.model = facts.name; arrange(); }
    // where none was chosen, the one that does most for this image
    if (!(state.unit >= 0 && state.unit < facts.units)) set({ unit: code.reduce((most, value, i) => (Math.abs(value) > Math.abs(code[most]) ? i : most), 0) });
    const on = code.reduce((n, v) => n + (Math.abs(v) > 1e-6), 0);
    ui.says.replaceChildren(make("b", {}, facts.name), ` turns this image into ${facts.units.toLocaleString("en")} numbers; ${on === facts.units ? "all" : on} of them are on.`, make("small", {}, `${facts.label || facts.kind}${facts.switches ? ". Here the decoder has the code alone, without the encoder’s switches" : ""}`));
    ui.map.redraw(); sliders();
    await drawNow();
    unit();
  } catch (error) { fail(error); }
});

const fail = refusals((text) => { ui.busy.textContent = text; });

async function open() {
  facts = info.models.find((one) => one.name === state.model) ?? info.models.find((one) => one.units);
  ui.model.value = facts.name; ui.number.max = facts.units - 1; stats = null; ui.thumbs.replaceChildren(); ui.thumbs.held = null;
  if (!info.data) { ui.about.textContent = "No data set is known here, so it is not known when the unit is on."; return; }
  const name = facts.name;
  ui.busy.textContent = `Looking at every unit on ${info.data.n.toLocaleString("en")} test images …`;
  ask("units", { model: name }).then((found) => {
    if (facts?.name !== name) return;
    stats = { usage: found.usage.data, low: found.low.data, high: found.high.data, spread: found.spread.data, n: Number(found.words.n) };
    ui.busy.textContent = ""; scale();
    if (code) { ui.map.redraw(); sliders(); unit(); }
  }).catch(fail);
}

function scale() {
  range = stats ? Math.max(reaches(stats.low), reaches(stats.high)) : reaches(code);
  range = range || 1;
  ui.bar.says(range);
}

/** Where each unit stands, as shares of the width and height. */
function arrange() {
  const n = facts.units, [c, h, w] = facts.planes ?? [1, 1, n];
  cells = [];
  if (n <= BARS && h * w * (facts.planes ? 1 : 0) <= 1) {
    cells.bars = true;
    for (let i = 0; i < n; i++) cells.push([i / n, 0, 1 / n, 1]);
  } else if (facts.planes && h * w > 1) {
    const columns = Math.ceil(Math.sqrt((c * h) / w)), rows = Math.ceil(c / columns), gap = 0.6;
    const wide = columns * (w + gap) - gap, high = rows * (h + gap) - gap;
    cells.ratio = high / wide; cells.columns = w;
    for (let i = 0; i < n; i++) {
      const plane = Math.floor(i / (h * w)), at = i % (h * w), left = (plane % columns) * (w + gap), top = Math.floor(plane / columns) * (h + gap);
      cells.push([(left + (at % w)) / wide, (top + Math.floor(at / w)) / high, 1 / wide, 1 / high]);
    }
  } else {
    const columns = Math.ceil(Math.sqrt(n)), rows = Math.ceil(n / columns);
    cells.ratio = rows / columns; cells.columns = columns;
    for (let i = 0; i < n; i++) cells.push([(i % columns) / columns, Math.floor(i / columns) / rows, 1 / columns, 1 / rows]);
  }
}

/** The part of the drawing in which a map lies: it keeps its shape and is centred. */
function box(width, height) {
  if (cells.bars) return [0, 0, width, height];
  const scale = Math.min(width, height / cells.ratio);
  return [(width - scale) / 2, (height - scale * cells.ratio) / 2, scale, scale * cells.ratio];
}

const ends = () => {
  const low = stats ? Math.min(0, ...stats.low) : -range, high = stats ? Math.max(0, ...stats.high) : range;
  const most = Math.max(high, ...edited()), least = Math.min(low, ...edited()), room = 0.05 * (most - least || 1);
  return [least - room, most + room];
};

function draw(context, width, height) {
  if (!code || !cells.length) return;
  const now = edited(), moved = changes(), [left, top, w, h] = box(width, height);
  if (cells.bars) bars(context, now, moved, w, h);
  else cells.forEach(([x, y, a, b], i) => {
    const gap = a * w > 6 ? 1 : 0;
    context.fillStyle = colour(now[i], range);
    context.fillRect(left + x * w, top + y * h, a * w - gap + (gap ? 0 : .5), b * h - gap + (gap ? 0 : .5));
    if (stats && stats.usage[i] === 0 && a * w > 4) { context.fillStyle = "#8a949e"; context.fillRect(left + (x + a / 2) * w - 1, top + (y + b / 2) * h - 1, 2, 2); }
    if (moved.has(i)) { context.strokeStyle = ink("warn"); context.lineWidth = 2; context.strokeRect(left + x * w + 1, top + y * h + 1, a * w - 2, b * h - 2); }
  });
  const [x, y, a, b] = cells[state.unit] ?? cells[0];
  context.strokeStyle = ink("ink"); context.lineWidth = 2;
  context.strokeRect(left + x * w, top + y * h, a * w, b * h);
  if (!cells.bars) { context.strokeStyle = ink("card"); context.lineWidth = 1; context.strokeRect(left + x * w - 1.5, top + y * h - 1.5, a * w + 3, b * h + 3); }
}

function bars(context, now, moved, width, height) {
  const [low, high] = ends(), at = (value) => height * (1 - (value - low) / (high - low)), step = width / now.length, gap = Math.min(4, step * 0.2);
  if (stats) {
    context.fillStyle = ink("line");
    now.forEach((_, i) => context.fillRect(i * step + gap / 2, at(stats.high[i]), step - gap, Math.max(1, at(stats.low[i]) - at(stats.high[i]))));
  }
  now.forEach((value, i) => {
    context.fillStyle = moved.has(i) ? ink("warn") : ink("accent");
    const from = at(Math.max(0, value)), to = at(Math.min(0, value));
    context.fillRect(i * step + gap, from, Math.max(1, step - 2 * gap), Math.max(2, to - from));
    if (stats && stats.usage[i] === 0) { context.beginPath(); context.fillStyle = ink("soft"); context.arc((i + .5) * step, at(0) - 5, 2, 0, 7); context.fill(); }
  });
  context.fillStyle = ink("edge"); context.fillRect(0, at(0) - .5, width, 1);
  context.fillStyle = ink("soft"); context.font = `${0.75 * parseFloat(getComputedStyle(document.documentElement).fontSize)}px system-ui, sans-serif`;
  context.textBaseline = "top"; context.fillText(figure(high), 4, 4);
  context.textBaseline = "bottom"; if (low < -1e-9) context.fillText(figure(low), 4, height - 4);
}

function pointer(map) {
  let held = null;
  const hit = (event) => {
    const place = map.getBoundingClientRect(), [left, top, w, h] = box(place.width, place.height);
    const x = (event.clientX - place.x - left) / w, y = (event.clientY - place.y - top) / h;
    return cells.findIndex(([a, b, c, d]) => x >= a && x < a + c && y >= b && y < b + d);
  };
  map.addEventListener("pointerdown", (event) => {
    const unit = hit(event);
    if (unit < 0 || !code) return;
    map.setPointerCapture(event.pointerId);
    held = { unit, y: event.clientY, from: edited()[unit], before: state.code, moved: false };
    choose(unit);
  });
  map.addEventListener("pointermove", (event) => {
    if (!held) return;
    const by = held.y - event.clientY;
    if (!held.moved && Math.abs(by) < 5) return;
    if (!held.moved) { held.moved = true; history.push(held.before); }
    const [low, high] = ends();
    put(held.unit, held.from + (by / (cells.bars ? map.clientHeight : 160)) * (high - low));
  });
  for (const end of ["pointerup", "pointercancel"]) map.addEventListener(end, () => { held = null; });
  map.addEventListener("keydown", (event) => {
    const across = cells.bars ? 1 : cells.columns, step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    const push = { PageUp: 1, PageDown: -1 }[event.key];
    if (step) choose(Math.max(0, Math.min(facts.units - 1, state.unit + step)));
    else if (push) { history.push(state.code); put(state.unit, edited()[state.unit] + push * 0.1 * range); }
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(facts.units - 1);
    else return;
    event.preventDefault(); event.stopPropagation();
  });
}

const choose = (unit) => { if (Number.isInteger(unit) && unit >= 0 && unit < facts.units) set({ unit }); else ui.number.value = state.unit; };
const bound = () => 2 * (Math.max(Math.abs(stats?.low[state.unit] ?? range), Math.abs(stats?.high[state.unit] ?? range), Math.abs(code[state.unit])) || range);
function change(share) {
  if (!sliding) { sliding = true; history.push(state.code); }
  put(state.unit, (share / 100) * bound());
}
function put(unit, value) {
  const now = changes();
  now.set(unit, Number(value.toPrecision(4)));
  set({ code: [...now].map(([u, v]) => `${u}:${v}`).join(",") });
}
export function undo() { set({ code: history.pop() ?? "" }); }

function sliders() {
  const value = edited()[state.unit];
  ui.number.value = state.unit;
  ui.value.value = Math.round((100 * value) / bound());
  ui.value.setAttribute("aria-valuetext", figure(value));
  ui.valueSays.textContent = figure(value);
  ui.reset.disabled = !state.code;
}

/** What the code draws now, without the unit, and what the unit adds: four codes in one question. */
const drawNow = latest(async () => {
  const k = facts.units, now = edited(), step = stats?.spread[state.unit] || range / 4, codes = new Float32Array(4 * k);
  for (let i = 0; i < 4; i++) codes.set(now, i * k);
  const u = state.unit;
  codes[k + u] = 0; codes[2 * k + u] = now[u] + step; codes[3 * k + u] = now[u] - step;
  let found;
  try { found = await ask("decode", { model: facts.name, n: 4 }, codes.buffer); } catch (error) { return fail(error); }
  const n = found.x_hat.data.length / 4, [drawn, without, more, less] = [0, 1, 2, 3].map((i) => found.x_hat.data.subarray(i * n, (i + 1) * n));
  grey(ui.out, drawn, info.shape); grey(ui.pictures.without, without, info.shape);
  const mse = (a) => a.reduce((sum, value, i) => sum + (value - image[i]) ** 2, 0) / n;
  ui.outFigure.says(`MSE ${figure(mse(drawn))}`); ui.figures.without.says(`MSE ${figure(mse(without))}`);
  const adds = difference(drawn, without), most = reaches(adds);
  signed(ui.pictures.effect, adds, info.shape, most || 1); ui.figures.effect.says(most ? `±${figure(most)}` : "nothing, it is off");
  if (!ui.atomic) {
    const effect = difference(more, less), reach = reaches(effect);
    signed(ui.pictures.atom, effect, info.shape, reach || 1); ui.figures.atom.says(`more − less of it, ±${figure(reach)}`);
  }
  document.dispatchEvent(new CustomEvent("decoded"));
});

/** What is known of the chosen unit. */
const unit = latest(async () => {
  const name = facts.name, u = state.unit;
  sliders(); drawNow();
  if (stats) {
    const share = stats.usage[u];
    ui.about.textContent = share === 0 ? `A dead unit: it is on for none of the ${stats.n.toLocaleString("en")} test images.`
      : `On for ${share === 1 ? "all" : `${(100 * share).toFixed(share < .1 ? 1 : 0)} % of`} ${stats.n.toLocaleString("en")} test images, from ${figure(stats.low[u])} to ${figure(stats.high[u])}.`;
  }
  if (info.data && !stats) return;  // asked again once every unit was looked at
  let found;
  try { found = await ask("unit", { model: name, unit: u }); } catch (error) { return fail(error); }
  if (name !== facts.name) return;
  ui.figures.filter.hidden = !found.filter;
  if (found.filter) { const most = reaches(found.filter.data); signed(ui.pictures.filter, found.filter.data, info.shape, most || 1); ui.figures.filter.says(`weights, ±${figure(most)}`); }
  ui.atomic = Boolean(found.atom);
  if (found.atom) { const most = reaches(found.atom.data); signed(ui.pictures.atom, found.atom.data, info.shape, most || 1); ui.figures.atom.says(`its atom, ±${figure(most)}`); }
  if (found.top) thumbs(found);
  const dead = stats?.usage[u] === 0;
  ui.thumbs.hidden = ui.thumbsTitle.hidden = dead;
  document.dispatchEvent(new CustomEvent("unit-painted", { detail: u }));
});

function thumbs({ top, top_code: values, pixels: { data } }) {
  const n = data.length / top.data.length;
  ui.thumbsTitle.textContent = "Test images with its largest values";
  if (!ui.thumbs.held) {
    ui.thumbs.held = Array.from(top.data, () => {
      const canvas = make("canvas", { class: "pix", "aria-hidden": "true" }), says = make("small");
      const button = make("button", { type: "button", onclick: () => set({ source: "pick", image: button.position }) }, canvas, says);
      return { canvas, says, button };
    });
    ui.thumbs.replaceChildren(...ui.thumbs.held.map((one) => one.button));
  }
  ui.thumbs.held.forEach(({ canvas, says, button }, i) => {
    const part = data.subarray(i * n, (i + 1) * n);
    grey(canvas, data instanceof Uint8Array ? floats(part) : part, info.shape);
    says.textContent = figure(values.data[i], 2); button.position = top.data[i];
    button.setAttribute("aria-label", `Image ${top.data[i]}, ${labelOf(top.data[i])}: ${figure(values.data[i])}`);
  });
}

/** The maps of each layer of a convolutional encoder, each with a scale of its own. */
function layers(found) {
  const names = Object.keys(found).filter((name) => name.startsWith("layer "));
  const known = ui.layers.held ?? [];
  if (known.length !== names.length || ui.layers.model !== facts.name) {
    ui.layers.model = facts.name;
    ui.layers.held = names.map((name) => {
      const [c] = found[name].shape, canvases = Array.from({ length: c }, (_, i) => picture(`${name}, channel ${i}`)), says = make("span", { class: "soft small" });
      return { canvases, says, element: make("section", { class: "panel" }, make("h2", {}, `${name[0].toUpperCase()}${name.slice(1)}`, says), make("div", { class: "thumbs" }, ...canvases)) };
    });
    ui.layers.replaceChildren(...ui.layers.held.map((one) => one.element));
  }
  names.forEach((name, at) => {
    const { data, shape: [c, h, w] } = found[name], most = reaches(data) || 1, { canvases, says } = ui.layers.held[at];
    says.textContent = `${c} maps of ${h}×${w}, ±${figure(most)}`;
    canvases.forEach((canvas, i) => signed(canvas, data.subarray(i * h * w, (i + 1) * h * w), [1, h, w], most));
  });
}

function table() {
  if (!code) return toast("There is no code yet.");
  const now = edited();
  csv(`isthmus-${facts.name}-code.csv`, [["unit", "value", "changed_to", "usage", "low", "high"], ...Array.from(code, (value, i) => [i, value, now[i] === value ? "" : now[i], stats?.usage[i], stats?.low[i], stats?.high[i]])]);
}
