// The space of codes: a map of the test images, what lies between them, and noise on a code against noise on an image.

import { coded, modelSelect, noCode } from "./choice.js";
import { $, bring, figureOf, make, picture, toast } from "./dom.js";
import { csv, panelAsPng } from "./export.js";
import { info, labelOf, pixels } from "./data.js";
import * as map from "./map.js";
import { figure, grey, plot } from "./paint.js";
import { ask, latest, refusals } from "./server.js";
import * as tiles from "./tiles.js";
import { isAnew, isBlank, isLined, noLine, on, set, state } from "./state.js";
import { named, tests } from "./words.js";

const { held, marks } = map;
let ui, stale = false, image = null, drag = null, walk = null, way = null, due = true;
const WALK = "▶ Walk from A to B", FILM = 9, FRAMES = 33;  // pictures under the map, and on the way from one image to another
const still = matchMedia("(prefers-reduced-motion: reduce)");

export function begin() {
  const place = $("space");
  if (!info.models.some((one) => one.units) || !info.data) {
    place.append(make("p", { class: "empty" }, info.data ? "None of these models has an encoder." : "A map needs test images, but this model’s data set is not known."));
    return;
  }
  const method = make("select", { onchange: () => set({ method: method.value }) }, make("option", { value: "pca" }, "PCA of codes"), make("option", { value: "tsne" }, "t-SNE"));
  const canvas = make("canvas", { class: "plot", tabindex: "0", role: "application", "aria-label": "Map of the test images’ codes. Arrow keys move a pointer, + and − zoom; Enter chooses the nearest image." });
  const under = picture("The decoded image under the pointer"), nearest = picture("The test image that is nearest on this map");
  const from = make("input", { type: "number", min: "0", max: info.data.n - 1, onchange: () => set({ from: bounded(from.value) }) });
  const to = make("input", { type: "number", min: "0", max: info.data.n - 1, onchange: () => set({ to: bounded(to.value) }) });
  const film = (label) => Array.from({ length: FILM }, (_, i) => picture(`${label}, step ${i + 1} of ${FILM}`));
  const behind = make("select", { onchange: () => set({ behind: behind.value }) }, make("option", { value: "decoded" }, "decoded codes"), make("option", { value: "nearest" }, "test images"), make("option", { value: "none" }, "nothing"));
  const zoom = (text, label, factor) => make("button", { type: "button", "aria-label": label, title: label, onclick: () => set({ area: factor ? map.zoomed(factor, marks.cursor ?? marks.here) : "" }) }, text);
  ui = { behind, zooms: [zoom("−", "Zoom out", 1 / 1.6), zoom("+", "Zoom in", 1.6), zoom("All", "Show the whole map", 0)], play: make("button", { type: "button", class: "grow", onclick: () => (way ? arrive() : go()) }, WALK),
    model: modelSelect(), method, canvas, under, nearest, from, to, underFigure: figureOf(under, "under the pointer"), nearestFigure: figureOf(nearest, "nearest on this map"),
    says: make("p", { class: "says", role: "status" }), legend: make("div", { class: "swatches" }), ring: make("span", { class: "ring" }, "this image"), rows: { x_hat: film("Between the codes"), pixels: film("Between the pixels") },
    walk: make("button", { type: "button", class: "grow", onclick: () => (walk ? stop() : start()) }, "Random walk"), clear: make("button", { type: "button", title: "Remove the walk and the line from the map", onclick: clear }, "Clear"),
    noisy: picture("Noise on the image"), fromNoisy: picture("The reconstruction of the noisy image"), fromCode: picture("The decoded noisy code"), noiseSays: make("p", { class: "soft small" }) };
  ui.noiseFigures = [figureOf(ui.noisy, "noise on the image"), figureOf(ui.fromNoisy, "… and its reconstruction"), figureOf(ui.fromCode, "noise on the code")];
  const films = [["codes", "codes that are blended, and decoded", ui.rows.x_hat], ["pixels", "pixels that are blended", ui.rows.pixels]].map(([name, title, row]) => make("div", { class: "row" }, make("abbr", { title, class: "soft small" }, name), make("div", { class: "film" }, ...row)));
  // right under the map: what a drag shows is seen without scrolling
  const strips = make("div", { class: "films", role: "group", "aria-label": "Between two images" }, make("div", { class: "ends small" }, make("label", {}, "from no.", from), make("label", {}, "to no.", to)), make("div", { class: "grow" }, ...films));
  ui.strips = strips;
  const mapPanel = make("section", { class: "panel mapped", "aria-label": "Map" }, canvas, strips, ui.legend, make("p", { class: "soft small" }, "Move over the map to see the codes there decoded. Click an image to choose it. Drag from one to another to see what lies between. Zoom by two fingers, or by Ctrl and the wheel; with Shift a drag moves the map."));
  ui.side = make("section", { class: "panel stack side", "aria-label": "Under the pointer" }, ui.underFigure, ui.nearestFigure, make("div", { class: "row" }, ui.play), make("div", { class: "row" }, ui.walk, ui.clear));
  const noisePanel = ui.noisePanel = make("section", { class: "panel", "aria-label": "Noise on the code" }, make("h2", {}, "Noise on the image, noise on the code"), make("div", { class: "pictures" }, ...ui.noiseFigures), ui.noiseSays);
  const panels = make("div", { class: "stack" }, make("div", { class: "columns" }, mapPanel, ui.side), noisePanel);
  ui.panels = panels;
  ui.end = make("span", { class: "end" },
    make("button", { type: "button", onclick: () => panelAsPng([panels], `isthmus-${state.model}-map.png`, `Codes of ${state.model}, ${method.selectedOptions[0].textContent}`) }, "PNG"),
    make("button", { type: "button", onclick: table }, "CSV"));
  place.append(ui.says, make("div", { class: "tools" }, make("label", {}, "Model", ui.model), make("label", {}, "Map", method), make("label", {}, "Behind", behind), make("span", { class: "row zooms", role: "group", "aria-label": "Zoom" }, ...ui.zooms), ui.end), panels);
  plot(canvas, (width) => Math.min(0.72 * width, Math.max(280, innerHeight * 0.4)), map.draw);
  tiles.begin(() => canvas.redraw());
  new ResizeObserver(() => tiles.follow()).observe(canvas);
  pointer(); gestures();
  on("scene panel", (changed) => { due = true; if (state.view === "space" && image && !isAnew(changed)) show(image); });
  on("area behind", () => { if (state.view === "space") { zooms(); canvas.redraw(); tiles.follow(); } });
  on("epoch", () => { stop(); arrive(); stale = Boolean(held.found); });
  on("model method", () => { set({ area: "" }); });
  on("model method", () => { stop(); arrive(); map.begin(null); stale = false; ui.canvas.redraw(); if (state.view === "space" && image) show(image); });
  on("from to", () => { arrive(); if (state.view === "space") { line(); between(); } });
  on("view", () => { if (state.view !== "space") { stop(); arrive(); } });
}

const bounded = (value) => Math.max(0, Math.min(info.data.n - 1, Math.floor(Number(value)) || 0));

export const show = latest(async (x) => {
  image = x;
  if (!ui) return;
  ui.model.value = state.model; ui.method.value = state.method; zooms();
  ui.panels.hidden = ui.end.hidden = !coded();
  if (!coded()) return ui.says.replaceChildren(...noCode());
  try {
    if ((!held.found || stale) && !await load()) return;
    await locate();
    ui.noisePanel.hidden = isBlank(image);
    if (!ui.noisePanel.hidden) await noise();
    if (!held.found) return;  // another map was chosen meanwhile
    tiles.follow();
    if (due && state.panel === "walk") { bring(ui.strips); go(); }
    due = false;
  } catch (error) { refusals((text) => { ui.says.textContent = text; })(error); }
});

async function load() {
  const { model, method, epoch } = state, slow = setTimeout(() => { ui.says.textContent = method === "tsne" ? "t-SNE puts 1,000 images on a map; that takes a few seconds …" : "Encoding the test images …"; }, 150);
  ui.canvas.setAttribute("aria-busy", "true");
  let found;
  try { found = await ask("map", { model, method }); } finally { clearTimeout(slow); ui.canvas.removeAttribute("aria-busy"); }
  if (model !== state.model || method !== state.method || epoch !== state.epoch) return false;  // another map was chosen meanwhile
  const { tiles: former } = marks;
  map.begin(found);
  if (stale) marks.tiles = former;  // of another epoch, until others are there
  stale = false;
  drag = null;
  zooms();
  const n = found.points.shape[0], share = found.share?.data[0], { units } = coded();
  ui.about = make("small");
  ui.says.replaceChildren(make("b", {}, model), `: ${tests(n)} by their codes of ${units} numbers.`, ui.about);
  ui.what = method === "tsne" ? "t-SNE: neighbours here are neighbours in the code; distances between groups mean little." : units === 2 ? "The map is the code itself." : `The plane shows ${(100 * share).toFixed(0)} % of the variance of the codes. In decoded images, the rest stays at its average.`;
  legend(n); line(); between();
  return true;
}

function legend(n) {
  const { labels } = info.data;
  if (!labels) return ui.legend.replaceChildren(ui.ring);
  const known = [...new Set(labels.slice(0, n))].sort((a, b) => a - b);
  ui.legend.replaceChildren(...known.map((label) => {
    const swatch = make("canvas", { width: 1, height: 1, "aria-hidden": "true" }), context = swatch.getContext("2d");
    context.fillStyle = map.tint(label); context.fillRect(0, 0, 1, 1);
    return make("span", {}, swatch, String(info.data.label_names[label] ?? label));
  }), ui.ring);
}

// --- pointing ---

function pointer() {
  const { canvas } = ui;
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.x, event.clientY - box.y]; };
  canvas.addEventListener("pointerdown", (event) => {
    if (!map.isDrawn()) return;
    if (!event.isPrimary || event.shiftKey) return;
    canvas.setPointerCapture(event.pointerId);
    arrive();
    if (!walk) { marks.cursor = map.back(place(event)); canvas.redraw(); look(marks.cursor); }  // a finger does not hover first
    drag = { from: map.closest(map.back(place(event))), start: place(event), moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!map.isDrawn() || !event.isPrimary) return;
    const point = place(event);
    if (drag) {
      drag.moved ||= Math.hypot(point[0] - drag.start[0], point[1] - drag.start[1]) > 8;
      if (drag.moved) { marks.line = [map.pointOf(drag.from), map.back(point)]; tools(); }
    }
    if (walk) { if (drag) canvas.redraw(); return; }
    marks.cursor = map.back(point); canvas.redraw(); look(marks.cursor);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drag || !event.isPrimary) return;
    const { from, moved } = drag, to = map.closest(map.back(place(event)));
    drag = null;
    if (!moved) return set({ source: "pick", image: from });
    set({ from, to });
    line();
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", (event) => { if (drag || walk || event.pointerType !== "mouse") return; marks.cursor = null; canvas.redraw(); rest(); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const factor = { "+": 1.6, "=": 1.6, "-": 1 / 1.6 }[event.key];
    if (!map.isDrawn() || event.ctrlKey || event.metaKey || (!step && !factor && event.key !== "Enter")) return;
    event.preventDefault(); event.stopPropagation();
    marks.cursor ??= marks.here ?? map.pointOf(0);
    if (factor) return set({ area: map.zoomed(factor, marks.cursor) });
    if (!step) return set({ source: "pick", image: map.closest(marks.cursor) });
    marks.cursor = marks.cursor.map((value, i) => value + (step[i] * map.spans()[i]) / 40);
    if (!map.isInSight(marks.cursor)) set({ area: map.centred(marks.cursor) });
    canvas.redraw(); look(marks.cursor);
  });
}

/** Zoom by the wheel with Ctrl, as a pinch on a touchpad comes too, and by two fingers; move by a drag with Shift. */
function gestures() {
  const { canvas } = ui, fingers = new Map();
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.x, event.clientY - box.y]; };
  const spread = () => { const [a, b] = [...fingers.values()]; return { far: Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1])), middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] }; };
  canvas.addEventListener("wheel", (event) => {
    if (!map.isDrawn() || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    set({ area: map.zoomed(Math.exp(-0.004 * event.deltaY * (event.deltaMode ? 30 : 1)), map.back(place(event))) });
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (!map.isDrawn() || !(event.shiftKey || event.pointerType === "touch")) return;
    fingers.set(event.pointerId, place(event));
    if (event.shiftKey) canvas.setPointerCapture(event.pointerId);
    if (fingers.size > 1) { drag = null; line(); }  // two fingers do not draw a line
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = fingers.size === 2 && spread(), last = fingers.get(event.pointerId), point = place(event);
    fingers.set(event.pointerId, point);
    if (before) {
      const now = spread();
      set({ area: map.moved(now.middle[0] - before.middle[0], now.middle[1] - before.middle[1]) });
      canvas.redraw();
      set({ area: map.zoomed(now.far / before.far, map.back(now.middle)) });
    } else if (event.shiftKey) set({ area: map.moved(point[0] - last[0], point[1] - last[1]) });
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
}

function zooms() {
  ui.behind.value = tiles.kind();
  ui.behind.options[0].disabled = Boolean(held.found) && !held.found.centre;
  ui.zooms[0].disabled = ui.zooms[2].disabled = !state.area;
}

/** The line from one image to the other, if it was asked for and the map has both. */
function line() {
  if (!held.found) return;
  const ends = [state.from, state.to].map(bounded);
  marks.line = isLined() && Math.max(...ends) < held.found.points.shape[0] ? ends.map(map.pointOf) : null;
  tools(); ui.canvas.redraw();
}

/** Nobody points: what the decoder draws at this image, or that one may point. */
function rest() {
  if (!held.found || walk) return;
  if (marks.here) return look(marks.here, "at this image");
  ui.side.classList.add("blank");
  for (const [canvas, one, title] of [[ui.under, ui.underFigure, "under the pointer"], [ui.nearest, ui.nearestFigure, "nearest on this map"]]) {
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    one.names(title); one.says("point at the map");
  }
}

/** What the decoder draws at a point; on a t-SNE map, which has no way back, the model's version of the nearest image. */
const look = latest(async (point, title = "under the pointer") => {
  const { found } = held, model = state.model;
  if (!found) return;
  const i = map.closest(point), [x] = await pixels([i]);
  try {
    const drawn = found.centre ? await ask("decode", { model }, map.lift(point).buffer) : await ask("reconstruct", { models: model }, x.slice().buffer);
    if (found !== held.found || walk) return;
    paint(x, i, drawn, title, found.centre ? `${figure(point[0], 2)}, ${figure(point[1], 2)}` : "its reconstruction");
    document.dispatchEvent(new CustomEvent("looked"));
  } catch (error) { refusals(ui.underFigure.says)(error); }
});

function paint(x, i, drawn, title, text) {
  ui.side.classList.remove("blank");
  grey(ui.under, drawn.x_hat.data, info.shape); ui.underFigure.names(title); ui.underFigure.says(text);
  grey(ui.nearest, x, info.shape); ui.nearestFigure.says(named(i));
}

const NOT_HERE = (n) => ` This image is not on it: t-SNE has a place for the first ${n.toLocaleString("en")} test images only, and none for a new one.`;

async function locate() {
  const { found } = held, n = found.points.shape[0], picked = state.source === "pick" && state.image < n ? map.pointOf(state.image) : null;
  let here = picked, why = "";
  if (isBlank(image)) why = found.centre ? " There is no image yet: draw, pick or upload one to see where it lies." : NOT_HERE(n);
  else if (found.centre) {
    const { code } = await ask("code", { model: state.model, kind: state.kind, level: state.level, draw: state.draw }, image.slice().buffer);
    if (found !== held.found) return;
    here = map.project(code.data); here.code = code.data;
  } else if (!picked) why = NOT_HERE(n);
  else if (state.level !== 0) why = " This image is marked without its noise: t-SNE has no place for a new image.";
  ui.ring.hidden = !here;
  marks.here = here; marks.clean = found.centre && state.level !== 0 ? picked : null;
  ui.about.textContent = ui.what + (marks.clean ? " The small ring is this image without its noise." : why);
  ui.canvas.redraw(); tools();
  if (!marks.cursor) rest();
}

// --- a walk: each step is drawn towards the codes' mean as much as it strays ---

function gauss() { return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()); }

async function start() {
  const { found } = held, { here } = marks;
  if (!found?.centre || !here) return;
  let z = here.code.slice(), step = 0;
  const mine = (walk = {});
  tools();
  let spread;
  try { spread = (await ask("units", { model: state.model })).spread.data; } catch { return stop(); }
  marks.cursor = null; marks.trail = [here];
  while (walk === mine) {
    z = z.map((value, i) => value + 0.04 * (found.mean[i] - value) + 0.28 * spread[i] * gauss());
    // what strays from the map goes back towards the mean, until it is on it
    for (let tries = 0; tries < 60 && !map.holds(map.project(z)); tries++) z = z.map((value, i) => found.mean[i] + 0.9 * (value - found.mean[i]));
    const point = map.project(z), i = map.closest(point);
    try {
      const [drawn, [x]] = [await ask("decode", { model: state.model }, Float32Array.from(z).buffer), await pixels([i])];
      if (walk !== mine) return;
      marks.trail.push(point); if (marks.trail.length > 16) marks.trail.shift();  // more would be a knot
      paint(x, i, drawn, "on the walk", `step ${++step}`);
    } catch { return stop(); }
    ui.canvas.redraw(); tools();
    await new Promise((resolve) => setTimeout(resolve, 110));
  }
}

function stop() { walk = null; tools(); }

/** Take the walk and the line off the map. */
function clear() {
  walk = null; marks.trail = [];
  arrive();
  set(noLine); line(); rest();
}

function tools() {
  if (!ui) return;
  const text = walk ? "Stop" : "Random walk";
  if (ui.walk.textContent !== text) ui.walk.textContent = text;
  ui.walk.classList.toggle("on", Boolean(walk));
  ui.walk.disabled = !walk && !(held.found?.centre && marks.here);
  ui.walk.title = ui.walk.disabled ? "It needs an image, and a map that can be decoded: PCA of codes." : "";
  ui.clear.disabled = !marks.line && !marks.trail.length;
  const playing = way ? "■ Stop" : WALK;
  if (ui.play.textContent !== playing) ui.play.textContent = playing;
}

// --- the way from one image to another ---

/** Go from A to B, a picture after the other; who wants less motion sees fewer, each for longer. */
async function go() {
  if (!held.found) return; // the map is still made
  const mine = (way = {}), ends = [state.from, state.to].map(bounded), frames = still.matches ? FILM : FRAMES, { found } = held;
  stop();
  marks.line = Math.max(...ends) < found.points.shape[0] ? ends.map(map.pointOf) : null;
  if (!marks.line) { way = null; return toast("The map does not have both images."); }
  tools();
  try {
    const pictures = (await blended(ends, frames)).x_hat.data, n = pictures.length / frames;
    for (let i = 0; i < frames && way === mine; i++) {
      const share = i / (frames - 1), canvas = document.createElement("canvas");
      grey(canvas, pictures.subarray(i * n, (i + 1) * n), info.shape);
      marks.way = { share, canvas };
      light(share);
      ui.canvas.redraw();
      await new Promise((resolve) => setTimeout(resolve, still.matches ? 700 : 90));
    }
  } catch (error) { refusals(toast)(error); }
  if (way !== mine) return;
  way = null; light(null); tools();
  document.dispatchEvent(new CustomEvent("arrived"));
}

/** Go no further. */
function arrive() {
  if (!ui) return;
  way = marks.way = null;
  light(null); tools(); ui.canvas.redraw();
}

/** Mark the picture under the map that is nearest to where somebody is. */
function light(share) {
  for (const row of Object.values(ui.rows)) row.forEach((canvas, i) => canvas.classList.toggle("lit", share !== null && i === Math.round(share * (FILM - 1))));
}

// --- between two images; noise on the code ---

/** What lies between two test images: their codes blended and decoded, and their pixels. */
async function blended(ends, steps) {
  const [a, b] = await pixels(ends), pair = new Float32Array(2 * a.length);
  pair.set(a); pair.set(b, a.length);
  return ask("interpolate", { model: state.model, steps }, pair.buffer);
}

const between = latest(async () => {
  const [from, to] = [bounded(state.from), bounded(state.to)];
  ui.from.value = from; ui.to.value = to;
  try {
    const found = await blended([from, to], FILM), n = found.pixels.data.length / FILM;
    for (const [name, row] of Object.entries(ui.rows)) row.forEach((canvas, i) => grey(canvas, found[name].data.subarray(i * n, (i + 1) * n), info.shape));
  } catch (error) { refusals(toast)(error); }
});

async function noise() {
  const level = state.kind === "gaussian" ? state.level : 0.3;
  const found = await ask("code-noise", { model: state.model, level, draw: state.draw }, image.slice().buffer);
  grey(ui.noisy, found.noisy.data, info.shape); grey(ui.fromNoisy, found.from_noisy.data, info.shape); grey(ui.fromCode, found.from_code.data, info.shape);
  ui.noiseFigures[0].says(`σ ${level}`); ui.noiseFigures[1].says(`MSE ${figure(found.mse.data[0])}`); ui.noiseFigures[2].says(`σ ${level} × its spread, MSE ${figure(found.mse.data[1])}`);
  ui.noiseSays.textContent = state.kind === "gaussian" ? "The noise slider sets both. On the code it is in units of each number’s standard deviation over the test images." : "Shown at σ 0.3: choose Gaussian noise to set it by the slider.";
}

function table() {
  if (!held.found) return toast("There is no map yet.");
  const { data, shape: [n] } = held.found.points;
  csv(`isthmus-${state.model}-map.csv`, [["image", "label", "x", "y"], ...Array.from({ length: n }, (_, i) => [i, labelOf(i), data[2 * i], data[2 * i + 1]])]);
}
