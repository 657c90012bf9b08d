// Models side by side: what each makes of the noisy image, where it is wrong, and by how much.

import * as ahead from "./ahead.js";
import { chosen, chooser, whyNot } from "./choice.js";
import * as closer from "./closer.js";
import * as epochs from "./epochs.js";
import { $, bring, frame, make, picture, toast, write } from "./dom.js";
import { csv, panelAsPng } from "./export.js";
import { info } from "./data.js";
import { difference, figure, grey, scaleBar, signed } from "./paint.js";
import { ask, follow, latest, Refused, refusals } from "./server.js";
import { choices, isBlank, on, set, state } from "./state.js";
import * as verdict from "./verdict.js";
import { had, mark, noiseSays, trainedAt } from "./words.js";

const PSNR = "Peak signal-to-noise ratio, −10 log₁₀ of the MSE: higher is better, and 3 dB more halves the error.";
const cards = new Map();
const phone = matchMedia("(max-width: 46rem)");
let grid, bar, now = null, settle, search, look;

export function begin() {
  const place = $("models");
  const sort = make("select", { onchange: () => set({ sort: sort.value }) }, ...[["study", "the study's order"], ["error", "lowest error first"], ["name", "name"], ["code", "size of the code"]].map(([value, text]) => make("option", { value }, text)));
  const range = make("select", { onchange: () => set({ range: Number(range.value) }) }, ...choices.range.map((value) => make("option", { value }, `±${value}`)));
  bar = scaleBar(state.range);
  grid = make("div", { class: "cards" });
  look = closer.begin();
  place.append(verdict.begin(), make("div", { class: "tools" },
    make("label", { hidden: info.models.length < 2 }, "Sort by", sort), chooser(), look.toggle,
    make("span", { class: "end" },
      make("button", { type: "button", onclick: () => panelAsPng([document.querySelector(".now"), grid], "isthmus-models.png", `${now?.what ?? ""}, ${noiseSays()}`) }, "PNG"),
      make("button", { type: "button", onclick: table }, "CSV"))), make("div", { class: "caption" }, make("p", { class: "soft small" }, "Reconstructions and residuals: blue is too dark, red too bright. MSE is the mean squared error: lower is better. Click a picture for a closer look, a name to look inside."), make("label", { class: "small" }, "Residuals", range), bar), look.panel, grid);
  for (const facts of info.models) cards.set(facts.name, card(facts));
  const controls = () => { sort.value = state.sort; range.value = String(state.range); bar.says(state.range); };
  on("sort", () => { controls(); order(); });
  on("range", () => { controls(); residuals(); });
  on("models", () => { members(); if (now) show(now.x, now.what, now.shape); });
  phone.addEventListener("change", () => { for (const one of cards.values()) if (one.pixels) grey(one.small, one.pixels, now.shape); });
  controls(); members();
}

function card(facts) {
  const long = facts.name.length > 17 ? "name long" : "name";
  const name = make("h3", {}, facts.fault ? facts.name : facts.units ? make("button", { type: "button", class: long, title: `Look inside ${facts.name}`, onclick: () => set({ view: "inside", model: facts.name, unit: -1, code: "" }) }, facts.name)
    : make("span", { class: long, title: whyNot(facts) }, facts.name));
  if (facts.fault) return { facts, element: make("article", { class: "card fault" }, name, make("p", {}, facts.fault)) };
  const rank = make("span", { class: "rank" }), mse = make("dd", { class: "mse" }, "–"), psnr = make("dd", {}, "–"), tags = make("div", { class: "tags" }), worse = make("div", { class: "worse" }, "worse than the noisy image");
  const x_hat = picture(`Reconstruction by ${facts.name}`), residual = picture(`Residual of ${facts.name}`);
  // on a phone, beside what is drawn or chosen; the cards have the words
  const small = picture(`${facts.name}`), error = make("small", {}, "–"), glance = make("figure", {}, small, make("figcaption", {}, facts.name, error));
  name.append(make("span", { class: "place" }, rank));
  const element = make("article", { class: "card" }, name, make("div", { class: "label", title: facts.label || facts.kind }, make("span", {}, facts.label || facts.kind)),
    make("div", { class: "pair" }, x_hat, residual), make("dl", {}, make("dt", {}, "MSE"), mse, make("dt", {}, make("abbr", { title: PSNR }, "PSNR")), psnr), tags, worse);
  for (const canvas of [x_hat, residual]) canvas.addEventListener("click", () => { set({ look: facts.name }); bring(look.panel); });
  return { facts, element, rank, mse, psnr, tags, worse, x_hat, residual, small, glance, says: (text) => write(error, text), error: Infinity, pixels: null, waits: false };
}

function members() {
  const names = chosen();
  for (const one of cards.values()) {
    const here = one.facts.fault || names.includes(one.facts.name);
    if (!here) { one.element.remove(); one.glance?.remove(); one.error = Infinity; one.pixels = null; one.waits = false; }
  }
  order();
  if (!names.length) verdict.say("No model is chosen.");
}

function order() {
  const names = chosen();
  const list = [...cards.values()].filter((one) => one.facts.fault || names.includes(one.facts.name));
  const by = { error: (one) => one.error, name: (one) => one.facts.name, code: (one) => one.facts.code ?? Infinity }[state.sort];
  if (by) list.sort((a, b) => Boolean(a.facts.fault) - Boolean(b.facts.fault) || (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0));
  if (list.some((one, i) => grid.children[i] !== one.element)) {
    const focused = document.activeElement;
    grid.replaceChildren(...list.map((one) => one.element));
    if (grid.contains(focused)) focused.focus();
    $("glance").replaceChildren(...list.filter((one) => one.glance).map((one) => one.glance));
  }
}

const body = (x) => x.slice().buffer;
const words = () => ({ kind: state.kind, level: state.level, draw: state.draw });

/** Ask what the models make of an image, and paint it. Of what is asked while an answer is under way, the last counts. */
export const show = latest(async (x, what, shape) => {
  if (isBlank(x)) return blank(x, shape);
  const names = chosen().filter((name) => !cards.get(name).facts.search), asked = { models: names.join(","), ...words() };
  if (String(shape) !== String(info.shape)) [, asked.rows, asked.columns] = shape;
  let found;
  try {
    found = ahead.known(x, asked) ?? ahead.at(await ask("reconstruct", asked, body(x)), 0, 1);
  } catch (error) {
    return refusals(verdict.say)(error);
  }
  now = { x, what, shape, noisy: found.noisy, noise: found.noise };
  grid.classList.toggle("whole", Boolean(asked.rows));
  grey($("noisy"), now.noisy, shape);
  write($("noisy-says"), state.level === 0 ? "no noise" : `MSE ${figure(now.noise)}`);
  names.forEach((name, i) => fill(cards.get(name), found.drawn[i].pixels, found.drawn[i].error, found.drawn[i].psnr));
  for (const name of chosen()) if (cards.get(name).facts.search) forget(cards.get(name));
  trained(); judge(); looked();
  document.dispatchEvent(new CustomEvent("painted"));
  clearTimeout(settle); search?.abort();
  settle = setTimeout(() => { if (!asked.rows && !epochs.isPlaying()) ahead.ask(x, asked); searches(x); order(); }, 140);
});

/** Have the closer look follow. */
const looked = () => closer.update(now && { ...now, of: (name) => cards.get(name) });

function judge() {
  if (now) verdict.judge(chosen().map((name) => cards.get(name)), now);  // a search may end when its image is gone
  for (const { element, glance } of cards.values()) glance?.classList.toggle("best", element.classList.contains("best"));
}

/** There is no image yet: nothing is asked, and no number of the former one stays. */
function blank(x, shape) {
  clearTimeout(settle); search?.abort();
  for (const one of cards.values()) {
    if (!one.mse) continue;
    one.error = Infinity; one.pixels = null; one.waits = false;
    one.element.classList.remove("stale");
    write(one.mse, "–"); write(one.psnr, "–"); one.says("–");
    for (const canvas of [one.x_hat, one.residual, one.small]) canvas.context?.clearRect(0, 0, canvas.width, canvas.height);
  }
  now = { x, what: "", shape, noisy: x, noise: 0 };
  grey($("noisy"), x, shape);
  write($("noisy-says"), "no image yet");
  trained(); judge();
  now = null;
  looked();
  document.dispatchEvent(new CustomEvent("painted"));
}

/** What a decoder found for another image, or other noise, counts no longer: it waits for its search. */
function forget(one) {
  one.element.classList.add("stale");
  one.waits = true; one.error = Infinity; one.pixels = null;
  write(one.mse, "–"); write(one.psnr, "–");
  if (one.tags.text !== "waits") { one.tags.replaceChildren(make("span", {}, "will search")); one.tags.text = "waits"; }
}

/** Paint a card. Its error counts once its search, if it has one, has ended. */
function fill(one, pixels, error, psnr) {
  one.pixels = pixels;
  if (!one.waits) one.error = error;
  grey(one.x_hat, pixels, now.shape);
  if (phone.matches) grey(one.small, pixels, now.shape);
  one.says(figure(error));
  signed(one.residual, difference(pixels, now.x), now.shape, state.range);
  write(one.mse, figure(error)); write(one.psnr, Number.isFinite(psnr) ? `${psnr.toFixed(1)}\u00a0dB` : "–");
}

function residuals() {
  for (const one of cards.values()) if (one.pixels) signed(one.residual, difference(one.pixels, now.x), now.shape, state.range);
}

function trained() {
  for (const { facts, tags } of cards.values()) {
    if (!tags || facts.search) continue;
    const rows = facts.trained.map(({ kind, level, relative }) => {
      const here = kind === state.kind && !relative && Math.abs(level - state.level) < 0.05 * Math.max(level, 0.1);
      return make("span", { class: here ? "here" : "" }, trainedAt({ kind, level, relative }));
    });
    if (facts.collapsed) rows.push(make("span", { class: "warn", title: facts.collapsed }, "collapsed"));
    if (epochs.says(facts)) rows.push(make("span", {}, epochs.says(facts)));
    if (had(facts)) rows.push(mark(facts));
    const text = rows.map((row) => row.className + row.textContent).join();
    if (tags.text !== text) { tags.replaceChildren(...rows); tags.text = text; tags.hidden = !rows.length; }
  }
}

/** Let each decoder search, one after the other, its steps as they come; a new image ends it. */
async function searches(x) {
  search = new AbortController();
  const { signal } = search;
  for (const name of chosen()) {
    const one = cards.get(name);
    if (!one.facts.search) continue;
    try {
      await follow("search", { ...words(), model: name }, body(x), signal, async (step) => {
        if (signal.aborted) return;
        one.element.classList.remove("stale");
        const ended = step.words.reason, n = step.step.data[0];
        one.waits = !ended;
        fill(one, step.x_hat.data, step.mse.data[0], step.psnr.data[0]);
        if (state.look === name) looked();
        one.tags.replaceChildren(make("span", {}, ended ? `${n} steps, ${{ iterations: "hit the step limit" }[ended] ?? ended}` : `step ${n} …`)); one.tags.text = "";
        if (!ended) await frame();
      });
      if (one.waits) throw new Error("the search did not say that it ended");
    } catch (error) {
      if (signal.aborted) return;
      one.waits = false;
      one.tags.replaceChildren(make("span", { class: "warn" }, error instanceof Refused ? error.message : "the search was interrupted")); one.tags.text = "";
    }
    judge(); order();
  }
}

function table() {
  if (!now) return toast("There are no numbers yet.");
  const rows = [["model", "kind", "code_size", "image", "corruption", "level", "draw", "mse", "psnr_db"]];
  for (const name of chosen()) {
    const { facts, error } = cards.get(name);
    if (Number.isFinite(error)) rows.push([name, facts.kind, facts.code, now.what, state.kind, state.level, state.draw, error, error > 0 ? -10 * Math.log10(error) : ""]);
  }
  csv("isthmus-models.csv", rows);
}
