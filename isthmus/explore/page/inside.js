// Inside one model: its code, what each unit does, and the image that a changed code draws.

import { coded, modelSelect, noCode } from "./choice.js";
import { changes, edited, forget, held, scale, undoAll } from "./code.js";
import * as codemap from "./codemap.js";
import { info } from "./data.js";
import { $, bring as intoSight, figureOf, make, picture, steady, toast, write } from "./dom.js";
import { csv, panelAsPng } from "./export.js";
import { figure, grey, reaches, scaleBar, signed } from "./paint.js";
import * as hardest from "./hardest.js";
import * as prior from "./prior.js";
import { ask, latest, Lost, refusals } from "./server.js";
import { isAnew, isBlank, on, set, state } from "./state.js";
import * as unit from "./unit.js";

export { undo } from "./code.js";

const HAND = "A unit set by hand is orange, or has an orange corner. In this view it keeps its value for every image until it is undone; the other views do not use it.";
let ui, due = true;

export function begin() {
  const place = $("inside");
  if (!info.models.some((one) => one.units)) { place.append(make("p", { class: "empty" }, "None of these models has an encoder.")); return; }
  const map = codemap.begin(), input = picture("The input of the model"), out = picture("The code, decoded");
  ui = { place, model: modelSelect(), input, out, bar: scaleBar(1), says: make("p", { class: "says", role: "status" }), busy: make("p", { class: "busy", role: "status" }),
    layers: make("div", { class: "stack" }), inputFigure: figureOf(input, "input"), outFigure: figureOf(out, "decoded from the code"), caption: make("p", { class: "soft small" }),
    sentence: make("span"), hand: make("span", { class: "hand" }), undo: make("button", { type: "button", class: "link", onclick: undoAll }, "Undo"), about: make("small") };
  ui.told = [make("b"), ui.sentence, ui.hand, ui.undo, ui.about];
  ui.bar.title = "The colours of the code: from minus to plus the largest value that a unit takes on the test images.";
  const worst = hardest.begin(), [traversals, samples] = prior.begin((text) => { ui.busy.textContent = text; });
  const panels = make("div", { class: "stack" }, make("div", { class: "columns lens" },
    make("section", { class: "panel inout", "aria-label": "Input and output" }, ui.inputFigure, ui.outFigure),
    make("div", { class: "stack left" }, make("section", { class: "panel code", "aria-label": "Code" }, make("h2", {}, "The code", ui.bar), map, ui.caption, ui.busy), traversals, worst),
    unit.begin((text) => { ui.busy.textContent = text; })), samples, ui.layers);
  ui.panels = panels;
  ui.places = { hardest: worst, samples };
  ui.end = make("span", { class: "end" },
    make("button", { type: "button", onclick: () => panelAsPng([panels], `isthmus-${state.model}.png`, `${state.model}, unit ${state.unit}`) }, "PNG"),
    make("button", { type: "button", onclick: table }, "CSV"));
  ui.room = steady(ui.says);
  place.append(ui.says, make("div", { class: "tools" }, make("label", {}, "Model", ui.model), ui.end), panels);
  // a scene may follow another in this view, of the same model and image
  on("scene panel", (changed) => { due = true; if (state.view === "inside" && held.image && !isAnew(changed)) show(held.image); });
  on("model", () => { forget(); if (state.view === "inside" && held.image) show(held.image); });
  on("unit", () => { if (state.view === "inside" && held.code && !choose()) { codemap.redraw(); chosen(); } });
  on("epoch", () => {  // the former pictures stay until others are there
    if (state.view !== "inside" || !held.facts) return forget();
    if (info.data) survey(held.facts);
    prior.open();
  });
  on("code", () => { if (state.view === "inside" && held.code) { codemap.redraw(); unit.sliders(); sentence(); drawNow(); prior.show(); } });
}

export const show = latest(async (x) => {
  held.image = x;
  if (!ui) return;
  ui.model.value = state.model;
  const facts = coded();
  ui.panels.hidden = ui.end.hidden = !facts;
  if (!facts) { forget(); return ui.says.replaceChildren(...noCode()); }
  if (isBlank(x)) { ui.panels.hidden = true; held.code = null; return ui.says.replaceChildren("There is no image yet: draw, pick or upload one to see its code."); }
  try {
    if (held.facts !== facts) open(facts);
    const found = await ask("code", { model: facts.name, kind: state.kind, level: state.level, draw: state.draw }, x.slice().buffer);
    if (held.facts !== facts) return;  // another model was chosen meanwhile
    held.code = found.code.data;
    grey(ui.input, found.noisy.data, info.shape);
    ui.inputFigure.names(info.whole && state.source !== "pick" ? "input: its middle" : "input");
    layers(found);
    if (!held.stats) ui.bar.says(scale());
    codemap.arrange();
    choose();
    write(ui.told[0], facts.name);
    write(ui.about, `${facts.label || facts.kind}${facts.switches ? ". Here the decoder sees the code alone, without the encoder’s switches" : ""}`);
    if (ui.says.firstChild !== ui.told[0]) ui.says.replaceChildren(...ui.told);
    sentence();
    codemap.redraw(); unit.sliders();
    await drawNow();
    unit.show(); prior.show();
    if (due) hardest.show().then(bring); else hardest.follow();  // not waited for: the slider may move meanwhile
    due = false;
  } catch (error) { fail(error); }
});

/** Where no unit was chosen, choose the one that does most for this image; whether that was so. */
function choose() {
  if (state.unit >= 0 && state.unit < held.facts.units) return false;
  set({ unit: held.code.reduce((most, value, i) => (Math.abs(value) > Math.abs(held.code[most]) ? i : most), 0) });
  return true;
}

/** Scroll to the panel of the address. */
function bring() {
  if (ui.places[state.panel]) intoSight(ui.places[state.panel], "center");
}

const fail = refusals((text) => { ui.busy.textContent = text; });

function chosen() { unit.sliders(); drawNow(); unit.show(); prior.show(); }

function open(facts) {
  held.facts = facts; held.code = held.stats = null;
  unit.clear(); prior.open();
  ui.bar.hidden = codemap.inBars(facts);  // bars say by their height what else the colours say
  const behind = codemap.inBars(facts) ? "Grey behind a bar: its range over the test images. " : "";
  write(ui.caption, `Click a unit, or drag it up and down to change its value. ${info.data ? `${behind}A unit that no test image switches on has a dot. ` : ""}${HAND}`);
  if (!info.data) return;
  ui.busy.textContent = `Measuring every unit on ${info.data.n.toLocaleString("en")} test images …`;
  survey(facts);
}

let surveying = null;
/** A promise that the units of the model are measured. */
export const surveyed = () => surveying;

function survey(facts) {
  const { epoch } = state;
  surveying = ask("units", { model: facts.name }).then((found) => {
    if (held.facts !== facts || state.epoch !== epoch) return;
    held.stats = { usage: found.usage.data, low: found.low.data, high: found.high.data, spread: found.spread.data, nats: found.nats?.data, n: Number(found.words.n) };
    ui.busy.textContent = ""; ui.bar.says(scale());
    if (held.code) { codemap.redraw(); chosen(); }
  }).catch((error) => {
    if (error instanceof Lost && held.facts === facts) held.facts = held.code = null;  // to be opened again
    fail(error);
  });
}

/** How many units are on, in the code as it is now, and how many were set by hand: they stay so while images come and go. */
function sentence() {
  const { units } = held.facts, on = edited().reduce((n, v) => n + (Math.abs(v) > 1e-6), 0), n = changes().size;
  write(ui.sentence, ` turns this image into ${units.toLocaleString("en")} numbers; ${on === units ? "all of them are" : on === 1 ? "1 of them is" : `${on} of them are`} on.`);
  // what is not said keeps its place: nothing below is to move when it is
  ui.hand.style.visibility = ui.undo.style.visibility = n ? "" : "hidden";
  write(ui.hand, ` ${n} set by hand. `);
  ui.room();
}

/** What the code draws now, without the unit, and what the unit adds: four codes in one question. */
const drawNow = latest(async () => {
  const { facts, image, stats, range } = held;
  if (!held.code) return;
  const k = facts.units, now = edited(), step = stats?.spread[state.unit] || range / 4, codes = new Float32Array(4 * k), u = state.unit;
  for (let i = 0; i < 4; i++) codes.set(now, i * k);
  // no further than the server takes
  codes[k + u] = 0; codes[2 * k + u] = Math.min(1e6, now[u] + step); codes[3 * k + u] = Math.max(-1e6, now[u] - step);
  let found;
  try { found = await ask("decode", { model: facts.name, n: 4 }, codes.buffer); } catch (error) { return fail(error); }
  if (held.facts !== facts) return;
  const n = found.x_hat.data.length / 4, [drawn, without, more, less] = [0, 1, 2, 3].map((i) => found.x_hat.data.subarray(i * n, (i + 1) * n));
  const mse = (a) => a.reduce((sum, value, i) => sum + (value - image[i]) ** 2, 0) / n;
  grey(ui.out, drawn, info.shape); ui.outFigure.says(`MSE ${figure(mse(drawn))}`);
  unit.effects({ drawn, without, more, less }, mse);
  document.dispatchEvent(new CustomEvent("decoded"));
});

/** The maps of each layer of a convolutional encoder, each with a scale of its own. */
function layers(found) {
  const names = Object.keys(found).filter((name) => name.startsWith("layer "));
  const known = ui.layers.held ?? [];
  if (known.length !== names.length || ui.layers.model !== held.facts.name) {
    ui.layers.model = held.facts.name;
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
  const { facts, code, stats } = held;
  if (!code) return toast("There is no code yet.");
  const now = edited();
  const nats = stats?.nats;
  csv(`isthmus-${facts.name}-code.csv`, [["unit", "value", "changed_to", "usage", "low", "high", ...(nats ? ["nats"] : [])],
    ...Array.from(code, (value, i) => [i, value, now[i] === value ? "" : now[i], stats?.usage[i], stats?.low[i], stats?.high[i], ...(nats ? [nats[i]] : [])])]);
}
