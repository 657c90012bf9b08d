// The data set's test images, fetched when they are needed, and what the server said of them.

import { ask } from "./server.js";
import { floats } from "./state.js";

const held = new Map();
let waiting = new Map();
export let info = null;
export const begin = (about) => { info = about; };

/** The pixels, float32 in [0, 1], of test images at these positions. */
export async function pixels(positions) {
  const missing = positions.filter((one) => !held.has(one) && !waiting.has(one));
  if (missing.length) {
    const coming = ask("images", { positions: missing.join(",") }).then(({ pixels: { data } }) => {
      const n = data.length / missing.length;
      if (held.size > 4000) held.clear();
      missing.forEach((one, i) => keep(one, data.subarray(i * n, (i + 1) * n)));
    }).finally(() => missing.forEach((one) => waiting.delete(one)));
    missing.forEach((one) => waiting.set(one, coming));
  }
  const all = positions.map((one) => waiting.get(one)).filter(Boolean);
  await Promise.all(all);
  return positions.map((one) => held.get(one));
}

const keep = (position, data) => held.set(position, data instanceof Uint8Array ? floats(data) : data.slice());

export function labelOf(position) {
  const { labels, label_names: names } = info?.data ?? {};
  if (!labels) return "";
  return String(names[labels[position]] ?? labels[position]);
}
