// Numbers into pixels. Pictures have one grey scale, 0 black and 1 white; signed numbers have one diverging scale.

const STOPS = [[5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247],
  [253, 219, 199], [244, 165, 130], [214, 96, 77], [178, 24, 43], [103, 0, 31]];
const DIVERGING = new Uint32Array(512);
for (let i = 0; i < 512; i++) {
  const at = (i / 511) * (STOPS.length - 1), low = Math.min(Math.floor(at), STOPS.length - 2), share = at - low;
  const [r, g, b] = STOPS[low].map((value, c) => Math.round(value + share * (STOPS[low + 1][c] - value)));
  DIVERGING[i] = (255 << 24) | (b << 16) | (g << 8) | r;
}
const GREY = new Uint32Array(256);
for (let i = 0; i < 256; i++) GREY[i] = (255 << 24) | (i << 16) | (i << 8) | i;

const of = (value, range) => DIVERGING[Math.max(0, Math.min(511, Math.round(255.5 + (255.5 * value) / range)))];
const byte = (value) => (value <= 0 ? 0 : value >= 1 ? 255 : Math.round(255 * value));

function page(canvas, w, h) {
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; canvas.held = null; }
  canvas.context ??= canvas.getContext("2d");
  if (!canvas.held) {
    canvas.held = canvas.context.createImageData(w, h);
    canvas.words = new Uint32Array(canvas.held.data.buffer);
  }
  return canvas.words;
}

/** An image, (c, h, w) in [0, 1], as it is. */
export function grey(canvas, x, [c, h, w]) {
  const words = page(canvas, w, h), n = h * w;
  if (c === 3) for (let i = 0; i < n; i++) words[i] = (255 << 24) | (byte(x[i + 2 * n]) << 16) | (byte(x[i + n]) << 8) | byte(x[i]);
  else for (let i = 0; i < n; i++) words[i] = GREY[byte(x[i])];
  canvas.context.putImageData(canvas.held, 0, 0);
}

/** Signed numbers, (c, h, w): blue below zero, white at zero, red above; ±range are the ends. Channels are averaged. */
export function signed(canvas, x, [c, h, w], range) {
  const words = page(canvas, w, h), n = h * w;
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < c; j++) sum += x[i + j * n];
    words[i] = of(sum / c, range);
  }
  canvas.context.putImageData(canvas.held, 0, 0);
}

/** Sizes of errors, (c, h, w), over a picture: clear where there is none, yellow, then red at `range` and beyond. Channels are averaged. */
export function heat(canvas, x, [c, h, w], range) {
  const words = page(canvas, w, h), n = h * w;
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < c; j++) sum += Math.abs(x[i + j * n]);
    words[i] = hot(sum / c / range);
  }
  canvas.context.putImageData(canvas.held, 0, 0);
}

function hot(share) {
  const at = Math.min(1, share), alpha = Math.round(235 * Math.min(1, 1.6 * at));
  return ((alpha << 24) | (Math.round(60 * (1 - at)) << 16) | (Math.round(215 * (1 - at) + 20 * at) << 8) | 235) >>> 0;
}

export const difference = (a, b) => a.map((value, i) => value - b[i]);
export const reaches = (x) => x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** The colour of a signed number, for drawings. */
export function colour(value, range) {
  const word = of(value, range);
  return `rgb(${word & 255} ${(word >> 8) & 255} ${(word >> 16) & 255})`;
}

/** A bar of the diverging scale with its ends written beside it. */
export const scaleBar = (range) => barOf(signed, (i) => i / 63.5 - 1, (most) => [`−${short(most)}`, `+${short(most)}`], range);

/** The same of the heat of errors. */
export const heatBar = (range) => barOf(heat, (i) => i / 127, (most) => ["0", short(most)], range);

function barOf(paint, value, ends, range) {
  const bar = document.createElement("span"), canvas = document.createElement("canvas");
  const [low, high] = [document.createElement("span"), document.createElement("span")];
  bar.className = "scale";
  canvas.setAttribute("aria-hidden", "true");
  paint(canvas, Float32Array.from({ length: 128 }, (_, i) => value(i)), [1, 1, 128], 1);
  bar.append(low, canvas, high);
  bar.says = (most) => { [low.textContent, high.textContent] = ends(most); };
  bar.says(range);
  return bar;
}

const short = (value) => String(Number(value.toPrecision(3)));

const formats = new Map();  // to make one takes longer than all else that a number needs
const format = (options) => {
  const key = JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat("en", options));
  return formats.get(key);
};

/** A number in three figures. */
export function figure(value, figures = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-4) return value.toExponential(figures - 1).replaceAll("-", "−");
  return format({ maximumSignificantDigits: figures, minimumSignificantDigits: size >= 1 ? undefined : figures, useGrouping: false }).format(value).replace("-", "−");
}

/** A drawing as wide as its place, sharp on every screen; `draw(context, width, height)` in CSS pixels. */
export function plot(canvas, ratio, draw) {
  const context = canvas.getContext("2d");
  canvas.redraw = () => {
    const width = canvas.clientWidth;
    if (!width) return;
    const height = Math.round(typeof ratio === "function" ? ratio(width) : width * ratio), sharp = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * sharp) || canvas.height !== Math.round(height * sharp)) {
      canvas.width = Math.round(width * sharp); canvas.height = Math.round(height * sharp);
      canvas.style.height = `${height}px`;
    }
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
  };
  new ResizeObserver(() => canvas.redraw()).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => canvas.redraw());
  return canvas.redraw;
}

export const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// ten colours that people with colour-blindness tell apart as well as ten can be, on light and on dark
export const PALETTE = ["#3b78c4", "#d9782d", "#3f9e57", "#c9423f", "#8d68b8", "#93624f", "#d66fb0", "#808890", "#9a911a", "#2a9baa"];
