// Seeds of random streams, as isthmus/rng.py has them: heads of BLAKE2b hashes (RFC 7693).

const START = [0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n, 0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n];
const ORDER = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4], [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13], [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11], [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5], [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
const COLUMNS = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15], [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];
const BLOCK = 128, word = (value) => BigInt.asUintN(64, value);
const turned = (value, by) => word((value >> by) | (value << (64n - by)));

/** The hash of bytes, `size` bytes long. key: bytes, or none. */
export function blake2b(bytes, size, key = new Uint8Array(0)) {
  const blocks = key.length ? BLOCK : 0, all = new Uint8Array(Math.max(BLOCK, Math.ceil((blocks + bytes.length) / BLOCK) * BLOCK)), length = blocks + bytes.length;
  all.set(key); all.set(bytes, blocks);
  const words = new BigUint64Array(all.buffer), state = BigUint64Array.from(START);
  state[0] ^= 0x01010000n ^ BigInt((key.length << 8) | size);
  for (let at = 0; at < all.length; at += BLOCK) {
    const v = BigUint64Array.from([...state, ...START]), message = words.subarray(at / 8, at / 8 + 16), isLast = at + BLOCK === all.length;
    v[12] ^= BigInt(isLast ? length : at + BLOCK);
    if (isLast) v[14] = ~v[14];
    for (let round = 0; round < 12; round++) COLUMNS.forEach(([a, b, c, d], i) => {
      const order = ORDER[round % 10];
      v[a] = v[a] + v[b] + message[order[2 * i]]; v[d] = turned(v[d] ^ v[a], 32n); v[c] += v[d]; v[b] = turned(v[b] ^ v[c], 24n);
      v[a] = v[a] + v[b] + message[order[2 * i + 1]]; v[d] = turned(v[d] ^ v[a], 16n); v[c] += v[d]; v[b] = turned(v[b] ^ v[c], 63n);
    });
    for (let i = 0; i < 8; i++) state[i] ^= v[i] ^ v[i + 8];
  }
  return new Uint8Array(state.buffer).slice(0, size);
}

const text = (words) => new TextEncoder().encode(words);
const seedOf = (digest) => digest.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n) >> 1n;

/** The seed of the stream (seed, purpose). */
export const streamSeed = (seed, purpose) => seedOf(blake2b(text(`isthmus/${seed}/${purpose}/0`), 8));

/** The seed of the stream (seed, purpose, an image's own bytes). */
export function contentSeed(seed, purpose, x) {
  const key = blake2b(text(`isthmus/${seed}/${purpose}/content`), 32);
  return seedOf(blake2b(new Uint8Array(x.buffer, x.byteOffset, x.byteLength), 8, key));
}
