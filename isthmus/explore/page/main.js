// The page: asks what there is, sets up the parts, and passes each change on to the view that is open.

import * as compare from "./compare.js";
import * as data from "./data.js";
import { said } from "./choice.js";
import * as ahead from "./ahead.js";
import { $, make, tabs, toast, write } from "./dom.js";
import * as epochs from "./epochs.js";
import * as input from "./input.js";
import * as inside from "./inside.js";
import * as models from "./models.js";
import { grey } from "./paint.js";
import * as scenes from "./scenes.js";
import * as server from "./server.js";
import * as space from "./space.js";
import { isBlank, on, read, set, state, tell, usually } from "./state.js";
import { falls, named } from "./words.js";

let x = null, what = "", shape = null, again = () => { input.again(); update(); };

async function begin() {
  const about = await opened();
  if (!about) return;
  data.begin(about);
  $("title").textContent = about.title; document.title = `${about.title} · isthmus`;
  introduce(about.question);
  // the address is not a place in the page: to follow this link as a browser does would set everything back
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); $("views").focus(); });
  // the banner says that the server is lost; nobody needs to hear it twice
  window.addEventListener("unhandledrejection", (event) => { if (event.reason instanceof server.Lost) event.preventDefault(); });
  if (about.levels) return photographs(about);
  usually({ model: liveliest(about.models), models: said(about.opening), ...opening(about) });
  Object.assign(state, fitted(read(location.hash), about));
  for (const note of [about.data?.title, ...about.notes].filter(Boolean)) $("notes").append(make("p", {}, plain(note)));
  document.body.classList.toggle("alone", about.models.length === 1);
  const show = tabs(document.querySelector(".tabs.big"), (view) => set({ view }));
  show(state.view);
  models.begin(); inside.begin(); space.begin(); compare.begin();
  scenes.begin(scenes.ofModels(), (found) => fitted(found, about));
  on("view", () => { show(state.view); update(); });
  on("kind level draw", update);
  on("tab", () => { if (x && isBlank(x)) update(); });  // what to do first depends on the tab that is open
  noise(about.noise);
  on("epoch", () => { ahead.forget(); update(); });
  epochs.begin(about, () => settled);
  for (const one of document.querySelectorAll(".uploads")) one.hidden = !about.uploads;
  keys();
  // of the event, for `tell` may have written the former address between its coming and this
  window.addEventListener("hashchange", (event) => set(fitted(read(new URL(event.newURL).hash), about), false));
  await input.begin((pixels, name, size = about.shape) => { x = pixels; what = name; shape = size; update(); });
  document.documentElement.dataset.ready = "yes";
}

/** The page of denoisers of photographs, which has the place of all else. */
async function photographs(about) {
  const page = await import("./photographs.js");
  await page.begin(about);
  again = page.again;
  copying(page.isUpload);
  document.documentElement.dataset.ready = "yes";
}

/** Where the first image comes from: the test images; of larger pictures one of them; or the visitor. */
function opening({ data: images, plain, whole, files, uploads }) {
  if (whole && uploads) return { source: "upload", photo: files.length ? 0 : -1 };
  return { source: images ? "pick" : plain ? "draw" : "upload" };
}

/** The model that looking into shows most: of those with a code the one with the least error, unless it has collapsed. */
function liveliest(models) {
  const coded = models.filter((one) => one.units && !one.fault), alive = coded.filter((one) => !one.collapsed);
  const error = (one) => one.mse ?? Infinity;
  return (alive.length ? alive : coded).reduce((best, one) => (!best || error(one) < error(best) ? one : best), null)?.name ?? "";
}

/** A text without the line breaks of the file that it comes from; paragraphs stay. */
const plain = (text) => text.trim().replace(/([^\n])\n(?!\n)/g, "$1 ");

/** The study's own words, under its title, until they are folded away. */
function introduce(question) {
  const intro = $("intro"), key = "isthmus-intro";
  if (!question.trim()) return intro.replaceWith($("title"));
  $("question").textContent = plain(question);
  let folded = innerWidth < 740;
  try { folded ||= localStorage.getItem(key) === "folded"; } catch { /* a browser may keep nothing */ }
  intro.open = !folded;
  intro.querySelector("summary").addEventListener("click", () => {
    try { localStorage.setItem(key, intro.open ? "folded" : "open"); } catch { /* then it is open the next time */ }
  });
}

/** What the server has, once its models are read; until then the page says what it waits for. */
async function opened() {
  const slow = setTimeout(() => { $("opening").hidden = false; }, 150);
  try {
    return await server.about();
  } catch (error) {
    banner(error instanceof server.Refused ? `The models cannot be shown: ${error.message}` : "The server does not answer. Is `isthmus explore` still running?");
    const again = setInterval(() => server.about().then(() => { clearInterval(again); location.reload(); }, () => {}), 2000);
    return null;
  } finally { clearTimeout(slow); $("opening").hidden = true; }
}

/** What an address says, less the models, images and levels that are not here. */
function fitted(found, { models: known, noise: kinds, data: images, uploads }) {
  // a picture in the address needs nobody to read it; on the pad it can be shown, if it has one channel
  if (!uploads && found.tab === "upload") found.tab = "";
  if (!uploads && found.source === "upload") Object.assign(found, data.info.shape[0] === 1 && !data.info.whole ? { source: "draw", maker: "draw" } : { source: "pick" });
  if (!kinds[found.kind]) found.kind = "gaussian";
  found.level = nearest(kinds[found.kind].stops, found.level);
  if (images && found.image >= images.n) found.image = 0;
  if (!images && found.source === "pick") found.source = "upload";
  if (found.photo >= data.info.files.length) found.photo = -1;
  if (!images?.labels) found.label = "";
  const whole = (name) => known.some((one) => one.name === name && !one.fault);
  if (!whole(found.model)) found.model = liveliest(known);
  if (!whole(found.look)) found.look = "";
  found.epoch = epochs.fit(found.epoch, { models: known, stored: data.info.stored });
  found.wipe = Math.min(100, found.wipe);
  return found;
}

const nearest = (stops, level) => stops.reduce((best, one) => (Math.abs(one - level) < Math.abs(best - level) ? one : best));

let painted = null, settled = null;

function update() {
  if (!x) return;
  const shows = [models.show(x, what, shape)];  // first: the server computes while the rest is drawn
  if (painted !== x) grey($("clean"), x, shape);
  painted = x;
  write($("clean-says"), state.source === "pick" ? `test ${data.info.whole ? "patch" : "image"} ${named(state.image)}` : what || "no image yet");
  if (state.view === "inside") shows.push(inside.show(middle()), inside.surveyed());
  if (state.view === "space") shows.push(space.show(middle()));
  if (state.view === "compare") compare.show();
  settled = Promise.all(shows);
}

let cut = null;

/** The image as a model takes it: of a larger picture its middle, the same pixels as long as it is the same picture. */
function middle() {
  const [c, h, w] = data.info.shape, [, rows, columns] = shape;
  if (rows === h && columns === w) return x;
  if (cut?.of === x) return cut.x;
  const part = new Float32Array(c * h * w), top = (rows - h) >> 1, left = (columns - w) >> 1;
  for (let i = 0; i < c * h; i++) {
    const from = (Math.floor(i / h) * rows + top + (i % h)) * columns + left;
    part.set(x.subarray(from, from + w), i * w);
  }
  cut = { of: x, x: part };
  return part;
}

function noise(kinds) {
  const kind = $("kind"), level = $("level");
  kind.append(...Object.entries(kinds).map(([value, { title }]) => make("option", { value }, title)));
  const show = () => {
    const { stops, symbol, unit } = kinds[state.kind], at = Math.max(0, stops.indexOf(state.level));
    kind.value = state.kind; level.max = stops.length - 1; level.value = at;
    write($("level-name"), symbol);
    const text = state.level === 0 ? "none" : `${state.level}${unit && ` ${unit}`}`;
    write($("level-says"), text);
    level.setAttribute("aria-valuetext", state.level === 0 ? "no noise" : `${symbol} ${text}`);
  };
  level.addEventListener("input", () => set({ level: kinds[state.kind].stops[Number(level.value)] }));
  kind.addEventListener("change", () => {
    // as far along the new slider as along the old one
    const share = Number(level.value) / Number(level.max), { stops } = kinds[kind.value];
    set({ kind: kind.value, level: stops[Math.round(share * (stops.length - 1))] });
  });
  $("new-draw").addEventListener("click", newDraw);
  const unit = () => {
    level.parentElement.classList.toggle("wide", kinds[state.kind].unit.length > 2);
    $("falls").hidden = !falls(kinds[state.kind].marks);
  };
  on("kind level", show); on("kind", unit);
  show(); unit();
}

const newDraw = () => { if (state.level === 0) toast("There is no noise yet: turn it up first."); set({ draw: state.draw + 1 }); };

function keys() {
  const views = ["models", "inside", "space", "compare"];
  const louder = (by) => {
    const { stops } = data.info.noise[state.kind], at = stops.indexOf(state.level), far = stops.length > 50 ? 5 : 1;
    set({ level: stops[Math.max(0, Math.min(stops.length - 1, at + by * far))] });
  };
  const doing = {
    ArrowLeft: () => input.step(-1), ArrowRight: () => input.step(1), "+": () => louder(1), "=": () => louder(1), "-": () => louder(-1), "−": () => louder(-1),
    e: epochs.toggle, n: newDraw, 0: () => set({ level: 0 }), p: () => data.info.data && input.unfold("pick"), d: () => !$("tab-draw").hidden && input.unfold("draw"), u: () => data.info.uploads && input.unfold("upload"),
    "?": () => $("keys").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const own = event.key.startsWith("Arrow") || event.key === " ";  // what a slider or a box needs itself
    if (event.target.closest('input[type="number"], select, textarea, dialog[open]') || event.altKey || (own && event.target.closest("input"))) return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key !== "z") return;
      event.preventDefault();
      return state.view === "inside" && state.code ? inside.undo() : input.undoStroke();
    }
    if (event.target.closest('[role="tablist"], canvas, .scroll') && event.key.startsWith("Arrow")) return;
    const view = views[Number(event.key) - 1];
    if (view) set({ view });
    else (doing[event.key] ?? doing[event.key.toLowerCase()] ?? (() => {}))();
  });
  // a list that was chosen from by the mouse gives the keys back
  let pointed = null;
  document.addEventListener("pointerdown", (event) => { pointed = event.target.closest?.("select"); });
  document.addEventListener("change", (event) => { if (event.target === pointed) pointed.blur(); });
  $("show-keys").addEventListener("click", () => $("keys").showModal());
  copying(() => state.source === "upload" && state.photo < 0 && !state.own && x && !isBlank(x));
}

/** Set up the copying of the link. `isUpload` says whether the picture is one that no link holds. */
function copying(isUpload) {
  $("copy-link").addEventListener("click", async () => {
    tell();
    try { await navigator.clipboard.writeText(location.href); toast(`Copied the link to this view.${opens(isUpload())}`); }
    catch { toast(`The address bar has the link to this view.${opens(isUpload())}`); }
  });
}

/** For whom a link works: an address of this machine means another one elsewhere. */
function opens(isUpload) {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const lost = isUpload ? " Your picture itself is not in it." : "";
  const file = location.protocol === "file:" ? " Where this file lies elsewhere, add the part that begins with # to its address there." : "";
  return `${file}${local ? " It opens on this machine while isthmus explore is running. If that runs elsewhere, add the part that begins with # to the address there." : ""}${lost}`;
}

function banner(text) { $("banner").textContent = text; $("banner").hidden = !text; }

let lost = false;
server.onReach((answers) => {
  if (answers || lost) return;
  lost = true;
  banner("The server does not answer. Start `isthmus explore` again: this page continues by itself when it is back.");
  setTimeout(look, 2000);
});

/** Look whether the server is back. If it shows the same models the page goes on, else it begins anew. */
async function look() {
  let about;
  try { about = await server.about(); } catch { return setTimeout(look, 2000); }
  if (JSON.stringify(about) !== JSON.stringify(data.info)) { tell(); return location.reload(); }
  lost = false;
  banner("");
  again();
}

begin();
