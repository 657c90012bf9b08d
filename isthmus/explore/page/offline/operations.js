// What a network does to one sample, operation by operation: one function for each kind, as isthmus/interchange/operations.py says what they are.
// A value is {data: Float32Array, shape}, of rows (n) or images (channels, height, width). Sums are of float64, and rounded to float32 as torch's are.

/** What a list of operations makes of a row. `see(kind, value)` hears of what goes into each operation. */
export function run(operations, row, see = () => {}) {
  const places = new Map();  // of maxima, by the number of their pooling
  let value = { data: row, shape: [row.length] };
  for (const operation of operations) {
    see(operation.kind, value);
    value = OPERATIONS[operation.kind](value, operation, places);
  }
  return value.data;
}

/** A function of each number and of its channel, of n. */
function byChannel({ data, shape }, n, compute) {
  const each = data.length / n;
  return { shape, data: data.map((value, i) => compute(value, Math.floor(i / each))) };
}

const standardize = (x, { offset, scale }) => byChannel(x, scale.length, (value, c) => (value - offset[c]) / scale[c]);
const restore = (x, { scale, offset }) => byChannel(x, scale.length, (value, c) => value * scale[c] + offset[c]);

function linear({ data }, { weight, bias }) {
  const [n, m] = weight.shape, w = weight.data, out = new Float32Array(n), end = m - (m % 4);
  for (let row = 0; row < n; row++) {
    // four sums at a time: one would wait for each addition
    let a = 0, b = 0, c = 0, d = 0, at = row * m, i = 0;
    for (; i < end; i += 4, at += 4) {
      a += w[at] * data[i]; b += w[at + 1] * data[i + 1]; c += w[at + 2] * data[i + 2]; d += w[at + 3] * data[i + 3];
    }
    for (; i < m; i++, at++) a += w[at] * data[i];
    out[row] = a + b + c + d + bias.data[row];
  }
  return { data: out, shape: [n] };
}

function product({ data }, { rows }) {
  const [n, m] = rows.shape, sums = new Float64Array(m);
  for (let i = 0; i < n; i++) {
    if (data[i] === 0) continue;  // most numbers of a sparse code
    for (let j = 0, at = i * m; j < m; j++, at++) sums[j] += data[i] * rows.data[at];
  }
  return { data: Float32Array.from(sums), shape: [m] };
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** The error function, by its Chebyshev series of 1.2e-7 (Press et al., Numerical Recipes, 6.2). */
function erf(x) {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const series = [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277];
  const tail = t * Math.exp(-x * x + series.reduceRight((sum, term) => term + t * sum, 0));
  return x >= 0 ? 1 - tail : tail - 1;
}

const FUNCTIONS = {
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  leakyrelu: (x) => (x < 0 ? 0.01 * x : x),
  linear: (x) => x,
  relu: (x) => (x > 0 ? x : 0),
  sigmoid,
  silu: (x) => x * sigmoid(x),
  tanh: Math.tanh,
};

const activate = ({ data, shape }, { function: name }) => ({ data: data.map(FUNCTIONS[name]), shape });
const asImages = ({ data }, { shape }) => ({ data, shape });
const asRows = ({ data }) => ({ data, shape: [data.length] });
const first = ({ data }, { n }) => ({ data: data.slice(0, n), shape: [n] });

/** Add a plane to another, times a weight, where a kernel's pixel puts them one on the other: `from` moves by `stride` while `to` moves by 1, or the other way round. */
function shifted(sums, to, [rows, columns], data, from, [h, w], weight, top, left, stride, scatters) {
  const [high, wide] = scatters ? [h, w] : [rows, columns];  // the plane that is walked pixel by pixel
  const [most, widest] = scatters ? [rows, columns] : [h, w];
  const begin = (edge) => Math.max(0, Math.ceil(-edge / stride)), end = (length, limit, edge) => Math.min(length, Math.floor((limit - 1 - edge) / stride) + 1);
  const y0 = begin(top), y1 = end(high, most, top), x0 = begin(left), x1 = end(wide, widest, left);
  for (let y = y0; y < y1; y++) {
    const near = y * wide, far = (y * stride + top) * widest + left;
    if (scatters) for (let x = x0; x < x1; x++) sums[to + far + x * stride] += weight * data[from + near + x];
    else for (let x = x0; x < x1; x++) sums[to + near + x] += weight * data[from + far + x * stride];
  }
}

function convolve({ data, shape: [c, h, w] }, { weight, bias, stride, padding: [py, px], transposed }) {
  const [a, b, kh, kw] = weight.shape, n = transposed ? b : a;
  const size = (length, kernel, pad) => (transposed ? (length - 1) * stride - 2 * pad + kernel : Math.floor((length + 2 * pad - kernel) / stride) + 1);
  const [rows, columns] = [size(h, kh, py), size(w, kw, px)], plane = rows * columns, sums = new Float64Array(n * plane);
  for (let out = 0; out < n; out++) {
    sums.fill(bias.data[out], out * plane, (out + 1) * plane);
    for (let into = 0; into < c; into++) {
      const at = (transposed ? into * b + out : out * b + into) * kh * kw;
      for (let i = 0; i < kh; i++) for (let j = 0; j < kw; j++) {
        shifted(sums, out * plane, [rows, columns], data, into * h * w, [h, w], weight.data[at + i * kw + j], i - py, j - px, stride, transposed);
      }
    }
  }
  return { data: Float32Array.from(sums), shape: [n, rows, columns] };
}

function maxPool({ data, shape: [c, h, w] }, { places: number }, places) {
  const rows = h >> 1, columns = w >> 1, out = new Float32Array(c * rows * columns), where = new Int32Array(out.length);
  for (let i = 0; i < out.length; i++) {
    const x = i % columns, y = Math.floor(i / columns) % rows, plane = Math.floor(i / (rows * columns)) * h * w;
    let best = 2 * y * w + 2 * x;
    for (const at of [best + 1, best + w, best + w + 1]) if (data[plane + at] > data[plane + best]) best = at;
    out[i] = data[plane + best]; where[i] = best;
  }
  places.set(number, where);
  return { data: out, shape: [c, rows, columns] };
}

function unpool({ data, shape: [c, h, w] }, { size: [rows, columns], places: number }, places) {
  const out = new Float32Array(c * rows * columns), where = number === null ? null : places.get(number);
  for (let i = 0; i < data.length; i++) {
    const x = i % w, y = Math.floor(i / w) % h, plane = Math.floor(i / (h * w)) * rows * columns;
    out[plane + (where ? where[i] : 2 * y * columns + 2 * x)] = data[i];
  }
  return { data: out, shape: [c, rows, columns] };
}

function nearest({ data }, { vectors, places: n }) {
  const [parts, many, width] = vectors.shape, v = vectors.data, out = new Float32Array(data.length);
  for (let part = 0; part < parts; part++) for (let place = 0; place < n; place++) {
    const at = part * width * n + place;
    let best = 0, least = Infinity;
    for (let i = 0; i < many; i++) {
      let distance = 0;
      for (let j = 0; j < width; j++) distance += (v[(part * many + i) * width + j] - data[at + j * n]) ** 2;
      if (distance < least) { least = distance; best = i; }
    }
    for (let j = 0; j < width; j++) out[at + j * n] = v[(part * many + best) * width + j];
  }
  return { data: out, shape: [out.length] };
}

/** Orthogonal matching pursuit: the atom that correlates most with what is left, and then all that were chosen fitted anew. */
function pursue({ data }, { atoms, n_nonzero: most, least }) {
  const [n, m] = atoms.shape, code = new Float32Array(n), chosen = [], factor = [];  // factor: rows of the Cholesky factor of the chosen atoms' products
  const dot = (i, other, from = 0) => { let sum = 0; for (let j = 0; j < m; j++) sum += atoms.data[i * m + j] * other[from + j]; return sum; };
  const towards = Float64Array.from({ length: n }, (_, i) => dot(i, data));
  let fitted = [], rest = towards;
  while (chosen.length < most) {
    let best = 0;
    for (let i = 1; i < n; i++) if (Math.abs(rest[i]) > Math.abs(rest[best])) best = i;
    if (chosen.includes(best) || rest[best] ** 2 < least) break;
    const row = [];
    chosen.forEach((other, i) => row.push((dot(best, atoms.data, other * m) - row.reduce((sum, value, j) => sum + value * factor[i][j], 0)) / factor[i][i]));
    const left = dot(best, atoms.data, best * m) - row.reduce((sum, value) => sum + value * value, 0);
    if (chosen.length && left <= least) break;  // it depends on those that were chosen
    factor.push([...row, Math.sqrt(left)]); chosen.push(best);
    const half = [];
    factor.forEach((line, i) => half.push((towards[chosen[i]] - half.reduce((sum, value, j) => sum + value * line[j], 0)) / line[i]));
    fitted = Array(chosen.length).fill(0);
    for (let i = chosen.length - 1; i >= 0; i--) {
      fitted[i] = half[i];
      for (let j = i + 1; j < chosen.length; j++) fitted[i] -= factor[j][i] * fitted[j];
      fitted[i] /= factor[i][i];
    }
    const sum = new Float64Array(m);
    chosen.forEach((atom, i) => { for (let j = 0; j < m; j++) sum[j] += fitted[i] * atoms.data[atom * m + j]; });
    rest = towards.map((value, i) => value - dot(i, sum));
  }
  chosen.forEach((atom, i) => { code[atom] = fitted[i]; });
  return { data: code, shape: [n] };
}

const OPERATIONS = { activate, asImages, asRows, convolve, first, linear, maxPool, nearest, product, pursue, restore, standardize, unpool };
