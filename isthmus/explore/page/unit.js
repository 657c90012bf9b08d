// One unit of a code: its value, what it looks for and draws, when it is on, and the image without it.

import { bound, edited, held, mark, put } from "./code.js";
import { choose } from "./codemap.js";
import { info } from "./data.js";
import { figureOf, make, picture, rove } from "./dom.js";
import { difference, figure, grey, reaches, signed } from "./paint.js";
import { ask, latest, refusals } from "./server.js";
import { floats, set, state } from "./state.js";
import { named } from "./words.js";

const PICTURES = {
  filter: ["looks for", "Its weights from the image, in colours from minus to plus the number below: a bright image where they are red, and a dark one where they are blue, switch the unit on."],
  atom: ["adds", "Its atom: what the decoder adds to the image per unit of its value. Where the decoder is not a sum of atoms: the image with more of it minus the image with less."],
  without: ["image without it", "The decoded image when this unit is 0."],
  effect: ["what it adds here", "The image with the unit as it is minus the image without it."],
};
let ui, sliding = false, fail, atomic = false;

/** The panel; what goes wrong is told to `say`. */
export function begin(say) {
  fail = refusals(say);
  const number = make("input", { type: "number", min: "0", step: "1", onchange: () => { choose(Number(number.value)); number.value = state.unit; } });
  const value = make("input", { type: "range", min: "-100", max: "100", oninput: () => change(Number(value.value)), onchange: () => { sliding = false; } });
  const pictures = {}, figures = {};
  for (const [name, [title, hint]] of Object.entries(PICTURES)) {
    pictures[name] = picture(`Of the chosen unit: ${title}`);
    figures[name] = figureOf(pictures[name], title, hint);
  }
  ui = { number, value, pictures, figures, valueSays: make("output", {}), about: make("p", { class: "soft" }), thumbs: make("div", { class: "thumbs" }), thumbsTitle: make("h3", {}) };
  rove(ui.thumbs);
  return make("section", { class: "panel stack unit", "aria-label": "Unit" },
    make("div", { class: "row" }, make("label", {}, make("b", {}, "Unit "), number), make("label", { class: "slider grow" }, "value", value, ui.valueSays)), ui.about,
    make("div", { class: "pictures four" }, ...Object.values(figures)), make("div", {}, ui.thumbsTitle, ui.thumbs));
}

function change(share) {
  if (!held.code) return;
  if (!sliding) { sliding = true; mark(); }
  put(state.unit, (share / 100) * bound());
}

/** Another model: its units are not known yet. */
export function clear() {
  ui.number.max = held.facts.units - 1;
  ui.thumbs.replaceChildren(); ui.thumbs.held = null; ui.thumbsTitle.hidden = true;
  ui.about.textContent = info.data ? "" : "The data set is not known, so neither is when the unit is on.";
}

/** The number and the value of the chosen unit. */
export function sliders() {
  const value = edited()[state.unit];
  ui.number.value = state.unit;
  ui.value.value = Math.round((100 * value) / bound());
  ui.value.setAttribute("aria-valuetext", figure(value));
  ui.valueSays.textContent = figure(value);
}

/** Paint what the code draws without the unit, and with `more` and `less` of it. Errors are `mse(pixels)`. */
export function effects({ drawn, without, more, less }, mse) {
  grey(ui.pictures.without, without, info.shape); ui.figures.without.says(`MSE ${figure(mse(without))}`);
  const adds = difference(drawn, without), most = reaches(adds);
  signed(ui.pictures.effect, adds, info.shape, most || 1); ui.figures.effect.says(most ? `±${figure(most)}` : "nothing, it is off");
  if (atomic) return;
  const effect = difference(more, less), reach = reaches(effect);
  signed(ui.pictures.atom, effect, info.shape, reach || 1); ui.figures.atom.says(`more − less of it, ±${figure(reach)}`);
}

/** Show what is known of the chosen unit. */
export const show = latest(async () => {
  if (!held.code) return;
  const { stats } = held, { name } = held.facts, u = state.unit;
  if (stats) {
    const share = stats.usage[u];
    ui.about.textContent = share === 0 ? `A dead unit: it is on for none of the ${stats.n.toLocaleString("en")} test images.`
      : `On for ${share === 1 ? "all" : `${(100 * share).toFixed(share < .1 ? 1 : 0)} % of`} ${stats.n.toLocaleString("en")} test images, from ${figure(stats.low[u])} to ${figure(stats.high[u])}.`;
  }
  if (info.data && !stats) return;  // asked again once every unit was looked at
  let found;
  try { found = await ask("unit", { model: name, unit: u }); } catch (error) { return fail(error); }
  if (name !== held.facts?.name) return;
  ui.figures.filter.hidden = !found.filter;
  if (found.filter) { const most = reaches(found.filter.data); signed(ui.pictures.filter, found.filter.data, info.shape, most || 1); ui.figures.filter.says(`weights, ±${figure(most)}`); }
  atomic = Boolean(found.atom);
  if (found.atom) { const most = reaches(found.atom.data); signed(ui.pictures.atom, found.atom.data, info.shape, most || 1); ui.figures.atom.says(`its atom, ±${figure(most)}`); }
  if (found.top) thumbs(found);
  ui.thumbs.hidden = ui.thumbsTitle.hidden = stats?.usage[u] === 0;
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
    button.setAttribute("aria-label", `Image ${named(top.data[i])}: ${figure(values.data[i])}`);
  });
}
