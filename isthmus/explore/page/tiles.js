// The map's background, made of pictures: codes on a grid, decoded, or the test image that lies nearest; near by, the images themselves.

import { coded } from "./choice.js";
import { info, pixels } from "./data.js";
import * as map from "./map.js";
import { grey } from "./paint.js";
import { ask, latest, refusals } from "./server.js";
import { state } from "./state.js";

const SIDE = 46;  // of a tile, in pixels of the page
const AT_ONCE = 64;  // codes in one question, as the server has it
const FEW = 70;  // points in sight up to which they are shown as their images
let redraw, timer, painted = {};

/** Set it up; `paint` draws the map again. */
export function begin(paint) { redraw = paint; }

/** What is shown behind the points: a map without a way back to codes has no decoded ones. */
export const kind = () => (state.behind === "decoded" && !map.held.found?.centre ? "nearest" : state.behind);

/** Have the pictures follow the map, once it rests. */
export function follow() {
  clearTimeout(timer);
  timer = setTimeout(() => fill(), 60);
}

/** What the pictures depend on, beside the map itself. */
const view = () => { const { area, width, height } = map.size(); return [area, width, height, kind()].join(); };

const fill = latest(async () => {
  const { found } = map.held;
  // another image, or other noise, changes nothing behind it
  if (!found || !map.isDrawn() || (map.marks.tiles === painted.tiles && view() === painted.view)) return;
  const now = view(), isPast = () => found !== map.held.found || view() !== now;
  try {
    const [near, tiles] = [await images(), kind() === "none" ? [] : await (kind() === "decoded" ? decoded(grid(), isPast) : nearest(grid()))];
    if (isPast()) return follow();
    painted = { tiles, view: now };
    map.marks.images = near; map.marks.tiles = tiles;
    redraw();
    document.dispatchEvent(new CustomEvent("tiles-painted"));
  } catch (error) { refusals(() => {})(error); }  // the map itself says what is wrong
});

/** Squares that cover what is in sight: {box: left, top, right, bottom in the map's numbers, middle}. */
function grid() {
  const { width, height } = map.size(), columns = Math.max(1, Math.round(width / SIDE)), rows = Math.max(1, Math.round(height / (width / columns)));
  return Array.from({ length: columns * rows }, (_, i) => {
    const [x, y] = [i % columns, Math.floor(i / columns)], [w, h] = [width / columns, height / rows];
    return { box: [...map.back([x * w, y * h]), ...map.back([(x + 1) * w, (y + 1) * h])], middle: map.back([(x + .5) * w, (y + .5) * h]) };
  });
}

function tile(x) {
  const canvas = document.createElement("canvas");
  grey(canvas, x, info.shape);
  return canvas;
}

async function decoded(cells, isPast) {
  const { name } = coded(), n = info.shape.reduce((a, b) => a * b), out = [];
  for (let from = 0; from < cells.length; from += AT_ONCE) {
    const some = cells.slice(from, from + AT_ONCE), codes = new Float32Array(some.length * map.dims());
    some.forEach((cell, i) => codes.set(map.lift(cell.middle), i * map.dims()));
    const { x_hat: { data } } = await ask("decode", { model: name, n: some.length }, codes.buffer);
    if (isPast()) return [];  // another map, or part of it, was chosen meanwhile
    some.forEach((cell, i) => out.push({ ...cell, canvas: tile(data.subarray(i * n, (i + 1) * n)) }));
  }
  return out;
}

/** Of each square that has any the test image nearest to its middle. */
async function nearest(cells) {
  const some = cells.map((cell) => ({ ...cell, image: map.closest(cell.middle) })).filter(({ image, box: [left, top, right, bottom] }) => {
    const [x, y] = map.pointOf(image);
    return x >= left && x <= right && y <= top && y >= bottom;
  });
  const all = await pixels(some.map((one) => one.image));
  return some.map((one, i) => ({ ...one, canvas: tile(all[i]) }));
}

/** The images in sight, if they are few. */
async function images() {
  const near = map.inSight();
  if (near.length > FEW) return [];
  const all = await pixels(near);
  return near.map((image, i) => ({ image, canvas: tile(all[i]) }));
}
