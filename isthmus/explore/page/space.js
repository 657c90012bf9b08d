// The space of codes: a map of the test images, what lies between them, and noise on a code against noise on an image.

import { $, csv, figureOf, make, panelAsPng, picture, toast } from "./dom.js";
import { info, labelOf, pixels } from "./data.js";
import { figure, grey, ink, PALETTE, plot } from "./paint.js";
import { ask, latest, refusals } from "./server.js";
import { on, set, state } from "./state.js";

let ui, image = null, map = null, fit = null, base = null, cursor = null, drag = null, walk = null, here = null;
const FILM = 9;

export function begin() {
  const place = $("space"), known = info.models.filter((one) => one.units);
  if (!known.length || !info.data) {
    place.append(make("p", { class: "empty" }, info.data ? "None of these models has a code of its own that it makes at once." : "A map needs the data set, and it is not known on which data this model was trained."));
    return;
  }
  const model = make("select", { onchange: () => set({ model: model.value, unit: -1, code: "" }) }, ...known.map((one) => make("option", { value: one.name }, one.name)));
  const method = make("select", { onchange: () => set({ method: method.value }) }, make("option", { value: "pca" }, "PCA of codes"), make("option", { value: "tsne" }, "t-SNE"));
  const canvas = make("canvas", { class: "plot", tabindex: "0", role: "application", "aria-label": "Map of the test images’ codes. Arrow keys move a pointer; Enter takes the nearest image." });
  const under = picture("What the decoder draws under the pointer"), nearest = picture("The nearest test image");
  const from = make("input", { type: "number", min: "0", max: info.data.n - 1, onchange: () => set({ from: bounded(from.value) }) });
  const to = make("input", { type: "number", min: "0", max: info.data.n - 1, onchange: () => set({ to: bounded(to.value) }) });
  const film = (label) => Array.from({ length: FILM }, (_, i) => picture(`${label}, step ${i + 1} of ${FILM}`));
  ui = { model, method, canvas, under, nearest, from, to, underFigure: figureOf(under, "under the pointer"), nearestFigure: figureOf(nearest, "nearest test image"),
    says: make("p", { class: "says", role: "status" }), legend: make("div", { class: "swatches" }), rows: { x_hat: film("Between the codes"), pixels: film("Between the pixels") },
    walk: make("button", { type: "button", "aria-pressed": "false", onclick: () => (walk ? stop() : start()) }, "Random walk"),
    noisy: picture("Noise on the image"), fromNoisy: picture("What the model makes of the noisy image"), fromCode: picture("What the decoder draws from the noisy code"), noiseSays: make("p", { class: "soft small" }) };
  ui.noiseFigures = [figureOf(ui.noisy, "noise on the image"), figureOf(ui.fromNoisy, "… and what comes out"), figureOf(ui.fromCode, "noise on the code")];
  const mapPanel = make("section", { class: "panel", "aria-label": "Map" }, canvas, ui.legend, make("p", { class: "soft small" }, "Point to see what the decoder draws there. Click an image to take it. Drag from one to another to see what lies between."));
  const side = make("section", { class: "panel stack", "aria-label": "Under the pointer" }, ui.underFigure, ui.nearestFigure, ui.walk);
  const filmPanel = make("section", { class: "panel", "aria-label": "Between two images" }, make("h2", {}, "From one image to another"), make("div", { class: "tools" }, make("label", {}, "From image", from), make("label", {}, "to image", to)),
    make("p", { class: "soft small" }, "blended codes, decoded"), make("div", { class: "film" }, ...ui.rows.x_hat), make("p", { class: "soft small" }, "blended pixels"), make("div", { class: "film" }, ...ui.rows.pixels));
  const noisePanel = make("section", { class: "panel", "aria-label": "Noise on the code" }, make("h2", {}, "Noise on the image, noise on the code"), make("div", { class: "pictures" }, ...ui.noiseFigures), ui.noiseSays);
  const panels = make("div", { class: "stack" }, make("div", { class: "columns" }, mapPanel, side), filmPanel, noisePanel);
  place.append(ui.says, make("div", { class: "tools" }, make("label", {}, "Model", model), make("label", {}, "Map", method), make("span", { class: "end" },
    make("button", { type: "button", onclick: () => panelAsPng(panels, `isthmus-${state.model}-map.png`, `Codes of ${state.model}`) }, "PNG"),
    make("button", { type: "button", onclick: table }, "CSV"))), panels);
  plot(canvas, (width) => Math.min(0.72 * width, Math.max(300, innerHeight * 0.66)), draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { base = null; });
  pointer();
  on("model method", () => { map = null; stop(); if (state.view === "space" && image) show(image); });
  on("from to", () => { if (state.view === "space") between(); });
  on("view", () => { if (state.view !== "space") stop(); });
}

const bounded = (value) => Math.max(0, Math.min(info.data.n - 1, Math.floor(Number(value)) || 0));
const dims = () => map.centre?.data.length;

export const show = latest(async (x) => {
  image = x;
  if (!ui) return;
  ui.model.value = state.model; ui.method.value = state.method;
  try {
    if (!map) await load();
    await locate();
    await noise();
  } catch (error) { refusals((text) => { ui.says.textContent = text; })(error); }
});

async function load() {
  const { model, method } = state, slow = setTimeout(() => { ui.says.textContent = method === "tsne" ? "t-SNE puts 1,000 images on a map; that takes some seconds …" : "Encoding the test images …"; }, 150);
  ui.canvas.setAttribute("aria-busy", "true");
  let found;
  try { found = await ask("map", { model, method }); } finally { clearTimeout(slow); ui.canvas.removeAttribute("aria-busy"); }
  map = found; base = null;
  // the codes' mean: of codes of two numbers, which are their own map, the centre is 0
  map.mean = map.centre && (map.centre.data.length > 2 ? map.centre.data : [0, 1].map((axis) => map.points.data.reduce((sum, value, i) => sum + (i % 2 === axis ? value : 0), 0) / map.points.shape[0])); fit = null; cursor = null;
  const n = map.points.shape[0], share = map.share?.data[0], facts = info.models.find((one) => one.name === model);
  ui.says.replaceChildren(make("b", {}, model), `: ${n.toLocaleString("en")} test images by their codes of ${facts.units} numbers.`, make("small", {},
    method === "tsne" ? "t-SNE: what is near was near; distances between groups say little." : facts.units === 2 ? "The map is the code itself." : `The plane shows ${(100 * share).toFixed(0)} % of how the codes vary; the rest is at its mean.`));
  legend(n); ui.canvas.redraw(); between();
}

function legend(n) {
  const { labels } = info.data;
  if (!labels) return;
  const known = [...new Set(labels.slice(0, n))].sort((a, b) => a - b);
  ui.legend.replaceChildren(...known.map((label) => {
    const swatch = make("canvas", { width: 1, height: 1, "aria-hidden": "true" }), context = swatch.getContext("2d");
    context.fillStyle = tint(label); context.fillRect(0, 0, 1, 1);
    return make("span", {}, swatch, String(info.data.label_names[label] ?? label));
  }));
}

const tint = (label) => PALETTE[((label % PALETTE.length) + PALETTE.length) % PALETTE.length];

// --- the drawing ---

function frameOf(width, height) {
  if (fit?.width === width && fit.height === height) return fit;
  const p = map.points.data, n = p.length / 2, edge = 0.04 * Math.min(width, height) + 6;
  const sorted = [0, 1].map((axis) => Float32Array.from({ length: n }, (_, i) => p[2 * i + axis]).sort());
  const ends = sorted.map((one) => [one[0], one[n - 1]]), spans = ends.map(([a, b]) => b - a || 1);
  const scale = state.method === "pca" && dims() !== 2 || state.method === "tsne" ? Array(2).fill(Math.min((width - 2 * edge) / spans[0], (height - 2 * edge) / spans[1])) : [(width - 2 * edge) / spans[0], (height - 2 * edge) / spans[1]];
  const middle = ends.map(([a, b]) => (a + b) / 2);
  fit = { width, height, to: (x, y) => [width / 2 + (x - middle[0]) * scale[0], height / 2 - (y - middle[1]) * scale[1]], back: (x, y) => [middle[0] + (x - width / 2) / scale[0], middle[1] - (y - height / 2) / scale[1]], spans };
  return fit;
}

function draw(context, width, height) {
  if (!map) return;
  const { to } = frameOf(width, height), p = map.points.data, sharp = window.devicePixelRatio || 1;
  if (!base || base.width !== Math.round(width * sharp) || base.height !== Math.round(height * sharp)) {
    base = new OffscreenCanvas(Math.round(width * sharp), Math.round(height * sharp));
    const below = base.getContext("2d"), r = Math.max(2.4, Math.min(4.5, 110 / Math.sqrt(p.length))) * Math.sqrt(width / 800);
    below.scale(sharp, sharp); below.globalAlpha = 0.8;
    for (let i = 0; i < p.length / 2; i++) {
      const [x, y] = to(p[2 * i], p[2 * i + 1]);
      below.fillStyle = info.data.labels ? tint(info.data.labels[i]) : ink("accent");
      below.beginPath(); below.arc(x, y, r, 0, 7); below.fill();
    }
  }
  context.drawImage(base, 0, 0, width, height);
  const ring = ([x, y], radius, style) => { context.beginPath(); context.arc(x, y, radius, 0, 7); context.lineWidth = 5; context.strokeStyle = ink("card"); context.stroke(); context.lineWidth = 2.5; context.strokeStyle = style; context.stroke(); };
  if (drag) {
    const a = at(drag.from), b = drag.to === null ? drag.point : at(drag.to);
    context.beginPath(); context.moveTo(...a); context.lineTo(...b); context.lineWidth = 3; context.strokeStyle = ink("ink"); context.stroke();
    ring(a, 7, ink("ink")); ring(b, 7, ink("ink"));
  }
  if (walk?.trail.length > 1) {
    context.beginPath(); walk.trail.forEach((z, i) => context[i ? "lineTo" : "moveTo"](...to(...project(z)))); context.lineWidth = 2; context.strokeStyle = ink("ink"); context.stroke();
  }
  if (here) {
    ring(to(...here), 8, ink("warn"));
    context.font = "600 13px system-ui, sans-serif"; context.textBaseline = "bottom"; context.lineWidth = 4; context.strokeStyle = ink("card"); context.fillStyle = ink("ink");
    const [x, y] = to(...here); context.strokeText("this image", x + 11, y - 3); context.fillText("this image", x + 11, y - 3);
  }
  if (cursor) ring(to(...cursor), 4, ink("accent"));
}

const at = (i) => fit.to(map.points.data[2 * i], map.points.data[2 * i + 1]);

function closest([x, y]) {
  const p = map.points.data;
  let best = 0, least = Infinity;
  for (let i = 0; i < p.length / 2; i++) {
    const distance = (p[2 * i] - x) ** 2 + (p[2 * i + 1] - y) ** 2;
    if (distance < least) { least = distance; best = i; }
  }
  return best;
}

const lift = ([a, b]) => Float32Array.from(map.centre.data, (value, i) => value + a * map.axes.data[i] + b * map.axes.data[dims() + i]);
const project = (z) => [0, 1].map((axis) => z.reduce((sum, value, i) => sum + (value - map.centre.data[i]) * map.axes.data[axis * dims() + i], 0));

// --- pointing ---

function pointer() {
  const { canvas } = ui;
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.x, event.clientY - box.y]; };
  canvas.addEventListener("pointerdown", (event) => {
    if (!map || !fit) return;
    canvas.setPointerCapture(event.pointerId);
    drag = { from: closest(fit.back(...place(event))), start: place(event), point: place(event), to: null, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!map || !fit) return;
    const point = place(event);
    if (drag && drag.to === null) { drag.point = point; drag.moved ||= Math.hypot(point[0] - drag.start[0], point[1] - drag.start[1]) > 8; }
    if (!walk) { cursor = fit.back(...point); canvas.redraw(); look(cursor); }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drag || drag.to !== null) return;
    const end = closest(fit.back(...place(event)));
    if (!drag.moved) { const image = drag.from; drag = null; return set({ source: "pick", image }); }
    drag.to = end;
    set({ from: drag.from, to: end });
    canvas.redraw();
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!map || !fit || (!step && event.key !== "Enter")) return;
    event.preventDefault(); event.stopPropagation();
    cursor ??= here ?? [map.points.data[0], map.points.data[1]];
    if (!step) return set({ source: "pick", image: closest(cursor) });
    cursor = cursor.map((value, i) => value + (step[i] * fit.spans[i]) / 40);
    canvas.redraw(); look(cursor);
  });
}

/** What the decoder draws at a point; on a t-SNE map, which has no way back, the model's version of the nearest image. */
const look = latest(async (point) => {
  const model = state.model, i = closest(point), [x] = await pixels([i]);
  grey(ui.nearest, x, info.shape); ui.nearestFigure.says(`image ${i}, ${labelOf(i)}`);
  try {
    const found = map.centre ? await ask("decode", { model }, lift(point).buffer) : await ask("reconstruct", { models: model }, x.slice().buffer);
    grey(ui.under, found.x_hat.data, info.shape);
    ui.underFigure.says(map.centre ? `${figure(point[0], 2)}, ${figure(point[1], 2)}` : "its reconstruction");
    document.dispatchEvent(new CustomEvent("looked"));
  } catch (error) { refusals(ui.underFigure.says)(error); }
});

async function locate() {
  here = null;
  if (map.centre) {
    const { code } = await ask("code", { model: state.model, kind: state.kind, level: state.level, draw: state.draw }, image.slice().buffer);
    here = project(code.data); here.code = code.data;
  } else if (state.source === "pick" && state.image < map.points.data.length / 2) here = [map.points.data[2 * state.image], map.points.data[2 * state.image + 1]];
  ui.canvas.redraw();
  if (!cursor && here) look(here);
}

// --- a walk: each step is drawn towards the codes' mean as much as it strays ---

function gauss() { return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()); }

async function start() {
  if (!map?.centre || !here) return toast("A walk needs a map with a way back: choose PCA of codes.");
  const mine = { z: here.code.slice(), trail: [] };
  let spread;
  try { spread = (await ask("units", { model: state.model })).spread.data; } catch { return; }
  walk = mine;
  ui.walk.setAttribute("aria-pressed", "true"); cursor = null;
  while (walk === mine) {
    mine.z = mine.z.map((value, i) => value + 0.04 * (map.mean[i] - value) + 0.28 * spread[i] * gauss());
    mine.trail.push(mine.z); if (mine.trail.length > 60) mine.trail.shift();
    try {
      const found = await ask("decode", { model: state.model }, Float32Array.from(mine.z).buffer);
      if (walk !== mine) return;
      grey(ui.under, found.x_hat.data, info.shape); ui.underFigure.says(`step ${mine.trail.n = (mine.trail.n ?? 0) + 1}`);
      const i = closest(project(mine.z)), [x] = await pixels([i]);
      grey(ui.nearest, x, info.shape); ui.nearestFigure.says(`image ${i}, ${labelOf(i)}`);
    } catch { return stop(); }
    ui.canvas.redraw();
    await new Promise((resolve) => setTimeout(resolve, 110));
  }
}

function stop() { walk = null; ui?.walk.setAttribute("aria-pressed", "false"); }

// --- between two images; noise on the code ---

const between = latest(async () => {
  const [from, to] = [bounded(state.from), bounded(state.to)];
  ui.from.value = from; ui.to.value = to;
  try {
    const [a, b] = await pixels([from, to]), pair = new Float32Array(2 * a.length);
    pair.set(a); pair.set(b, a.length);
    const found = await ask("interpolate", { model: state.model, steps: FILM }, pair.buffer);
    for (const [name, row] of Object.entries(ui.rows)) row.forEach((canvas, i) => grey(canvas, found[name].data.subarray(i * a.length, (i + 1) * a.length), info.shape));
  } catch (error) { refusals(toast)(error); }
});

async function noise() {
  const level = state.kind === "gaussian" ? state.level : 0.3;
  const found = await ask("code-noise", { model: state.model, level, draw: state.draw }, image.slice().buffer);
  grey(ui.noisy, found.noisy.data, info.shape); grey(ui.fromNoisy, found.from_noisy.data, info.shape); grey(ui.fromCode, found.from_code.data, info.shape);
  ui.noiseFigures[0].says(`σ ${level}`); ui.noiseFigures[1].says(`MSE ${figure(found.mse.data[0])}`); ui.noiseFigures[2].says(`σ ${level} × its spread, MSE ${figure(found.mse.data[1])}`);
  ui.noiseSays.textContent = state.kind === "gaussian" ? "The noise slider sets both. On the code it is in units of how far each number varies over the test images." : "Shown at σ 0.3: choose Gaussian noise to set it by the slider.";
}

function table() {
  if (!map) return toast("There is no map yet.");
  const p = map.points.data;
  csv(`isthmus-${state.model}-map.csv`, [["image", "label", "x", "y"], ...Array.from({ length: p.length / 2 }, (_, i) => [i, labelOf(i), p[2 * i], p[2 * i + 1]])]);
}
