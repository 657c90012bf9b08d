// The map of the codes: where each test image lies, and what is marked on it.

import { info } from "./data.js";
import { ink, PALETTE } from "./paint.js";
import { state } from "./state.js";

/** found: the server's answer, {points (n, 2), and of a plane its centre and axes}; marks, in the map's own numbers.

    tiles: pictures behind the points, {box, canvas}; images: those in the place of points, {image, canvas}; way: how
    far somebody has gone from one end of the line to the other, {share, canvas}. */
export const held = { found: null };
const NOTHING = { cursor: null, line: null, trail: [], here: null, clean: null, tiles: [], images: [], way: null };
export const marks = { ...NOTHING };
const OUTLINED = 1000;  // points: more would be all outlines
const CLOSEST = 40;  // times as large as the whole map
let fit = null, base = null;

/** Another map, or none: what was marked on the former one means nothing here. */
export function begin(found) {
  held.found = found; fit = base = null;
  Object.assign(marks, NOTHING, { trail: [], tiles: [], images: [] });
  if (!found?.centre) return;
  // the codes' mean: of codes of two numbers, which are their own map, the centre is 0
  const { points, centre } = found, n = points.shape[0];
  found.mean = centre.data.length > 2 ? centre.data : [0, 1].map((axis) => points.data.reduce((sum, value, i) => sum + (i % 2 === axis ? value : 0), 0) / n);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { base = null; });

export const dims = () => held.found.centre?.data.length;
export const tint = (label) => PALETTE[((label % PALETTE.length) + PALETTE.length) % PALETTE.length];

/** The part that is shown: its middle, in the map's numbers, and how many times it is enlarged; null for all of it. */
function area() {
  const [x, y, zoom] = state.area.split(",").map(Number);
  return state.area && [x, y, zoom].every(Number.isFinite) && zoom > 1 ? { middle: [x, y], zoom: Math.min(zoom, CLOSEST) } : null;
}

/** What an address says of a part of the map. */
const said = (middle, zoom) => (zoom <= 1.001 ? "" : [...middle, Math.min(zoom, CLOSEST)].map((value) => Number(value.toPrecision(5))).join());

/** Enlarge by a factor, so that a point stays where it is; without one the middle. */
export function zoomed(factor, point = null) {
  const now = fit.zoom, zoom = Math.max(1, Math.min(CLOSEST, now * factor)), about = point ?? fit.middle;
  return said(about.map((value, i) => value + (fit.middle[i] - value) * (now / zoom)), zoom);
}

/** Have a point in the middle. */
export const centred = (point) => said(point, fit.zoom);

/** Move what is shown by so many pixels. */
export function moved(x, y) {
  const [a, b] = fit.back(fit.width / 2 - x, fit.height / 2 - y);
  return said([a, b], fit.zoom);
}

export const zoom = () => fit?.zoom ?? 1;
export const size = () => fit;
export const isInSight = ([x, y]) => { const [a, b] = fit.to(x, y); return a >= 0 && b >= 0 && a <= fit.width && b <= fit.height; };
/** The test images in sight. */
export const inSight = () => Array.from({ length: held.found.points.shape[0] }, (_, i) => i).filter((i) => isInSight(pointOf(i)));

function frameOf(width, height) {
  if (fit?.width === width && fit.height === height && fit.area === state.area) return fit;
  base = null;
  const p = held.found.points.data, n = p.length / 2, edge = 0.04 * Math.min(width, height) + 6;
  const sorted = [0, 1].map((axis) => Float32Array.from({ length: n }, (_, i) => p[2 * i + axis]).sort());
  const ends = sorted.map((one) => [one[0], one[n - 1]]), spans = ends.map(([a, b]) => b - a || 1), full = [width - 2 * edge, height - 2 * edge];
  const own = dims() === 2;  // two numbers with meanings of their own; else one scale for both
  const scale = own ? spans.map((span, i) => full[i] / span) : Array(2).fill(Math.min(full[0] / spans[0], full[1] / spans[1]));
  const part = area(), middle = part?.middle ?? ends.map(([a, b]) => (a + b) / 2), zoom = part?.zoom ?? 1;
  for (const axis of [0, 1]) scale[axis] *= zoom;
  fit = { width, height, ends, area: state.area, middle, zoom, to: (x, y) => [width / 2 + (x - middle[0]) * scale[0], height / 2 - (y - middle[1]) * scale[1]], back: (x, y) => [middle[0] + (x - width / 2) / scale[0], middle[1] - (y - height / 2) / scale[1]], spans: spans.map((span) => span / zoom) };
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
  const p = held.found.points.data, below = base.getContext("2d"), r = Math.max(2.4, Math.min(4.5, 110 / Math.sqrt(p.length))) * Math.sqrt(width / 800) * Math.min(1.6, zoom() ** 0.25);
  below.scale(sharp, sharp); below.globalAlpha = 0.9; below.lineWidth = 1; below.strokeStyle = ink("card");
  for (let i = 0; i < p.length / 2; i++) {
    below.fillStyle = info.data.labels ? tint(info.data.labels[i]) : ink("accent");
    below.beginPath(); below.arc(...to(p[2 * i], p[2 * i + 1]), r, 0, 7); below.fill();
    if (p.length <= 2 * OUTLINED) below.stroke();
  }
  return base;
}

export function draw(context, width, height) {
  if (!held.found) return;
  const { to } = frameOf(width, height), { cursor, line, trail, here, clean } = marks;
  context.imageSmoothingEnabled = false;
  context.globalAlpha = 0.75;
  for (const { box: [left, top, right, bottom], canvas } of marks.tiles) stamp(context, canvas, to(left, top), to(right, bottom), 1);
  context.globalAlpha = 1;
  if (marks.images.length && marks.images.every(({ image }) => isInSight(pointOf(image)))) thumbnails(context, width);
  else context.drawImage(dots(width, height), 0, 0, width, height);
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
  if (line && marks.way) {
    const at = line[0].map((value, i) => value + marks.way.share * (line[1][i] - value)), [x, y] = to(...at), half = Math.max(26, width / 22);
    // beside the line, and on the map
    const left = Math.max(3, Math.min(width - 2 * half - 3, x - half)), top = y - 2 * half - 16 < 3 ? Math.min(height - 2 * half - 3, y + 16) : y - 2 * half - 16;
    ring(at, 6, ink("hand"));
    context.fillStyle = ink("hand"); context.fillRect(left - 3, top - 3, 2 * half + 6, 2 * half + 6);
    if (marks.way.canvas) context.drawImage(marks.way.canvas, left, top, 2 * half, 2 * half);
  }
}

/** A picture in a box of the drawing, as large as fits, less a margin. */
function stamp(context, picture, [left, top], [right, bottom], margin) {
  const w = right - left - 2 * margin, h = bottom - top - 2 * margin, scale = Math.min(w / picture.width, h / picture.height);
  context.drawImage(picture, left + margin + (w - scale * picture.width) / 2, top + margin + (h - scale * picture.height) / 2, scale * picture.width, scale * picture.height);
}

/** The images in the place of their points, with a frame in the colour of their label. */
function thumbnails(context, width) {
  const half = Math.max(15, width / 44);
  for (const { image, canvas } of marks.images) {
    const [x, y] = fit.to(...pointOf(image));
    context.fillStyle = info.data.labels ? tint(info.data.labels[image]) : ink("accent");
    context.fillRect(x - half - 2, y - half - 2, 2 * half + 4, 2 * half + 4);
    stamp(context, canvas, [x - half, y - half], [x + half, y + half], 0);
  }
}

/** A name beside a point, on a narrow map none: it would hide more than it says, and the legend has it. Where there is no room, above it and further left. */
function name(context, [x, y], text, width) {
  if (width < 500) return;
  context.font = "600 13px system-ui, sans-serif"; context.textBaseline = "bottom"; context.lineWidth = 4; context.strokeStyle = ink("card"); context.fillStyle = ink("ink");
  const from = Math.max(4, Math.min(x + 11, width - context.measureText(text).width - 4)), up = from < x + 11 ? 12 : 3;
  for (const write of ["strokeText", "fillText"]) context[write](text, from, y - up);
}
