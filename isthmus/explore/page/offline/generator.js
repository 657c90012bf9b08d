// torch's generator on the CPU, the Mersenne Twister, and what torch makes of it: the noise here is the server's, number by number.

const N = 624, M = 397;

export class Generator {
  /** seed: of which torch takes the last 32 bits. */
  constructor(seed) {
    const state = this.state = new Uint32Array(N);
    state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
    for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    this.at = N; this.spare = null;
  }

  /** 32 bits. */
  next() {
    const { state } = this;
    if (this.at === N) {
      for (let i = 0; i < N; i++) {
        const bits = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
        state[i] = state[(i + M) % N] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
      }
      this.at = 0;
    }
    let y = state[this.at++];
    y ^= y >>> 11; y ^= (y << 7) & 0x9d2c5680; y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** A float32 in [0, 1), as torch.rand. */
  uniform() { return (this.next() & 0xffffff) / 2 ** 24; }
  /** A float64 in [0, 1). */
  double() { const high = this.next() & 0x1fffff; return (high * 2 ** 32 + this.next()) / 2 ** 53; }
  /** A whole number below n, as torch.randint. */
  below(n) { return this.next() % n; }

  /** n standard normal numbers, as torch.randn: by Box and Muller, 16 at a time; of fewer than 16 two at a time. */
  normals(n) {
    if (n < 16) return Float32Array.from({ length: n }, () => this.normal());
    const out = Float32Array.from({ length: n }, () => this.uniform());
    for (let i = 0; i + 16 <= n; i += 16) boxMuller(out, i);
    if (n % 16) {
      for (let i = n - 16; i < n; i++) out[i] = this.uniform();
      boxMuller(out, n - 16);
    }
    return out;
  }

  normal() {
    if (this.spare !== null) { const value = this.spare; this.spare = null; return value; }
    const angle = 2 * Math.PI * this.double(), radius = Math.sqrt(-2 * Math.log1p(-this.double()));
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** How many events, of `rate` on average, as torch.poisson: products of uniform numbers, or of large rates Hörmann's transformed rejection (1993). */
  poisson(rate) {
    if (rate === 0) return 0;
    if (rate < 10) {
      const least = Math.exp(-rate);
      let n = 0, product = this.double();
      while (product > least) { n++; product *= this.double(); }
      return n;
    }
    const root = Math.sqrt(rate), b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b, inverse = 1.1239 + 1.1328 / (b - 3.4), accepted = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
      const u = this.double() - 0.5, v = this.double(), us = 0.5 - Math.abs(u), n = Math.floor((2 * a / us + b) * u + rate + 0.43);
      if (us >= 0.07 && v <= accepted) return n;
      if (n < 0 || (us < 0.013 && v > us)) continue;
      if (Math.log(v) + Math.log(inverse) - Math.log(a / (us * us) + b) <= -rate + n * Math.log(rate) - logFactorial(n)) return n;
    }
  }
}

function boxMuller(out, at) {
  for (let i = at; i < at + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - out[i])), angle = Math.fround(2 * Math.PI * out[i + 8]);
    out[i] = radius * Math.cos(angle); out[i + 8] = radius * Math.sin(angle);
  }
}

/** log n!, by the sum of logarithms, or Stirling's series. */
function logFactorial(n) {
  if (n > 30) return (n + 0.5) * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * n) - 1 / (360 * n ** 3) + 1 / (1260 * n ** 5);
  let sum = 0;
  for (let i = 2; i <= n; i++) sum += Math.log(i);
  return sum;
}
