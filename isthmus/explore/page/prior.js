// A code with a prior: its units moved along the prior one at a time, those that tell most first, and samples of the prior.

import { edited, held } from "./code.js";
import { choose } from "./codemap.js";
import { info } from "./data.js";
import { make, picture } from "./dom.js";
import { figure, grey } from "./paint.js";
import { ask, latest, refusals } from "./server.js";
import { MOST_DRAWS, on, set, state } from "./state.js";

const ROWS = 8, STEPS = 7, REACH = 3, SAMPLES = 18;
let ui, fail;

/** Both panels; what goes wrong is told to `say`. */
export function begin(say) {
  fail = refusals(say);
  const rows = Array.from({ length: ROWS }, () => {
    const film = Array.from({ length: STEPS }, (_, i) => picture(`The unit at ${at(i)} standard deviations of the prior`));
    const name = make("span"), nats = make("small"), button = make("button", { type: "button", onclick: () => choose(Number(button.dataset.unit)) }, name, " ", nats);
    return { film, name, nats, button, element: make("div", { class: "row" }, button, make("div", { class: "film grow" }, ...film)) };
  });
  const samples = Array.from({ length: SAMPLES }, (_, i) => picture(`Sample ${i + 1} of the prior`));
  ui = { rows, samples, says: make("p", { class: "soft small" }) };
  ui.panels = [
    make("section", { class: "panel traversals", "aria-label": "Traversals" }, make("h2", {}, "Units moved along the prior"), ...rows.map((one) => one.element), ui.says),
    make("section", { class: "panel samples", "aria-label": "Samples" }, make("h2", {}, "Samples of the prior", make("button", { type: "button", onclick: () => set({ sample: (state.sample + 1) % MOST_DRAWS }) }, "New samples")),
      make("div", { class: "thumbs" }, ...samples), make("p", { class: "soft small" }, "Codes sampled from the prior, and decoded: no image went in.")),
  ];
  on("sample", () => { if (state.view === "inside" && held.facts?.prior) sampled(); });
  return ui.panels;
}

const at = (step) => figure(REACH * (2 * step / (STEPS - 1) - 1));

/** Another model, or this one for the first time. */
export function open() {
  for (const panel of ui.panels) panel.hidden = !held.facts.prior;
  if (!held.facts.prior) return;
  ui.rows.forEach((one, i) => { one.element.hidden = i >= held.facts.units; });
  sampled();
}

const sampled = latest(async () => {
  const { name } = held.facts;
  try {
    const { x_hat: { data } } = await ask("sample", { model: name, n: SAMPLES, draw: state.sample }), n = data.length / SAMPLES;
    if (name === held.facts?.name) ui.samples.forEach((canvas, i) => grey(canvas, data.subarray(i * n, (i + 1) * n), info.shape));
  } catch (error) { fail(error); }
});

/** The units in the order in which they are shown: by their nats, where these are known. */
function order() {
  const nats = held.stats?.nats, units = Array.from({ length: held.facts.units }, (_, i) => i);
  return (nats ? units.sort((a, b) => nats[b] - nats[a] || a - b) : units).slice(0, ROWS);
}

/** What the code draws with each of these units at each step. */
export const show = latest(async () => {
  const { facts, stats } = held;
  if (!facts?.prior || !held.code || (info.data && !stats)) return;
  const units = order(), k = facts.units, now = edited(), codes = new Float32Array(units.length * STEPS * k);
  units.forEach((unit, row) => {
    for (let i = 0; i < STEPS; i++) {
      codes.set(now, (row * STEPS + i) * k);
      codes[(row * STEPS + i) * k + unit] = REACH * (2 * i / (STEPS - 1) - 1);
    }
  });
  let found;
  try { found = await ask("decode", { model: facts.name, n: units.length * STEPS }, codes.buffer); } catch (error) { return fail(error); }
  if (held.facts !== facts) return;
  const n = found.x_hat.data.length / (units.length * STEPS);
  units.forEach((unit, row) => {
    const { film, name, nats, button } = ui.rows[row];
    button.dataset.unit = unit; name.textContent = `unit ${unit}`; nats.textContent = stats ? `${figure(stats.nats[unit], 2)} nats` : "";
    button.setAttribute("aria-pressed", unit === state.unit);
    film.forEach((canvas, i) => grey(canvas, found.x_hat.data.subarray((row * STEPS + i) * n, (row * STEPS + i + 1) * n), info.shape));
  });
  const silent = stats ? stats.nats.reduce((sum, value) => sum + (value < 0.01), 0) : 0;
  ui.says.textContent = `Each row moves one unit of this image’s code from −${REACH} to ${REACH} standard deviations of the prior; the others stay. ${stats
    ? `Nats are what a unit tells of the test images, and those that tell most come first.${silent ? ` ${silent} of ${k} ${silent === 1 ? "tells" : "tell"} nothing.` : ""}` : ""}`;
});
