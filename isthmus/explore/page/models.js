// Models side by side: what each makes of the noisy image, where it is wrong, and by how much.

import { $, csv, frame, make, panelAsPng, picture, toast, write } from "./dom.js";
import { info } from "./data.js";
import { difference, figure, grey, scaleBar, signed } from "./paint.js";
import { ask, follow, latest, Refused, refusals } from "./server.js";
import { choices, on, set, state } from "./state.js";

const cards = new Map();
let grid, says, bar, told, now = null, settle, search;

/** Names of the models that are chosen, in the study's order. */
export function chosen() {
  const known = info.models.filter((one) => !one.fault).map((one) => one.name);
  if (state.models === "") return known;
  const wanted = state.models.split(",");
  return known.filter((name) => wanted.includes(name));
}

/** A drop-down with a box for each model; what is chosen is in the address. */
export function chooser() {
  const box = make("div"), says = make("summary");
  const element = make("details", { class: "choose" }, says, box);
  const known = info.models.filter((one) => !one.fault).map((one) => one.name);
  const pick = (names) => set({ models: names.length === known.length ? "" : names.join(",") || "-" });
  box.append(make("div", { class: "row" }, make("button", { type: "button", onclick: () => pick(known) }, "All"), make("button", { type: "button", onclick: () => pick([]) }, "None")));
  for (const name of known) {
    const input = make("input", { type: "checkbox", value: name, onchange: () => pick([...box.querySelectorAll("input:checked")].map((one) => one.value)) });
    box.append(make("label", {}, input, ` ${name}`));
  }
  const show = () => {
    const names = chosen();
    for (const input of box.querySelectorAll("input")) input.checked = names.includes(input.value);
    says.textContent = `${names.length} of ${known.length} models`;
  };
  document.addEventListener("click", (event) => { if (!element.contains(event.target)) element.open = false; });
  element.addEventListener("keydown", (event) => { if (event.key === "Escape") { element.open = false; says.focus(); event.stopPropagation(); } });
  on("models", show); show();
  return element;
}

export function begin() {
  const place = $("models");
  says = make("p", { class: "says", role: "status" });
  const find = () => told.card.element.scrollIntoView({ block: "nearest", behavior: "smooth" });
  told = { name: make("button", { type: "button", title: "Show its card", onclick: find }), mse: make("span"), more: make("small"), card: null };
  told.parts = [make("b", {}, told.name), told.mse, told.more];
  const sort = make("select", { onchange: () => set({ sort: sort.value }) }, ...[["study", "the study's order"], ["error", "least error first"], ["name", "name"], ["code", "size of the code"]].map(([value, text]) => make("option", { value }, text)));
  const range = make("select", { onchange: () => set({ range: Number(range.value) }) }, ...choices.range.map((value) => make("option", { value }, `±${value}`)));
  bar = scaleBar(state.range);
  grid = make("div", { class: "cards" });
  place.append(says, make("div", { class: "tools" },
    make("label", {}, "Sort by", sort), chooser(), make("label", {}, "Residuals", range), bar,
    make("span", { class: "end" },
      make("button", { type: "button", onclick: () => panelAsPng(grid, "isthmus-models.png", `${now?.what ?? ""}, ${noiseSays()}`) }, "PNG"),
      make("button", { type: "button", onclick: table }, "CSV"))), make("p", { class: "soft small caption" }, "Of each model: what it draws, and its residual, where that differs from the clean image: blue is too dark, red too bright. MSE is the mean squared error: less is better. A click on a name looks inside."), grid);
  for (const facts of info.models) cards.set(facts.name, card(facts));
  const controls = () => { sort.value = state.sort; range.value = String(state.range); bar.says(state.range); };
  on("sort", () => { controls(); order(); });
  on("range", () => { controls(); residuals(); });
  on("models", () => { members(); if (now) show(now.x, now.what); });
  window.addEventListener("resize", () => { says.style.minHeight = ""; room(); });
  controls(); members();
}

function card(facts) {
  const name = make("h3", {}, facts.fault ? facts.name : make("button", { type: "button", title: "Look inside", onclick: () => set({ view: "inside", model: facts.name, unit: -1, code: "" }) }, facts.name));
  if (facts.fault) return { facts, element: make("article", { class: "card fault" }, name, make("p", {}, facts.fault)) };
  const rank = make("span", { class: "rank" }), mse = make("dd", { class: "mse" }, "–"), psnr = make("dd", {}, "–"), tags = make("div", { class: "tags" });
  const x_hat = picture(`What ${facts.name} makes of it`), residual = picture(`Where ${facts.name} is wrong`);
  name.append(make("span", { class: "place" }, rank));
  const element = make("article", { class: "card" }, name, make("div", { class: "label", title: facts.label || facts.kind }, facts.label || facts.kind),
    make("div", { class: "pair" }, x_hat, residual), make("dl", {}, make("dt", {}, "MSE"), mse, make("dt", {}, "PSNR"), psnr), tags);
  return { facts, element, rank, mse, psnr, tags, x_hat, residual, error: Infinity, pixels: null };
}

function members() {
  const names = chosen();
  for (const one of cards.values()) {
    const here = one.facts.fault || names.includes(one.facts.name);
    if (!here) { one.element.remove(); one.error = Infinity; one.pixels = null; }
  }
  order();
  if (!names.length) says.replaceChildren("No model is chosen.");
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
  }
}

export const noiseSays = () => (state.level === 0 ? "no noise" : `${info.noise[state.kind].title.toLowerCase()}, ${info.noise[state.kind].symbol} ${state.level}${info.noise[state.kind].unit ? ` ${info.noise[state.kind].unit}` : ""}`);

const body = (x) => x.slice().buffer;
const words = () => ({ kind: state.kind, level: state.level, draw: state.draw });

/** Ask what the models make of an image, and paint it. Of what is asked while an answer is under way, the last counts. */
export const show = latest(async (x, what) => {
  const names = chosen().filter((name) => !cards.get(name).facts.search);
  let found;
  try {
    found = await ask("reconstruct", { ...words(), models: names.join(",") }, body(x));
  } catch (error) {
    return refusals((text) => says.replaceChildren(text))(error);
  }
  now = { x, what, noisy: found.noisy.data, noise: found.noisy_mse.data[0] };
  const n = x.length;
  grey($("noisy"), now.noisy, info.shape);
  write($("noisy-says"), state.level === 0 ? "no noise" : `MSE ${figure(now.noise)}`);
  names.forEach((name, i) => fill(cards.get(name), found.x_hat.data.subarray(i * n, (i + 1) * n), found.mse.data[i], found.psnr.data[i]));
  trained(); best();
  document.dispatchEvent(new CustomEvent("painted"));
  for (const one of cards.values()) if (one.facts.search && !one.facts.fault) one.element.classList.add("stale");
  clearTimeout(settle); search?.abort();
  settle = setTimeout(() => { searches(x); order(); }, 140);
});

function fill(one, pixels, error, psnr) {
  one.pixels = pixels; one.error = error;
  grey(one.x_hat, pixels, info.shape);
  signed(one.residual, difference(pixels, now.x), info.shape, state.range);
  write(one.mse, figure(error)); write(one.psnr, Number.isFinite(psnr) ? `${psnr.toFixed(1)}\u00a0dB` : "–");
}

function residuals() {
  for (const one of cards.values()) if (one.pixels) signed(one.residual, difference(one.pixels, now.x), info.shape, state.range);
}

function trained() {
  for (const { facts, tags } of cards.values()) {
    if (!tags) continue;
    const rows = facts.trained.map(({ kind, level }) => {
      const here = kind === state.kind && Math.abs(level - state.level) < 0.05 * Math.max(level, 0.1);
      return make("span", { class: here ? "here" : "" }, kind === state.kind ? `trained at ${info.noise[kind].symbol} ${level}` : `trained on ${kind} ${level}`);
    });
    if (facts.collapsed) rows.push(make("span", { class: "warn", title: facts.collapsed }, "collapsed"));
    if (facts.seen) rows.push(make("span", { class: "warn", title: "It was fitted on these images." }, "has seen the test images"));
    const text = rows.map((row) => row.className + row.textContent).join();
    if (tags.text !== text) { tags.replaceChildren(...rows); tags.text = text; }
  }
}

const ordinal = (n) => `${n}${n % 100 > 10 && n % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][n % 10] ?? "th"}`;

function best() {
  const list = chosen().map((name) => cards.get(name)).filter((one) => one.pixels && one.facts.kind !== "identity").sort((a, b) => a.error - b.error);
  const [first, second] = list, blank = now?.x.every((value) => value === 0);
  for (const one of cards.values()) {
    const place = list.indexOf(one);
    one.element.classList.toggle("best", place === 0 && !blank);
    if (one.rank) write(one.rank, place < 0 || blank ? "" : place ? ordinal(place + 1) : "best");
  }
  if (!list.length) return;
  if (blank) {
    return says.replaceChildren("The image is empty. ", make("small", {}, state.source === "draw" ? "Draw a digit on the pad." : "Choose a picture."));
  }
  const verb = state.level === 0 ? "draws this image best" : "denoises this image best";
  const rest = [];
  if (state.level !== 0) rest.push(`${noiseSays()}: ${figure(now.noise)} before${first.error < now.noise ? "" : ", which was less"}`);
  if (second) rest.push(`next is ${second.facts.name} with ${figure(second.error)}`);
  const more = `${state.level === 0 ? `no noise yet: turn it up, and see which model removes it best${rest.length ? "; " : ""}` : ""}${rest.join("; ")}.`;
  // the same elements with other words: new ones would cost a frame as much as all the pictures
  told.card = first;
  write(told.name, first.facts.name); write(told.mse, ` ${verb}: MSE ${figure(first.error)}.`); write(told.more, more[0].toUpperCase() + more.slice(1));
  if (says.firstChild !== told.parts[0]) says.replaceChildren(...told.parts);
  room();
}

/** As high as the longest sentence so far: its box does not follow its words, and what is below it does not jump. */
function room() {
  if (says.scrollHeight > says.clientHeight) says.style.minHeight = `${says.scrollHeight}px`;
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
        fill(one, step.x_hat.data, step.mse.data[0], step.psnr.data[0]);
        const ended = step.words.reason, n = step.step.data[0];
        one.tags.replaceChildren(make("span", {}, ended ? `${n} steps, ${{ iterations: "out of steps" }[ended] ?? ended}` : `step ${n} …`)); one.tags.text = "";
        if (!ended) await frame();
      });
    } catch (error) {
      if (signal.aborted) return;
      one.tags.replaceChildren(make("span", { class: "warn" }, error instanceof Refused ? error.message : "the search was cut short"));
    }
  }
  if (!signal.aborted) { best(); order(); }
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
