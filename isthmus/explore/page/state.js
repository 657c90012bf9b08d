// What is shown, all of it in the address: a link restores the exact view.

const DEFAULTS = {
  view: "models", source: "pick", tab: "", image: 0, own: "", maker: "", photo: -1, label: "", kind: "gaussian", level: 0, draw: 0,
  models: "", sort: "study", range: 0.5, model: "", unit: -1, code: "", method: "pca", from: 0, to: 1, axis: "linear", line: "", blind: 0, wipe: 50, sample: 0,
  look: "", heat: 1, panel: "", scene: 0, epoch: -1, area: "", behind: "decoded",
};
export const MOST_DRAWS = 2 ** 31 - 1;  // as the server has it
export const state = { ...DEFAULTS };
/** What an address need not say: what this server has decides it. */
export const usually = (changes) => Object.assign(DEFAULTS, changes);
/** Whether there is no image yet: an empty pad, or no file. */
export const isBlank = (x) => state.source !== "pick" && x.every((value) => value === 0);
export const choices = {
  view: ["models", "inside", "space", "compare"], source: ["pick", "draw", "upload"], tab: ["", "upload"], maker: ["", "draw", "upload"], method: ["pca", "tsne"],
  sort: ["study", "error", "name", "code"], range: [0.25, 0.5, 1], axis: ["linear", "log"],
  panel: ["", "hardest", "samples", "walk"], behind: ["decoded", "nearest", "none"], heat: [0, 1],
};

const listeners = [];
/** Call `listen(changed)` whenever one of the keys changes; `changed` is a set of keys. */
export const on = (keys, listen) => listeners.push([keys.split(" "), listen]);

/** Whether what changed has the open view shown anew, by itself. */
export const isAnew = (changed) => ["view", "model", "method", "kind", "level", "draw"].some((key) => changed.has(key));

/** Change what is shown. Another view is a step that the browser's Back undoes, unless the browser itself asked for it. */
export function set(changes, step = true) {
  // an image that is taken from somewhere opens the tab that it comes from; `tab` is another one, open while it stays
  if ("source" in changes) changes = { tab: "", ...changes };
  const changed = new Set(Object.keys(changes).filter((key) => state[key] !== changes[key]));
  if (!changed.size) return;
  const away = step && changed.has("view");
  if (away) tell();
  Object.assign(state, changes);
  if (away) history.pushState(null, "", address());
  else remember();
  for (const [keys, listen] of listeners) if (keys.some((key) => changed.has(key))) listen(changed);
}

let waiting;
function remember() {  // a browser refuses to be told of every pixel of a slider, and reads the page's icon anew each time
  clearTimeout(waiting);
  waiting = setTimeout(tell, 300);
}

/** Have the address bar say now what is shown. */
export function tell() {
  clearTimeout(waiting);
  history.replaceState(null, "", address());
}

/** Whether the line from one image to another was asked for. */
export const isLined = () => state.from !== DEFAULTS.from || state.to !== DEFAULTS.to;
export const noLine = { from: DEFAULTS.from, to: DEFAULTS.to };

/** The address of what is shown. */
export const address = () => addressOf(state);

/** The address of a view: what is not said is as it usually is. */
export function addressOf(values) {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value !== DEFAULTS[key]) words.set(key, value);
  return `#${words}`;
}

/** What an address says; what it says wrongly is left as it usually is. */
export function read(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, "")), found = { ...DEFAULTS };
  for (const [key, usual] of Object.entries(DEFAULTS)) {
    if (!words.has(key)) continue;
    const value = typeof usual === "number" ? Number(words.get(key)) : words.get(key);
    if (typeof usual === "number" && !(Number.isFinite(value) && value >= 0)) continue;
    if (choices[key] && !choices[key].includes(value)) continue;
    found[key] = value;
  }
  for (const key of ["draw", "sample"]) if (found[key] > MOST_DRAWS) found[key] = DEFAULTS[key];
  for (const key of ["image", "photo", "draw", "unit", "from", "to", "sample", "scene", "epoch"]) found[key] = Math.floor(found[key]);
  return found;
}

// --- pixels in an address: bytes, runs of zeros as (0, length), base64 ---

export function pack(bytes) {
  const out = [];
  for (let i = 0; i < bytes.length;) {
    if (bytes[i]) { out.push(bytes[i++]); continue; }
    let run = 0;
    while (run < 255 && i < bytes.length && bytes[i] === 0) { run++; i++; }
    out.push(0, run);
  }
  let text = "";
  for (const byte of out) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The bytes, or null if the text does not hold `length` of them. */
export function unpackBytes(text, length) {
  let raw;
  try { raw = atob(text.replaceAll("-", "+").replaceAll("_", "/")); } catch { return null; }
  const out = [];
  for (let i = 0; i < raw.length && out.length <= length; i++) {
    const byte = raw.charCodeAt(i);
    if (byte) out.push(byte);
    else for (let run = raw.charCodeAt(++i) || 0; run > 0; run--) out.push(0);
  }
  return out.length === length ? Uint8Array.from(out) : null;
}

const SCALE = Math.fround(1 / 255);
export const floats = (bytes) => Float32Array.from(bytes, (value) => Math.fround(value * SCALE));
export const bytes = (x) => Uint8Array.from(x, (value) => Math.round(255 * Math.min(1, Math.max(0, value))));
