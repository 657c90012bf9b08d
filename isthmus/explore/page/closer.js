// One model's reconstruction, large: a wipe between what went in and what came out, and the error as a heat map over it.

import { chosen } from "./choice.js";
import { info } from "./data.js";
import { make, picture, write } from "./dom.js";
import { difference, figure, grey, heat, heatBar } from "./paint.js";
import { on, set, state } from "./state.js";

let ui, now = null;

/** The panel, and a button that opens and closes it. */
export function begin() {
  const [before, after, error] = [picture("What went in"), picture("What came out"), make("canvas", { class: "pix", "aria-hidden": "true" })];
  const knob = make("span", { class: "knob" }, "⇔"), divider = make("div", { class: "divider", "aria-hidden": "true" }, knob);
  const sheet = make("div", { class: "sheet" }, before, after, error, divider);
  const wipe = make("input", { type: "range", min: 0, max: 100, "aria-label": "Wipe between before and after", oninput: () => set({ wipe: Number(wipe.value) }) });
  const model = make("select", { "aria-label": "Model", onchange: () => set({ look: model.value }) });
  const hot = make("input", { type: "checkbox", onchange: () => set({ heat: hot.checked ? 1 : 0 }) });
  ui = { before, after, error, sheet, divider, wipe, model, hot, bar: heatBar(state.range), says: make("p", { class: "soft small" }), toggle: make("button", { type: "button", onclick: () => set({ look: state.look ? "" : usual() }) }, "Closer look") };
  ui.ends = make("div", { class: "ends small" }, make("span", {}, "before"), make("span", {}, "after"));
  ui.panel = make("section", { class: "panel closer", "aria-label": "Closer look", hidden: true },
    make("div", { class: "full" }, sheet, wipe, ui.ends),
    make("div", { class: "stack" }, make("div", { class: "row" }, model, make("button", { type: "button", "aria-label": "Close the closer look", onclick: () => { set({ look: "" }); ui.toggle.focus(); } }, "Close")),
      make("label", { class: "row" }, hot, "error as heat"), ui.bar, ui.says));
  const drag = (event) => {
    const box = sheet.getBoundingClientRect();
    set({ wipe: Math.round(100 * Math.min(1, Math.max(0, (event.clientX - box.x) / box.width))) });
  };
  sheet.addEventListener("pointerdown", (event) => { if (event.isPrimary) { event.preventDefault(); sheet.setPointerCapture(event.pointerId); drag(event); } });
  sheet.addEventListener("pointermove", (event) => { if (sheet.hasPointerCapture(event.pointerId)) drag(event); });
  on("wipe heat", place);
  on("range look models", show);
  return ui;
}

/** The model that is looked at first: that of the other views, or the first that reconstructs. */
export function usual() {
  const names = chosen(), kind = (name) => info.models.find((one) => one.name === name).kind;
  return names.includes(state.model) ? state.model : names.find((name) => kind(name) !== "identity") ?? names[0] ?? "";
}

/** Another image, or noise: {x, noisy, shape, of(name)}, of which `of` gives {pixels, error} by model; null for none. */
export function update(shown) {
  now = shown;
  show();
}

function show() {
  const names = chosen();
  ui.toggle.setAttribute("aria-pressed", Boolean(state.look));
  ui.panel.hidden = !state.look || !now || !names.length;
  if (ui.panel.hidden) return;
  const name = names.includes(state.look) ? state.look : usual();
  if (ui.model.known !== names.join()) { ui.model.known = names.join(); ui.model.replaceChildren(...names.map((one) => make("option", {}, one))); }
  ui.model.value = name;
  const { x, noisy, shape, of } = now, { pixels, error } = of(name);
  ui.sheet.style.aspectRatio = `${shape[2]} / ${shape[1]}`;
  grey(ui.before, noisy, shape);
  if (pixels) {
    grey(ui.after, pixels, shape);
    heat(ui.error, difference(pixels, x), shape, state.range);
  }
  ui.after.classList.toggle("stale", !pixels);
  ui.bar.says(state.range);
  write(ui.says, pixels ? `MSE ${figure(error)}. Heat: how far a pixel is from the clean image.` : "It is still searching.");
  place();
}

function place() {
  const { wipe } = state;
  ui.wipe.value = wipe; ui.hot.checked = Boolean(state.heat);
  ui.wipe.setAttribute("aria-valuetext", `${Math.round(wipe)} % before, the rest after`);
  ui.after.style.clipPath = ui.error.style.clipPath = `inset(0 0 0 ${wipe}%)`;
  ui.error.hidden = ui.bar.hidden = !state.heat || !now || !now.of(ui.model.value)?.pixels;
  ui.after.classList.toggle("under", !ui.error.hidden && now.shape[0] === 3);
  ui.divider.style.left = `${wipe}%`;
}
