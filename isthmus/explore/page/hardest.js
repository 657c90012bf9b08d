// The test images on which a model errs most, each above what the model makes of it.

import { held } from "./code.js";
import { info, labelOf } from "./data.js";
import { make, rove } from "./dom.js";
import { figure, grey } from "./paint.js";
import { ask, latest, refusals } from "./server.js";
import { on, set, state } from "./state.js";
import { named, noiseSays, tests } from "./words.js";

const COUNT = 12;
let ui, timer, painted = "", asking = null;

/** The panel. */
export function begin() {
  const items = Array.from({ length: COUNT }, () => {
    const [x, x_hat] = [make("canvas", { class: "pix", "aria-hidden": "true" }), make("canvas", { class: "pix", "aria-hidden": "true" })], says = make("small");
    const button = make("button", { type: "button", hidden: true, onclick: () => set({ source: "pick", image: Number(button.dataset.image) }) }, x, x_hat, says);
    return { x, x_hat, says, button };
  });
  ui = { items, says: make("p", { class: "soft small", role: "status" }), grid: make("div", { class: "thumbs pairs", role: "group", "aria-label": "Test images, the largest error first" }, ...items.map((one) => one.button)) };
  ui.panel = make("section", { class: "panel hardest", "aria-label": "Hardest images", hidden: true }, make("h2", {}, "Hardest test images"), ui.grid, ui.says);
  rove(ui.grid);
  on("image source", press);
  return ui.panel;
}

function press() {
  for (const { button } of ui.items) button.setAttribute("aria-pressed", state.source === "pick" && Number(button.dataset.image) === state.image);
}

/** The question of what is shown now. */
const question = () => ({ model: held.facts?.name, kind: state.kind, level: state.level, draw: state.draw, n: COUNT });

/** Follow once the slider rests: hundreds of images go through the model. What is asked of another noise is given up. */
export function follow() {
  clearTimeout(timer);
  if (asking?.key !== JSON.stringify([question(), state.epoch])) asking?.giveUp.abort();
  timer = setTimeout(show, 200);
}

/** Ask, unless it is known, and paint. */
export const show = latest(async () => {
  ui.panel.hidden = !info.data;
  if (!info.data || !held.facts) return;
  const { name } = held.facts, words = question(), key = JSON.stringify([words, state.epoch]);
  if (key !== painted) {
    const { giveUp } = asking = { key, giveUp: new AbortController() };
    let found;
    try { found = await ask("hardest", words, undefined, giveUp.signal); } catch (error) { return giveUp.signal.aborted ? undefined : refusals((text) => { ui.says.textContent = `${text}.`; })(error); }
    finally { asking = null; }
    if (held.facts?.name !== name) return;
    painted = key;
    const n = info.shape.reduce((a, b) => a * b);
    ui.items.forEach(({ x, x_hat, says, button }, i) => {
      button.hidden = i >= found.which.data.length;
      if (button.hidden) return;
      const image = found.which.data[i], mse = figure(found.mse.data[i]), label = labelOf(image);
      grey(x, found.noisy.data.subarray(i * n, (i + 1) * n), info.shape); grey(x_hat, found.x_hat.data.subarray(i * n, (i + 1) * n), info.shape);
      says.textContent = `${label && `${label}: `}${figure(found.mse.data[i], 2)}`;
      button.dataset.image = image;
      button.setAttribute("aria-label", `Image ${named(image)}, MSE ${mse}`);
    });
    ui.says.textContent = `Of ${tests(info.data.measured)}, those with the largest MSE by ${name}, ${noiseSays()}: above what it was given, below what it makes of it.`;
    press();
    document.dispatchEvent(new CustomEvent("hardest-painted"));
  }
});
