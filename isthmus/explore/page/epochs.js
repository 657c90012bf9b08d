// The epoch slider: each model that has states is shown as it was after an epoch of its training. Play goes through all.

import { $, make, write } from "./dom.js";
import { on, set, state } from "./state.js";

const END = -1;  // the models as they are, which an address need not say
const STEP = 400, SLOW_STEP = 1600;  // milliseconds, at the least; the latter for who wants less motion
const still = matchMedia("(prefers-reduced-motion: reduce)");
let ui = null, models = [], stops = [], playing = null, shown;

/** Epochs that the slider stops at. What is in one file has none. */
const stopsOf = (about) => (about.stored ? [] : [...new Set(about.models.flatMap((one) => one.epochs ?? []))].sort((a, b) => a - b));

/** The epoch of an address, or the nearest that there is; from the last one on models are as they are. */
export function fit(epoch, about) {
  const all = stopsOf(about);
  if (epoch === END || !all.length) return END;
  const nearest = all.reduce((best, one) => (Math.abs(one - epoch) < Math.abs(best - epoch) ? one : best));
  return nearest === all.at(-1) ? END : nearest;
}

/** The epoch that a model is shown at: its nearest; null if it is as it is. The server has the same rule. */
function epochOf({ epochs }) {
  if (state.epoch === END || !epochs) return null;
  const nearest = epochs.reduce((best, one) => (Math.abs(one - state.epoch) < Math.abs(best - state.epoch) ? one : best));
  return nearest === epochs.at(-1) ? null : nearest;
}

/** What is said of a model beside the slider's epoch; "" if that is all. */
export function says(facts) {
  if (state.epoch === END) return "";
  const epoch = epochOf(facts);
  return epoch === state.epoch ? "" : epoch !== null ? `epoch ${epoch}` : facts.epochs ? `its end, epoch ${facts.epochs.at(-1)}` : "no epochs, as it is";
}

export const isPlaying = () => Boolean(playing);

/** Set up the slider, if there are states; `settled` gives a promise that what was chosen is shown. */
export function begin(about, settled) {
  models = about.models; stops = stopsOf(about); shown = settled;
  if (stops.length < 2) return;
  const slider = make("input", { type: "range", id: "epoch", min: 0, max: stops.length - 1, oninput: () => { stop(); set({ epoch: epochAt(Number(slider.value)) }); } });
  ui = { slider, output: make("output", { for: "epoch" }), note: make("p", { class: "soft small", role: "status" }),
    play: make("button", { type: "button", onclick: toggle }) };
  ui.row = make("div", { class: "epochs" }, make("div", { class: "row" }, ui.play, make("label", { class: "slider grow" }, make("span", {}, "Epoch"), slider, ui.output)), ui.note);
  document.querySelector(".noise").append(ui.row);
  $("keys").querySelector("dl").append(make("dt", {}, "E"), make("dd", {}, "play the training, or stop"));
  ui.row.style.setProperty("--says", `${2 * String(stops.at(-1)).length + 3}ch`);
  on("epoch view model", show);
  on("view", () => { if (state.view === "compare") stop(); });
  show(); label();
}

const epochAt = (stop) => (stop >= stops.length - 1 ? END : stops[stop]);
const stopOf = (epoch) => (epoch === END ? stops.length - 1 : stops.indexOf(epoch));

function show() {
  ui.row.hidden = state.view === "compare";  // which has the models as they are
  const last = stops.at(-1);
  ui.slider.value = stopOf(state.epoch);
  ui.slider.setAttribute("aria-valuetext", state.epoch === END ? `the end, epoch ${last}` : state.epoch === 0 ? "0, before training" : `${state.epoch} of ${last}`);
  write(ui.output, state.epoch === END ? "end" : `${state.epoch} / ${last}`);
  const facts = state.view === "models" ? null : models.find((one) => one.name === state.model), text = facts ? says(facts) : "";
  write(ui.note, text && `${facts.name}: ${text}.`);
  ui.note.hidden = !facts;
}

/** Play from here, or from the start if this is the end; or stop. */
export function toggle() {
  if (!ui || state.view === "compare") return;
  if (playing) stop(); else play();
}

async function play() {
  const now = playing = {};
  label();
  const first = state.epoch === END ? 0 : stopOf(state.epoch) + 1;
  try {
    for (let at = first; at < stops.length && playing === now; at++) {
      const rest = new Promise((resolve) => setTimeout(resolve, still.matches ? SLOW_STEP : STEP));
      set({ epoch: epochAt(at) });
      await Promise.all([shown(), rest]);
    }
  } finally { if (playing === now) stop(); }
}

function stop() {
  playing = null;
  label();
}

function label() {
  write(ui.play, playing ? "■" : "▶");
  ui.play.setAttribute("aria-label", playing ? "Stop" : "Play the training"); ui.play.title = playing ? "Stop (E)" : "Play the training (E)";
  ui.play.classList.toggle("on", Boolean(playing));
}
