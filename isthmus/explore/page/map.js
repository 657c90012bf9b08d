// The map of the codes: where each test image lies, and what is marked on it.

import { info } from "./data.js";
import { ink, PALETTE } from "./paint.js";
import { state } from "./state.js";

/** found: the server's answer, {points (n, 2), and of a plane its centre and axes}; marks, in the map's own numbers. */
export const held = { found: null };
export const marks = { cursor: null, line: null, trail: [], here: null, clean: null };
let fit = null, base = null;

/** Another map, or none: what was marked on the former one means nothing here. */
export function begin(found) {
  held.found = found; fit = base = null;
  Object.assign(marks, { cursor: null, line: null, trail: [], here: null, clean: null });
  if (!found?.centre) return;
  // the codes' mean: of codes of two numbers, which are their own map, the centre is 0
  const { points, centre } = found, n = points.shape[0];
  found.mean = centre.data.length > 2 ? centre.data : [0, 1].map((axis) => points.data.reduce((sum, value, i) => sum + (i % 2 === axis ? value : 0), 0) / n);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { base = null; });

export const dims = () => held.found.centre?.data.length;
export const tint = (label) => PALETTE[((label % PALETTE.length) + PALETTE.length) % PALETTE.length];

function frameOf(width, height) {
  if (fit?.width === width && fit.height === height) return fit;
  const p = held.found.points.data, n = p.length / 2, edge = 0.04 * Math.min(width, height) + 6;
  const sorted = [0, 1].map((axis) => Float32Array.from({ length: n }, (_, i) => p[2 * i + axis]).sort());
  const ends = sorted.map((one) => [one[0], one[n - 1]]), spans = ends.map(([a, b]) => b - a || 1), full = [width - 2 * edge, height - 2 * edge];
  const own = dims() === 2;  // two numbers with meanings of their own; else one scale for both
  const scale = own ? spans.map((span, i) => full[i] / span) : Array(2).fill(Math.min(full[0] / spans[0], full[1] / spans[1]));
  const middle = ends.map(([a, b]) => (a + b) / 2);
  fit = { width, height, ends, to: (x, y) => [width / 2 + (x - middle[0]) * scale[0], height / 2 - (y - middle[1]) * scale[1]], back: (x, y) => [middle[0] + (x - width / 2) / scale[0], middle[1] - (y - height / 2) / scale[1]], spans };
  return fit;
}

export const spans = () => fit.spans;
/** Whether a point lies among the test images, and so on the canvas. */
export const holds = (point) => point.every((value, axis) => value >= fit.ends[axis][0] && value <= fit.ends[axis][1]);
/** From the canvas to the map, once it was drawn. */
export const back = ([x, y]) => fit.back(x, y);
export const isDrawn = () => Boolean(held.found && fit);

export const pointOf = (i) => [held.found.points.data[2 * i], held.found.points.data[2 * i + 1]];

/** The test image that lies nearest. */
export function closest([x, y]) {
  const p = held.found.points.data;
  let best = 0, least = Infinity;
  for (let i = 0; i < p.length / 2; i++) {
    const distance = (p[2 * i] - x) ** 2 + (p[2 * i + 1] - y) ** 2;
    if (distance < least) { least = distance; best = i; }
  }
  return best;
}

/** From the plane to a code, and back. */
export const lift = ([a, b]) => Float32Array.from(held.found.centre.data, (value, i) => value + a * held.found.axes.data[i] + b * held.found.axes.data[dims() + i]);
export const project = (z) => [0, 1].map((axis) => z.reduce((sum, value, i) => sum + (value - held.found.centre.data[i]) * held.found.axes.data[axis * dims() + i], 0));

function dots(width, height) {
  const sharp = window.devicePixelRatio || 1, wide = Math.round(width * sharp), high = Math.round(height * sharp), { to } = frameOf(width, height);
  if (base?.width === wide && base.height === high) return base;
  base = new OffscreenCanvas(wide, high);
  const p = held.found.points.data, below = base.getContext("2d"), r = Math.max(2.4, Math.min(4.5, 110 / Math.sqrt(p.length))) * Math.sqrt(width / 800);
  below.scale(sharp, sharp); below.globalAlpha = 0.8;
  for (let i = 0; i < p.length / 2; i++) {
    below.fillStyle = info.data.labels ? tint(info.data.labels[i]) : ink("accent");
    below.beginPath(); below.arc(...to(p[2 * i], p[2 * i + 1]), r, 0, 7); below.fill();
  }
  return base;
}

export function draw(context, width, height) {
  if (!held.found) return;
  const { to } = frameOf(width, height), { cursor, line, trail, here, clean } = marks;
  context.drawImage(dots(width, height), 0, 0, width, height);
  const ring = (point, radius, style) => { context.beginPath(); context.arc(...to(...point), radius, 0, 7); context.lineWidth = 5; context.strokeStyle = ink("card"); context.stroke(); context.lineWidth = 2.5; context.strokeStyle = style; context.stroke(); };
  const path = (points, style, dash = []) => { context.beginPath(); points.forEach((point, i) => context[i ? "lineTo" : "moveTo"](...to(...point))); context.setLineDash(dash); context.lineWidth = dash.length || trail.length ? 1.5 : 2.5; context.strokeStyle = style; context.stroke(); context.setLineDash([]); };
  if (line) { path(line, ink("ink")); for (const end of line) ring(end, 7, ink("ink")); }
  if (trail.length) {
    // what was walked first fades
    trail.slice(1).forEach((point, i) => { context.globalAlpha = (i + 2) / trail.length; path([trail[i], point], ink("ink")); });
    context.globalAlpha = 1;
    const [x, y] = to(...trail.at(-1));
    context.beginPath(); context.arc(x, y, 6, 0, 7); context.fillStyle = ink("hand"); context.fill(); context.lineWidth = 2; context.strokeStyle = ink("card"); context.stroke();
  }
  if (here && clean) path([clean, here], ink("warn"), [3, 3]);
  if (clean) ring(clean, 5, ink("warn"));
  if (here) { ring(here, 8, ink("warn")); name(context, to(...here), state.level !== 0 && held.found.centre ? "this image, with its noise" : "this image", width); }
  if (cursor) ring(cursor, 4, ink("accent"));
}

/** A name beside a point, on a narrow map none: it would hide more than it says, and the legend has it. Where there is no room, above it and further left. */
function name(context, [x, y], text, width) {
  if (width < 500) return;
  context.font = "600 13px system-ui, sans-serif"; context.textBaseline = "bottom"; context.lineWidth = 4; context.strokeStyle = ink("card"); context.fillStyle = ink("ink");
  const from = Math.max(4, Math.min(x + 11, width - context.measureText(text).width - 4)), up = from < x + 11 ? 12 : 3;
  for (const write of ["strokeText", "fillText"]) context[write](text, from, y - up);
}
