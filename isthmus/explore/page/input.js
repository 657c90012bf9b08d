// Where the image comes from: the data set's strip, the drawing pad, a file. It ends in `given(pixels)`.

import { usual } from "./closer.js";
import { $, make, rove, tabs, toast } from "./dom.js";
import { info, pixels } from "./data.js";
import { grey } from "./paint.js";
import { ask, latest, refusals } from "./server.js";
import { bytes, floats, on, pack, set, state, unpackBytes } from "./state.js";
import { HINT, receive, send } from "./upload.js";
import { named } from "./words.js";

const COUNT = 24;
const LONGEST = 60000;  // letters of an image in an address
let given, shown = [], first = 0, held = null;
const made = new Map();  // what was drawn or uploaded here, as addresses have it → {name, says}; what is not in it a link brought

/** Set the input up; `take(pixels, name, shape)` is called with every image that is chosen, float32 (c, h, w). */
export function begin(take) {
  given = take;
  const show = tabs(document.querySelector(".source [role=tablist]"), unfold);
  $("fold").addEventListener("click", () => fold(!document.body.classList.contains("folded")));
  // on a phone what the models make of the image stands below, and would not be seen
  fold(state.source === "pick" || Boolean(state.own) || state.photo >= 0);
  on("source tab", () => show(state.tab || state.source));
  on("source image own maker photo", use);
  on("image", reveal);
  on("label", () => { first = 0; strip(); });
  if (!info.data) {
    $("tab-pick").disabled = true;
    $("tab-pick").title = "No test images are known for this model: name them after the model when you start isthmus explore.";
  } else chips();
  // what is drawn is one picture of one channel, scaled like the data
  $("tab-draw").hidden = info.whole || info.shape[0] !== 1;
  if (!digits()) $("pad-says").textContent = "Draw here";
  pad();
  if (info.uploads) upload();
  show(state.tab || state.source);
  return use();
}

/** Fold the choice of an image away, or show it. It is seen on a phone alone: elsewhere there is room for it. */
function fold(away) {
  document.body.classList.toggle("folded", away);
  $("fold").textContent = away ? "Show" : "Hide"; $("fold").setAttribute("aria-expanded", !away);
}

export const unfold = (tab) => { fold(false); open(tab); };

/** Ask once more for what did not come while the server was away. */
export function again() {
  if (info.data) strip();
  use();
}

/** Open a tab. That of uploads leaves the image as it is until there is a file. */
const open = (tab) => set(tab === "upload" && !(state.own && state.maker === "upload") && !held && state.photo < 0 ? { tab } : { source: tab });

/** Whether the images are known, or likely, to be digits. */
export const digits = () => info.plain && (!info.data || (info.data.labels !== null && !info.data.label_names.length));

async function use() {
  const n = info.shape.reduce((a, b) => a * b);
  says(HINT);
  $("photo").value = state.source === "upload" && state.photo >= 0 ? state.photo : "";
  if (state.source === "pick") {
    if (!info.data) return;
    if (state.image >= info.data.n) return set({ image: 0 });
    mark();
    const wanted = state.image, [x] = await pixels([wanted]);
    if (wanted === state.image && state.source === "pick") given(x, `test image no. ${wanted}`);
    return;
  }
  if (state.source === "draw" && state.maker === "upload" && redraw()) return;
  if (state.source === "upload" && state.photo >= 0) return photograph(state.photo);
  if (state.source === "upload" && !state.own && held) { says(held.says); return given(held.x, held.name, held.shape); }
  const own = state.source === "draw" && state.maker === "upload" ? null : state.own && unpackBytes(state.own, n);
  if (own && own.some((value) => value) && state.maker === "draw") restore(own);
  if (!own) return given(new Float32Array(n), "");
  const known = made.get(state.own);
  if (known?.says) says(known.says);
  const blank = state.maker !== "upload" && !own.some((value) => value);  // a pad that was cleared
  given(floats(own), blank ? "" : known?.name ?? (state.maker === "draw" ? "a drawing, from the link" : "a picture, from the link"));
}

const says = (text) => { $("upload-says").textContent = text; };

/** Keep an image of the visitor's: in the address, unless it is too long for one, or a file has more than eight bits. */
function keepOwn(x, maker, { name, says: words = "", shape = info.shape }) {
  const levels = x.length < LONGEST && String(shape) === String(info.shape) ? bytes(x) : null;
  const own = levels && (maker === "draw" || floats(levels).every((value, i) => value === x[i])) ? pack(levels) : "";
  held = maker === "upload" && (!own || own.length > LONGEST) ? { x, shape, name, says: words } : null;
  if (!held) made.set(own, { name, says: words });
  const before = state.own + state.source + state.photo;
  set({ own: held ? "" : own, maker, source: maker, photo: -1 });
  if (held && before === state.own + state.source + state.photo) use();  // another large picture: the address is as it was
}

// --- pick ---

function chips() {
  const { labels } = info.data;
  if (labels) {
    const known = [...new Set(labels)].sort((a, b) => a - b);
    const chip = (value, text) => make("button", { type: "button", "data-label": value, "aria-pressed": String(state.label === value), onclick: () => set({ label: value }) }, text);
    $("labels").append(chip("", "All"), ...known.map((one) => chip(String(one), String(info.data.label_names[one] ?? one))));
    on("label", () => { for (const one of $("labels").children) one.setAttribute("aria-pressed", one.dataset.label === state.label); });
  }
  for (let i = 0; i < COUNT; i++) {
    const canvas = make("canvas", { class: "pix", "aria-hidden": "true" });
    $("strip").append(make("button", { type: "button", onclick: () => set({ image: shown[i] }) }, canvas));
  }
  $("strip").addEventListener("keydown", (event) => {
    const columns = getComputedStyle($("strip")).gridTemplateColumns.split(" ").length, by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (!by) return;
    event.preventDefault(); event.stopPropagation();
    if (state.source === "pick") step(by); else set({ source: "pick", image: shown[0] });
  });
  rove($("labels"));
  $("strip-back").addEventListener("click", () => turn(-1));
  $("strip-on").addEventListener("click", () => turn(1));
  first = Math.max(0, Math.floor(candidates().indexOf(state.image) / COUNT) * COUNT);
  strip();
}

function candidates() {
  const all = Array.from({ length: info.data.n }, (_, i) => i);
  return state.label === "" ? all : all.filter((i) => String(info.data.labels[i]) === state.label);
}

function turn(pages) {
  const n = candidates().length;
  first = Math.max(0, Math.min(first + pages * COUNT, Math.floor((n - 1) / COUNT) * COUNT));
  strip();
}

async function strip() {
  const all = candidates(), wanted = all.slice(first, first + COUNT);
  shown = wanted;
  $("strip-back").disabled = first === 0;
  $("strip-on").disabled = first + COUNT >= all.length;
  $("strip-says").textContent = all.length ? `${first + 1}–${first + wanted.length} of ${all.length.toLocaleString("en")}` : "none";
  const found = await pixels(wanted);
  if (shown !== wanted) return;
  [...$("strip").children].forEach((button, i) => {
    button.style.visibility = i < wanted.length ? "" : "hidden";
    if (i >= wanted.length) return;
    grey(button.firstChild, found[i], info.shape);
    button.setAttribute("aria-label", `Image ${named(wanted[i])}`);
  });
  mark();
}

/** Press the image that is shown; it is the one stop of the strip, and has the focus if another had it. */
function mark() {
  const buttons = [...$("strip").children], at = Math.max(0, shown.indexOf(state.image)), focused = buttons.includes(document.activeElement);
  buttons.forEach((button, i) => { button.setAttribute("aria-pressed", shown[i] === state.image); button.tabIndex = i === at ? 0 : -1; });
  if (focused && shown[at] === state.image) buttons[at].focus();
}

/** The image before or after, among those with the chosen label. */
export function step(by) {
  if (state.source !== "pick" || !info.data) return;
  const all = candidates();
  if (!all.length) return;
  const here = all.indexOf(state.image), place = here < 0 ? 0 : (here + by + 10 * all.length) % all.length;
  set({ image: all[place] });
}

/** Turn the strip to the image that was picked elsewhere, among all if the chosen label is not its own. */
function reveal() {
  if (!info.data) return;
  if (!candidates().includes(state.image)) set({ label: "" });
  const place = candidates().indexOf(state.image);
  if (place >= first && place < first + COUNT) return;
  first = Math.floor(place / COUNT) * COUNT;
  strip();
}

// --- draw ---

let undo = () => {}, redraw = () => false, restore = () => {};
export const undoStroke = () => undo();

function pad() {
  const canvas = $("pad"), context = canvas.getContext("2d", { willReadFrequently: true }), size = canvas.width;
  let strokes = [], now = null, erases = false, at = [size / 2, size / 2], below = null, answered = false;
  const send = latest(async () => {
    const data = context.getImageData(0, 0, size, size).data, ink = new Uint8Array(size * size);
    for (let i = 0; i < ink.length; i++) ink[i] = data[4 * i];
    try {
      const { x } = await ask("drawing", {}, ink);
      answered = true;  // the pad may have been cleared meanwhile
      if (state.source === "draw") keepOwn(x.data, "draw", { name: "your drawing" });
    } catch (error) { refusals(toast)(error); } finally { answered = false; }
  });
  const draw = () => {
    $("pad-says").hidden = strokes.length > 0 || below !== null;
    context.fillStyle = "#000"; context.fillRect(0, 0, size, size);
    if (below) context.drawImage(below, 0, 0, size, size);
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      context.strokeStyle = stroke.erases ? "#000" : "#fff"; context.lineWidth = (stroke.erases ? 1.6 : 1) * Math.max(22, 290 / Math.max(...info.shape));  // about a pixel and a half
      context.beginPath(); context.moveTo(...stroke.points[0]);
      for (const point of stroke.points) context.lineTo(...point);
      context.stroke();
    }
    if (document.activeElement === canvas && canvas.matches(":focus-visible")) {
      context.strokeStyle = "#7abdf7"; context.lineWidth = 2; context.strokeRect(at[0] - 6, at[1] - 6, 12, 12);
    }
  };
  const changed = () => { draw(); send(); };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.x) * size) / box.width, ((event.clientY - box.y) * size) / box.height];
  };
  const start = (point, pointer, erases) => { now = { erases, pointer, points: [point, [point[0] + .01, point[1]]] }; strokes.push(now); changed(); };
  canvas.addEventListener("pointerdown", (event) => {
    if (now || (event.button > 0 && event.button !== 5)) return;  // one finger draws: a second, or a palm, does not
    canvas.setPointerCapture(event.pointerId);
    start(place(event), event.pointerId, erases || Boolean(event.buttons & 32));  // 32: the other end of a pen
  });
  canvas.addEventListener("pointermove", (event) => {
    if (now?.pointer !== event.pointerId) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) now.points.push(place(one));
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => { if (now?.pointer === event.pointerId) now = null; });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }[event.key];
    if (!step) return;
    event.preventDefault(); event.stopPropagation();
    const before = at;
    at = at.map((value, i) => Math.max(4, Math.min(size - 4, value + step[i])));
    if (event.shiftKey) { if (!now) start(before, null, erases); now.points.push(at); changed(); } else { now = null; draw(); }
  });
  canvas.addEventListener("keyup", (event) => { if (event.key === "Shift") now = null; });
  canvas.addEventListener("focus", draw);
  canvas.addEventListener("blur", () => { now = null; draw(); });
  const tools = () => { $("pen").setAttribute("aria-pressed", !erases); $("eraser").setAttribute("aria-pressed", erases); };
  $("pen").addEventListener("click", () => { erases = false; tools(); });
  $("eraser").addEventListener("click", () => { erases = true; tools(); });
  undo = () => { if (strokes.pop()) changed(); else if (below) { below = null; changed(); } };
  /** Hand out the drawing on the pad again, if there is one. */
  redraw = () => { if (strokes.length || below) send(); return strokes.length > 0 || below !== null; };
  /** Show a drawing of an address, whose strokes are not known. What comes of the pad itself is not put on it again. */
  restore = (own) => {
    if (answered || strokes.length || below) return;
    below = document.createElement("canvas");
    grey(below, floats(own), info.shape);
    draw();
  };
  $("undo").addEventListener("click", undo);
  $("clear").addEventListener("click", () => { if (strokes.length || below) { strokes = []; below = null; changed(); } });
  draw();
}

// --- upload ---

const take = (file) => {
  unfold("upload");
  return send(file, says, ({ x, words }, name) => {
    keepOwn(x.data, "upload", { name: shownAs(name, words), says: `${name}: ${words.said}.`, shape: x.shape });
    if (!state.look) set({ look: usual() });  // one's own picture is looked at closely
    says(`${name}: ${words.said}.`);  // also where it is the picture that was shown before
  });
};

/** A file's name; of a picture that was made smaller this too, for its errors are not those of the file. */
const shownAs = (name, { said }) => [name, ...(said.match(/scaled to \d+×\d+/) ?? [])].join(", ");

/** One of the pictures that the data's patches were cut from. */
const photograph = latest(async (file) => {
  if (held?.file !== file) {
    try {
      const { x, words } = await ask("picture", { file });
      if (state.photo !== file) return;
      held = { x: x.data, shape: x.shape, file, name: shownAs(info.files[file], words), says: `${info.files[file]}: ${words.said}.` };
    } catch (error) { return refusals((text) => { says(`${text}.`); given(new Float32Array(info.shape.reduce((a, b) => a * b)), ""); })(error); }
  }
  says(held.says);
  given(held.x, held.name, held.shape);
});

function upload() {
  $("photos").hidden = !info.files.length;
  $("photo").append(...info.files.map((name, i) => make("option", { value: i }, name)));
  $("photo").addEventListener("change", () => { if ($("photo").value !== "") set({ source: "upload", photo: Number($("photo").value), own: "", maker: "" }); });
  receive(take);
}


