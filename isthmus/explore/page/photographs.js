// Photographs: noisy, denoised by each model, and clean, at full size; a wipe between two of them, a magnifier over all.

import { $, figureOf, make, picture, rove, write } from "./dom.js";
import { heat, heatBar } from "./paint.js";
import * as scenes from "./scenes.js";
import { ask, latest, refusals } from "./server.js";
import { on, read, set, state, usually } from "./state.js";
import { hint, receive, send } from "./upload.js";

const COUNT = 12;  // thumbnails at a time
const HOT = 0.2;  // the error, of black to white, at which the heat is full
const LENS = 48;  // pixels to a side that the magnifier shows
const ALIKE = 0.05;  // dB: less than the figures show
const HARDLY = 0.008;  // two of 255 levels: what is called hardly any noise
const PERIOD = 500, SEVERAL = 4;  // milliseconds between questions of how far a model is, of at least so many tiles
const FEW = 2;  // models of which a sentence says each by its name
let info, noisy, models, clean, layers, hot, heatSays;
let opened = null, uploaded = null, fresh = null, first = 0, spot = { x: 0, y: 0 };
let controller = new AbortController();

/** Set the page up; it is ready once the first photograph is there. */
export async function begin(about) {
  info = about;
  usually({ photo: about.files.length ? 0 : -1, heat: 0 });
  Object.assign(state, fitted(read(location.hash)));
  noisy = layer("noisy");
  models = about.models.map(({ name, estimator, parameters }) => layer(name, `${estimator}, ${parameters.toLocaleString("en")} weights`));
  clean = layer("clean");
  layers = [noisy, ...models, clean];
  await styled();
  build();
  window.addEventListener("hashchange", (event) => set(fitted(read(new URL(event.newURL).hash)), false));
  // a visitor's own photograph stays
  scenes.begin(about.files.length ? scenes.ofPhotographs(about) : [], (found) => fitted(isUpload() ? { ...found, photo: -1 } : found));
  on("photo", choose);
  on("level draw blind", update);
  on("from to wipe level heat", place);
  await choose();
}

/** Ask once more for what did not come while the server was away. */
export const again = () => { thumbnails(); choose(); };
export const isUpload = () => state.photo < 0 && uploaded !== null;

/** What an address says, less the photographs, pictures and levels that are not here. */
function fitted(found) {
  const { levels, files } = info, last = info.models.length + 1;
  found.level = levels.reduce((best, one) => (Math.abs(one - found.level) < Math.abs(best - found.level) ? one : best));
  if (found.photo >= files.length || (found.photo < 0 && !uploaded)) found.photo = files.length ? 0 : -1;
  for (const end of ["from", "to"]) found[end] = Math.min(last, found[end]);
  found.wipe = Math.min(100, Math.round(found.wipe)); found.blind = found.blind ? 1 : 0;
  return found;
}

/** A picture: its canvas at full size, and its lens with a caption. */
function layer(name, hint = "") {
  const canvas = make("canvas", { role: "img", "aria-label": `${name}, at full size` }), lens = picture(`${name}, magnified`);
  return { name, canvas, lens, figure: figureOf(lens, name, hint), psnr: null, sigma: null };
}

const styled = () => new Promise((resolve) => {
  document.head.append(make("link", { rel: "stylesheet", href: "photographs.css", onload: resolve, onerror: resolve }));
});

// --- the document ---

function build() {
  document.body.classList.add("photographs", "empty");
  $("show-keys").hidden = true;
  const [level, newNoise, strip, pager, drop] = [$("level").parentElement, $("new-draw"), $("strip"), $("strip-back").parentElement, $("drop")];
  const blind = make("input", { type: "checkbox", id: "blind", onchange: () => set({ blind: blind.checked ? 1 : 0 }) });
  level.firstElementChild.replaceChildren("Add noise, σ");
  document.querySelector("aside").setAttribute("aria-label", "The photograph and its noise");
  document.querySelector("aside").replaceChildren(
    make("section", { class: "panel chooser", "aria-label": "Choose a photograph" }, strip, pager, drop, $("upload-says")),
    make("section", { class: "panel noise", "aria-label": "Noise" }, level, make("div", { class: "row" }, newNoise, make("label", { class: "row small" }, blind, "let models estimate σ"))),
  );
  const end = (id, name) => make("select", { id, "aria-label": `On the ${name}`, onchange: (event) => set({ [id]: event.target.selectedIndex }) }, ...layers.map((one) => make("option", {}, one.name)));
  hot = make("canvas", { "aria-hidden": "true" }); heatSays = make("span");
  const heats = make("input", { type: "checkbox", id: "heat", onchange: () => set({ heat: heats.checked ? 1 : 0 }) });
  const wipe = make("input", { type: "range", id: "wipe", min: 0, max: 100, "aria-label": "Wipe", oninput: () => set({ wipe: Number(wipe.value) }) });
  $("views").replaceChildren(
    make("section", { class: "panel", "aria-label": "The photograph at full size" },
      make("div", { class: "full" }, make("div", { class: "ends" }, end("from", "left"), end("to", "right")), wipe, make("div", { id: "stage" }, sheet()),
        make("div", { class: "row small heats" }, make("label", { class: "row" }, heats, heatSays), heatBar(HOT))),
      make("p", { id: "photograph-says", role: "status" })),
    make("section", { class: "panel lenses", "aria-label": "The same place of all pictures, magnified" }, ...layers.map((one) => one.figure)),
    $("notes"),
  );
  for (const note of info.notes) $("notes").append(make("p", {}, note));
  $("stage").addEventListener("scroll", place);
  new ResizeObserver(place).observe($("stage"));
  receive(upload);
  $("upload-says").textContent = hint(info.most_bytes);
  slider();
  gallery();
}

/** The pictures over each other, with the divider and what the magnifier shows; the pointer or the arrows move it. */
function sheet() {
  const knob = make("span", { class: "knob" }, "⇔"), divider = make("div", { id: "divider", "aria-hidden": "true" }, knob);
  const element = make("div", {
    id: "sheet", tabindex: 0, role: "application",
    "aria-label": "The photograph. The arrow keys move the magnifier, with Shift by one pixel; the slider above wipes.",
  }, ...layers.map((one) => one.canvas), hot, divider, make("div", { id: "spot" }));
  const point = ({ clientX, clientY }) => { const box = element.getBoundingClientRect(); magnify(clientX - box.left, clientY - box.top); };
  element.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch" && !knob.hasPointerCapture(event.pointerId)) point(event); });
  element.addEventListener("click", point);
  element.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (x === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const far = event.shiftKey ? 1 : 8;
    magnify(spot.x + far * x, spot.y + far * y);
    $("spot").scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  knob.addEventListener("pointerdown", (event) => { event.preventDefault(); knob.setPointerCapture(event.pointerId); });
  knob.addEventListener("pointermove", (event) => {
    if (!knob.hasPointerCapture(event.pointerId)) return;
    const share = (event.clientX - $("stage").getBoundingClientRect().left - $("stage").clientLeft) / inSight();
    set({ wipe: Math.round(100 * Math.min(1, Math.max(0, share))) });
  });
  return element;
}

function slider() {
  const level = $("level"), { levels } = info;
  level.max = levels.length - 1;
  const show = () => {
    const text = state.level ? state.level.toFixed(2) : "none";
    level.value = levels.indexOf(state.level);
    write($("level-says"), text);
    level.setAttribute("aria-valuetext", state.level ? `σ ${text}, ${of255(state.level)}` : "no noise");
    $("blind").disabled = $("new-draw").disabled = !state.level;
    $("blind").checked = !state.level || Boolean(state.blind);
  };
  level.addEventListener("input", () => set({ level: levels[Number(level.value)] }));
  $("new-draw").addEventListener("click", () => set({ draw: state.draw + 1 }));
  on("level blind", show);
  show();
}

// --- the photographs of DATA, and the visitor's ---

function gallery() {
  const turn = (by) => { first += by * COUNT; thumbnails(); };
  $("strip").setAttribute("aria-label", "Photographs");
  $("strip-back").addEventListener("click", () => turn(-1));
  $("strip-on").addEventListener("click", () => turn(1));
  for (const element of [$("strip"), $("strip-back").parentElement]) element.hidden = !info.files.length;
  $("strip-back").parentElement.hidden ||= info.files.length <= COUNT;
  first = Math.floor(Math.max(0, state.photo) / COUNT) * COUNT;
  rove($("strip"));
  thumbnails();
}

const small = new Map();  // thumbnails that were fetched, by the file's place

function thumbnails() {
  const n = info.files.length, last = Math.min(n, first + COUNT);
  $("strip-back").disabled = first === 0; $("strip-on").disabled = last === n;
  $("strip-says").textContent = `${first + 1}–${last} of ${n}`;
  $("strip").replaceChildren(...info.files.slice(first, last).map((name, i) => {
    const place = first + i, canvas = small.get(place) ?? make("canvas", { class: "pix", "aria-hidden": "true" });
    const button = make("button", { type: "button", title: name, "aria-label": name, "aria-pressed": String(state.photo === place), onclick: () => set({ photo: place }) }, canvas);
    if (!small.has(place)) {
      ask("thumbnail", { file: place }).then(({ x }) => { paint(canvas, x); small.set(place, canvas); }, refusals((text) => { button.title = text; }));
    }
    return button;
  }));
}

const upload = (file) => send(file, (text) => { $("upload-says").textContent = text; }, (answer, name) => {
  [uploaded, fresh] = [{ file, name }, answer];
  if (state.photo < 0) choose(); else set({ photo: -1 });
}, info.most_bytes);

/** Open the photograph that is chosen. */
const choose = latest(async () => {
  [...$("strip").children].forEach((button, i) => button.setAttribute("aria-pressed", String(first + i === state.photo)));
  if (state.photo < 0 && !uploaded) return says("Choose a photograph, or drop one anywhere.");
  const name = state.photo < 0 ? uploaded.name : info.files[state.photo];
  try {
    const answer = state.photo < 0 ? fresh ?? await ask("picture", { name }, uploaded.file) : await ask("picture", { file: state.photo });
    fresh = null;
    opened = { ...answer.words, shape: answer.x.shape, x: answer.x, name };
    document.body.classList.remove("empty");
  } catch (error) {
    opened = null;
    for (const one of layers) one.canvas.width = one.canvas.height = 0;
    return refusals((text) => says(`${text}.`))(error);
  }
  $("upload-says").textContent = state.photo < 0 ? `${name}: ${opened.said}.` : hint(info.most_bytes);
  const [, h, w] = opened.shape;
  for (const one of models) { one.canvas.width = w; one.canvas.height = h; }  // and empty
  paint(clean.canvas, opened.x);
  $("sheet").style.width = `${w}px`; $("sheet").style.height = `${h}px`;
  $("stage").scrollTo((w - $("stage").clientWidth) / 2, (h - $("stage").clientHeight) / 2);
  spot = { x: w / 2, y: h / 2 };
  update();
});

// --- the answers ---

/** Have the pictures follow what was changed. What was asked before is not waited for. */
function update() {
  controller.abort();
  controller = new AbortController();
  for (const one of models) one.figure.classList.add("stale");
  return show();
}

const show = latest(async () => {
  if (!opened) return;
  const { signal } = controller, words = { key: opened.key, level: state.level, draw: state.draw };
  try {
    const answer = state.level ? await ask("noisy", words, undefined, signal) : null;
    noisy.psnr = answer && answer.psnr.data[0];
    paint(noisy.canvas, answer ? answer.x : opened.x); noisy.x = answer ? answer.x : opened.x; clean.x = opened.x;
    for (const one of models) one.psnr = one.sigma = one.x = one.done = null;
    captions();
    await Promise.all(models.map(async (one) => {
      const task = crypto.getRandomValues(new Uint32Array(3)).join("-");
      const timer = setInterval(() => ask("progress", { task }, undefined, signal).then(({ tiles: { data: [done, of] } }) => {
        if (of >= SEVERAL && !one.x) { one.done = done / of; captions(); }
      }, () => {}), PERIOD);
      const answered = ask("denoised", { ...words, model: one.name, blind: state.blind, task }, undefined, signal);
      const { x, sigma, psnr } = await answered.finally(() => clearInterval(timer));
      paint(one.canvas, x); one.x = x;
      [one.sigma, one.psnr] = [sigma.data[0], state.level ? psnr.data[0] : null];
      one.figure.classList.remove("stale");
      captions();
    }));
  } catch (error) {
    if (error.name === "AbortError") return;
    // the server holds the last few photographs: one that was left long ago is opened again
    refusals((text) => { if (text.includes("not open any more")) choose(); else says(`${text}.`); })(error);
  }
});

const far = (done) => (done ? ` ${Math.round(100 * done)} %` : "");
const of255 = (sigma) => `${Math.round(255 * sigma)} of 255`;
const decibels = (psnr) => `${psnr.toFixed(1)} dB`;
const says = (text) => write($("photograph-says"), text);

function captions() {
  const added = state.level > 0, told = added && !state.blind;
  noisy.figure.names(added ? "noisy" : "as it is");
  noisy.figure.says(added ? `σ ${state.level.toFixed(2)} · ${decibels(noisy.psnr)}` : "no noise added");
  for (const [i, one] of models.entries()) {
    const level = one.sigma !== null && (told && !info.models[i].blind ? `σ ${one.sigma.toFixed(2)} told` : `σ ${one.sigma.toFixed(3)} estimated`);
    one.figure.says(one.sigma === null ? `denoising …${far(one.done)}` : one.psnr === null ? level : `${level} · ${decibels(one.psnr)}`);
  }
  clean.figure.says("without the noise");
  place(); magnify(spot.x, spot.y);
  says([`${opened.name}, ${opened.said}.`, ...verdict(), opened.seen].filter(Boolean).join(" "));
}

/** What came of it, once all models have answered. */
function verdict() {
  const slow = models.filter((one) => one.sigma === null);
  if (slow.length) return [`Denoising …${far(Math.floor(10 * Math.min(...slow.map((one) => one.done ?? 0))) / 10)}`];  // in tens, which are read aloud
  const beyond = models.filter((one) => one.sigma > 1.1 * info.models[models.indexOf(one)].trained[1]).map((one) => one.name);
  const warning = beyond.length ? `This is beyond the noise that ${beyond.join(" and ")} learned from.` : "";
  if (!state.level) {
    return [...foundIn(models), "Nothing clean is known to measure against: add noise for that.", warning];
  }
  const best = models.reduce((most, one) => (one.psnr > most.psnr ? one : most));
  const alike = models.length > 1 && models.every((one) => best.psnr - one.psnr < ALIKE);
  if (alike) return [`All ${models.length} are about equal: PSNR ${noisy.psnr.toFixed(1)} before, ${decibels(best.psnr)} after.`, warning];
  const subject = models.length > 1 ? `The best of ${models.length}, ${best.name},` : best.name;
  return [`${subject} ${best.psnr > noisy.psnr ? "raises" : "lowers"} the PSNR from ${noisy.psnr.toFixed(1)} to ${decibels(best.psnr)}.`, warning];
}

/** How much noise each of a few models finds, and of many, whose names stand below, the least and the most. */
function foundIn(models) {
  const finds = (one) => (one.sigma < HARDLY ? `${one.name} finds hardly any noise in it (σ ${one.sigma.toFixed(3)}).` : `${one.name} finds noise of σ ${one.sigma.toFixed(3)} in it, ${of255(one.sigma)}.`);
  if (models.length <= FEW) return models.map(finds);
  const sigmas = models.map((one) => one.sigma), least = Math.min(...sigmas), most = Math.max(...sigmas);
  if (most < HARDLY) return [`The ${models.length} models find hardly any noise in it (σ at most ${most.toFixed(3)}).`];
  return [`The ${models.length} models find noise of σ ${least.toFixed(3)} to ${most.toFixed(3)} in it, ${Math.round(255 * least)} to ${of255(most)}.`];
}

// --- the wipe and the magnifier ---

/** How many of the picture's columns are in sight. */
const inSight = () => Math.min($("stage").clientWidth, opened?.shape[2] ?? 1);

/** Where there is no noise the clean picture is the noisy one. */
const shownAt = (at) => (layers[at] === clean && !state.level ? noisy : layers[at]);

/** Put the divider where the slider is, however the picture is scrolled, and show a picture on each side of it. */
function place() {
  for (const end of ["from", "to"]) {
    const options = [...$(end).options];
    write(options[0], state.level ? "noisy" : "as it is");
    options.at(-1).disabled = !state.level;
    $(end).selectedIndex = layers.indexOf(shownAt(state[end]));
  }
  $("wipe").value = state.wipe;
  clean.figure.hidden = !state.level;
  if (!opened) return;
  const [left, right] = [shownAt(state.from), shownAt(state.to)], stage = $("stage"), [, h, w] = opened.shape;
  const x = stage.scrollLeft + (state.wipe / 100) * inSight();
  $("wipe").setAttribute("aria-valuetext", `${Math.round(state.wipe)} % ${left.name}, the rest ${right.name}`);
  for (const one of layers) {
    one.canvas.hidden = one !== left && one !== right;
    one.canvas.style.clipPath = left === right ? "none" : one === left ? `inset(0 ${w - x}px 0 0)` : `inset(0 0 0 ${x}px)`;
  }
  heatUp(left, right);
  $("divider").style.left = `${x}px`;
  $("divider").firstChild.style.top = `${stage.scrollTop + 0.85 * Math.min(stage.clientHeight, h)}px`;
}

let heated = null;

/** Lay the error over the model's picture, that on the right if both are; without a clean picture, what the model took away. */
function heatUp(left, right) {
  const one = [right, left].find((side) => models.includes(side)), shown = Boolean(state.heat && one?.x);
  write(heatSays, state.level ? "error as heat" : "what it takes away, as heat");
  $("heat").checked = Boolean(state.heat); $("heat").disabled = !one;
  hot.hidden = !shown;
  for (const layer of models) layer.canvas.classList.toggle("under", shown && layer === one);
  if (!shown) return;
  hot.style.clipPath = one.canvas.style.clipPath;
  if (heated === one.x && hot.width === one.canvas.width) return;  // the wipe moves alone
  heated = one.x;
  const errors = new Float32Array(one.x.data.length);
  for (let i = 0; i < errors.length; i++) errors[i] = (one.x.data[i] - clean.x.data[i]) / 255;
  heat(hot, errors, one.x.shape, HOT);
}

/** Show the surroundings of a pixel in every lens. */
function magnify(x, y) {
  if (!opened) return;
  const [, h, w] = opened.shape, side = Math.min(LENS, h, w);
  spot = { x: Math.max(0, Math.min(w - 1, x)), y: Math.max(0, Math.min(h - 1, y)) };
  const [left, top] = [[spot.x, w], [spot.y, h]].map(([at, size]) => Math.max(0, Math.min(size - side, Math.round(at - side / 2))));
  for (const { canvas, lens } of layers) {
    lens.width = lens.height = side;
    if (canvas.width) lens.getContext("2d").drawImage(canvas, -left, -top);
  }
  Object.assign($("spot").style, { left: `${left}px`, top: `${top}px`, width: `${side}px`, height: `${side}px` });
}

/** Paint 8-bit pixels, (c, h, w). */
function paint(canvas, { data, shape: [c, h, w] }) {
  const n = h * w, image = new ImageData(w, h), words = new Uint32Array(image.data.buffer), [green, blue] = c === 3 ? [n, 2 * n] : [0, 0];
  for (let i = 0; i < n; i++) words[i] = (255 << 24) | (data[i + blue] << 16) | (data[i + green] << 8) | data[i];
  canvas.width = w; canvas.height = h;
  canvas.getContext("2d").putImageData(image, 0, 0);
}
