// What the server's routes answer, computed here: a function (words, body, signal) → named arrays for each question (isthmus/explore/answers/).

import { floats as asFloats } from "../state.js";
import { about, modelOf, pictures } from "./contents.js";
import { noisy, noisyTest } from "./corruptions.js";
import { placed } from "./drawing.js";
import { Generator } from "./generator.js";
import { run } from "./operations.js";
import { paced } from "./paced.js";
import { streamSeed } from "./seeds.js";

const SPHERE = 10;  // numbers of a code: longer ones that have a prior lie near a sphere
const factsOf = (name) => about().models.find((facts) => facts.name === name);
const array = (data, shape = [data.length]) => ({ data, shape });
const images = (data, n) => array(data, [n, ...about().shape]);
const image = (data) => array(data, about().shape);
const floats = (body) => new Float32Array(body);
const squaredError = (a, b) => a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / a.length;

/** Rows, one after the other, as one array. */
function joined(rows) {
  const all = new Float32Array(rows.length * rows[0].length);
  rows.forEach((row, i) => all.set(row, i * row.length));
  return all;
}

const withNoise = (x, { kind = "gaussian", level = 0, draw = 0 }) => noisy(x, kind, level, draw);
const encode = (name, x, see) => run(modelOf(name).encode, x, see);
const decode = (name, code) => run(modelOf(name).decode, code);

/** {pixels}: test images at `positions`. */
function testImages({ positions }) {
  const { data, shape: [, ...size] } = pictures().pixels, n = size.reduce((a, b) => a * b), which = String(positions).split(",").map(Number);
  const pixels = new data.constructor(which.length * n);
  which.forEach((position, i) => pixels.set(data.subarray(position * n, (position + 1) * n), i * n));
  return { pixels: images(pixels, which.length) };
}

/** What each of the `models` makes of the image with its noise, and how far that is from the clean one. */
function reconstruct(words, body) {
  const x = floats(body), y = withNoise(x, words), names = words.models ? words.models.split(",") : [];
  const rows = names.map((name) => run(modelOf(name).reconstruct, y)), mse = rows.map((row) => squaredError(row, x));
  return {
    noisy: image(y), noisy_mse: array([squaredError(x, y)]), x_hat: images(rows.length ? joined(rows) : new Float32Array(0), rows.length),
    mse: array(Float64Array.from(mse)), psnr: array(Float64Array.from(mse, (error) => (error > 0 ? -10 * Math.log10(error) : NaN))),
  };
}

/** The code of the image with its noise, and of a convolutional encoder the maps of each layer. */
function code(words, body) {
  const y = withNoise(floats(body), words), { layers } = modelOf(words.model), maps = [];
  // what goes into a convolution is what the layer before it made, and the first has the image itself
  const found = encode(words.model, y, (kind, value) => { if (layers && (kind === "convolve" || kind === "asRows")) maps.push(value); });
  return { noisy: image(y), code: array(found), ...Object.fromEntries(maps.slice(1).map((map, i) => [`layer ${i + 1}`, map])) };
}

/** n codes, one after the other, decoded. */
async function decodedAll(model, codes, n, signal) {
  const k = factsOf(model).units;
  return { x_hat: images(joined(await paced(n, (i) => decode(model, codes.subarray(i * k, (i + 1) * k)), signal)), n) };
}

const decoded = ({ model, n = 1 }, body, signal) => decodedAll(model, floats(body), n, signal);

/** What one unit looks for and adds, where weights say it, and the test images with its largest values. */
function unit({ model, unit: u }) {
  const { filter, atom, encode: down, decode: up, tops } = modelOf(model), n = tops.top.shape[1], which = tops.top.data.subarray(u * n, (u + 1) * n);
  return {
    ...(filter && { filter: image(weightsInto(down, u)) }), ...(atom && { atom: image(weightsOut(up, u)) }),
    top: array(which), top_code: array(tops.top_code.data.subarray(u * n, (u + 1) * n)), ...testImages({ positions: which.join() }),
  };
}

/** The weights from the image to a unit of an encoder of one layer, in the data's units. */
function weightsInto(operations, u) {
  const { weight } = operations.find((one) => one.kind === "linear"), scale = operations.find((one) => one.kind === "standardize")?.scale ?? [1], m = weight.shape[1];
  return weight.data.slice(u * m, (u + 1) * m).map((value, i) => value / scale[Math.floor((i * scale.length) / m)]);
}

/** The weights from a unit to the image of a decoder of one layer, in the data's units. */
function weightsOut(operations, u) {
  const at = operations.findIndex((one) => one.kind === "linear" || one.kind === "product"), { weight, rows } = operations[at];
  const scale = operations.slice(at).find((one) => one.kind === "restore")?.scale ?? [1];
  const row = rows ? rows.data.slice(u * rows.shape[1], (u + 1) * rows.shape[1]) : Float32Array.from({ length: weight.shape[0] }, (_, i) => weight.data[i * weight.shape[1] + u]);
  return row.map((value, i) => value * scale[Math.floor((i * scale.length) / row.length)]);
}

/** From one image to the other: pixels that are blended, and codes that are, decoded. */
async function interpolate({ model, steps }, body, signal) {
  const both = floats(body), n = both.length / 2, pair = [both.subarray(0, n), both.subarray(n)], shares = Array.from({ length: steps }, (_, i) => i / (steps - 1));
  const codes = pair.map((x) => encode(model, x)), blend = (of, a, b) => of[0].map((value, i) => a * value + b * of[1][i]);
  const weights = factsOf(model).prior && codes[0].length >= SPHERE ? alongSphere(codes) : (share) => [1 - share, share];
  return {
    pixels: images(joined(shares.map((share) => blend(pair, 1 - share, share))), steps),
    x_hat: images(joined(await paced(steps, (i) => decode(model, blend(codes, ...weights(shares[i]))), signal)), steps),
  };
}

/** The weights of two codes at a share of the angle between them (White 2016); of the same or opposite directions, on the straight line. */
function alongSphere([a, b]) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0), cosine = dot(a, b) / Math.max(Math.sqrt(dot(a, a) * dot(b, b)), Number.MIN_VALUE);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine))), sine = Math.sin(angle);
  return sine < 1e-3 ? (share) => [1 - share, share] : (share) => [Math.sin((1 - share) * angle) / sine, Math.sin(share * angle) / sine];
}

/** Noise of one level on the image, and times its spread on each number of the code. */
function codeNoise({ model, level, draw }, body) {
  const x = floats(body), y = noisy(x, "gaussian", level, draw), z = encode(model, x), spread = modelOf(model).answers.units.spread.data;
  // stored draws: they come round again after the last
  const { data, shape: [n, most] } = pictures().code_noise, from = (draw % n) * most;
  const fromNoisy = run(modelOf(model).reconstruct, y), fromCode = decode(model, z.map((value, i) => value + level * spread[i] * data[from + i]));
  return { noisy: image(y), from_noisy: image(fromNoisy), from_code: image(fromCode), mse: array([squaredError(fromNoisy, x), squaredError(fromCode, x)]) };
}

/** Codes of the prior, decoded. */
const sample = ({ model, n, draw }, body, signal) => decodedAll(model, new Generator(streamSeed(draw, "latent")).normals(n * factsOf(model).units), n, signal);

/** The n test images on which a model errs most, with their noise, and what it makes of them. */
async function hardest(words, body, signal) {
  const { model, kind, level, draw, n } = words, { data } = pictures().pixels, { measured } = about().data, size = data.length / pictures().pixels.shape[0];
  const imageAt = (position) => { const x = data.subarray(position * size, (position + 1) * size); return data instanceof Uint8Array ? asFloats(x) : x; };
  const attempt = (position) => {
    const x = imageAt(position), y = noisyTest(x, position, kind, level, draw), x_hat = run(modelOf(model).reconstruct, y);
    return { y, x_hat, mse: squaredError(x_hat, x) };
  };
  // at the marked levels all errors are known
  const known = modelOf(model).answers[`errors ${kind}`], mark = draw === 0 && !known.refused ? known.level.data.indexOf(level) : -1;
  const errors = mark < 0 ? await paced(measured, (i) => attempt(i).mse, signal) : known.each.data.subarray(mark * measured, (mark + 1) * measured);
  const which = Array.from({ length: measured }, (_, i) => i).sort((a, b) => errors[b] - errors[a] || a - b).slice(0, n), found = which.map(attempt);
  return {
    which: array(Int32Array.from(which)), mse: array(Float64Array.from(found, ({ mse }) => mse)),
    noisy: images(joined(found.map(({ y }) => y)), which.length), x_hat: images(joined(found.map(({ x_hat }) => x_hat)), which.length),
  };
}

const drawing = (words, body) => ({ x: image(placed(new Uint8Array(body.buffer ?? body))) });

export const ANSWERS = { "code-noise": codeNoise, code, decode: decoded, drawing, hardest, images: testImages, interpolate, reconstruct, sample, unit };
