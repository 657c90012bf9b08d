// The noise of the slider, as isthmus/corruption.py computes it, with the same draws: an image's noise depends on its pixels, the draw and nothing else.

import { about, pictures } from "./contents.js";
import { Generator } from "./generator.js";
import { contentSeed } from "./seeds.js";

let last = { x: null, draw: null, seed: null }, tests = { draw: null, seeds: [] };

/** x with noise: Float32Array → a new one. Of the last image the seed is not computed again, for a slider that moves. */
export function noisy(x, kind, level, draw) {
  if (level === 0) return x;
  const same = last.draw === draw && last.x?.length === x.length && last.x.every((value, i) => value === x[i]);
  if (!same) last = { x, draw, seed: seedOf(x, draw) };
  return corrupted(x, kind, level, last.seed);
}

/** The same of the test image at a position; the seeds of all of them stay, as long as the draw does. */
export function noisyTest(x, position, kind, level, draw) {
  if (level === 0) return x;
  if (tests.draw !== draw) tests = { draw, seeds: [] };
  return corrupted(x, kind, level, tests.seeds[position] ??= seedOf(x, draw));
}

const seedOf = (x, draw) => contentSeed(draw, "test-noise", x);
const corrupted = (x, kind, level, seed) => CORRUPTIONS[kind](x, level, new Generator(seed), pictures().corruptions[kind], about().shape);

function gaussian(x, sigma, generator, { clip }) {
  const e = generator.normals(x.length);
  return x.map((value, i) => (clip ? Math.min(1, Math.max(0, value + sigma * e[i])) : value + sigma * e[i]));
}

function saltAndPepper(x, fraction, generator) {
  const all = Math.fround(fraction), half = Math.fround(fraction / 2);
  return x.map((value) => {
    const u = generator.uniform();
    return u < half ? 1 : u < all ? 0 : value;
  });
}

/** Pixels become `value` in all channels where `isMissing`; "mean" is that of each channel. */
function missing(x, isMissing, value, channels) {
  const n = x.length / channels, out = x.slice();
  for (let c = 0; c < channels; c++) {
    const plane = x.subarray(c * n, (c + 1) * n), fill = value === "mean" ? plane.reduce((sum, one) => sum + one, 0) / n : value;
    for (let i = 0; i < n; i++) if (isMissing[i]) out[c * n + i] = fill;
  }
  return out;
}

function masking(x, fraction, generator, { value }, [c]) {
  const most = Math.fround(fraction);
  return missing(x, Array.from({ length: x.length / c }, () => generator.uniform() < most), value, c);
}

function occlusion(x, size, generator, { value }, [c, h, w]) {
  const top = generator.below(h - size + 1), left = generator.below(w - size + 1);
  const inside = (at, from) => at >= from && at < from + size;
  return missing(x, Array.from({ length: h * w }, (_, i) => inside(Math.floor(i / w), top) && inside(i % w, left)), value, c);
}

const poisson = (x, peak, generator) => x.map((value) => generator.poisson(Math.fround(value * peak)) / peak);

const CORRUPTIONS = { gaussian, masking, occlusion, poisson, "salt-and-pepper": saltAndPepper };
