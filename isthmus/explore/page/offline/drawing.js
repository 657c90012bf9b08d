// A drawing made like the data, as isthmus/explore/answers/drawings.py does it: scaled into a box, and moved to the data's centre of mass.

import { about, pictures } from "./contents.js";

/** Bright strokes on dark, (side, side) of bytes, as an image of the data. An empty drawing is a dark image. */
export function placed(ink) {
  const [c, h, w] = about().shape, { box, centre } = pictures().manner, side = about().drawing, page = new Float32Array(c * h * w);
  const strokes = Float32Array.from(ink, (value) => value / 255), at = (row, column) => strokes[row * side + column] > 0.1;
  const all = Array.from({ length: side }, (_, i) => i), rows = all.filter((y) => all.some((x) => at(y, x))), columns = all.filter((x) => rows.some((y) => at(y, x)));
  if (!rows.length) return page;
  const [top, left] = [rows[0], columns[0]], [high, wide] = [rows.at(-1) - top + 1, columns.at(-1) - left + 1];
  const cut = Float32Array.from({ length: high * wide }, (_, i) => strokes[(top + Math.floor(i / wide)) * side + left + (i % wide)]);
  const scale = (box * Math.max(h, w)) / Math.max(high, wide), size = [Math.max(1, Math.min(h, Math.round(high * scale))), Math.max(1, Math.min(w, Math.round(wide * scale)))];
  const small = resized(cut, [high, wide], size), peak = Math.max(small.reduce((most, value) => Math.max(most, value), 0), 1e-9);
  const bright = small.map((value) => value / peak), mass = Math.max(bright.reduce((sum, value) => sum + value, 0), 1e-9);
  const middle = [0, 1].map((axis) => bright.reduce((sum, value, i) => sum + value * ((axis ? i % size[1] : Math.floor(i / size[1])) + 0.5), 0) / mass);
  // moved by whole pixels, and never so far that a part of it is lost
  const [down, right] = [h, w].map((length, axis) => Math.min(Math.max(0, Math.round(centre[axis] * length - middle[axis])), length - size[axis]));
  for (let i = 0; i < c * size[0]; i++) {
    const row = i % size[0];
    page.set(bright.subarray(row * size[1], (row + 1) * size[1]), (Math.floor(i / size[0]) * h + down + row) * w + right);
  }
  return page;
}

/** As Pillow resizes: along one axis, then the other; a mean of what a pixel covers, or between the nearest where it grows. */
function resized(x, [high, wide], [h, w]) {
  const shrinks = Math.max(high, wide) > Math.max(h, w), across = new Float32Array(high * w), out = new Float32Array(h * w);
  weights(wide, w, shrinks).forEach(([from, shares], column) => {
    for (let row = 0; row < high; row++) across[row * w + column] = shares.reduce((sum, share, i) => sum + share * x[row * wide + from + i], 0);
  });
  weights(high, h, shrinks).forEach(([from, shares], row) => {
    for (let column = 0; column < w; column++) out[row * w + column] = Math.min(1, Math.max(0, shares.reduce((sum, share, i) => sum + share * across[(from + i) * w + column], 0)));
  });
  return out;
}

/** Of each new pixel along an axis, the first old one that it is made of, and the shares of all. */
function weights(before, after, shrinks) {
  const scale = before / after, stretch = Math.max(1, scale), support = (shrinks ? 0.5 : 1) * stretch;
  return Array.from({ length: after }, (_, i) => {
    const middle = (i + 0.5) * scale, from = Math.max(0, Math.trunc(middle - support + 0.5)), to = Math.min(before, Math.trunc(middle + support + 0.5));
    const shares = Array.from({ length: to - from }, (_, j) => {
      const distance = (from + j - middle + 0.5) / stretch;
      return shrinks ? Number(distance > -0.5 && distance <= 0.5) : Math.max(0, 1 - Math.abs(distance));
    });
    const sum = shares.reduce((total, share) => total + share, 0);
    return [from, shares.map((share) => share / sum)];
  });
}
