// The server's answers: arrays come as safetensors (8 bytes of header length, a JSON header, the numbers).
// In a page that is one file, offline/server.js stands in the place of this module, and answers by itself.

import { Lost, Refused } from "./asking.js";
import { state } from "./state.js";
export { latest, Lost, Refused, refusals } from "./asking.js";

const TYPES = { U8: Uint8Array, I32: Int32Array, F32: Float32Array, F64: Float64Array, I64: BigInt64Array };

export function unpack(buffer, at = 0, end = buffer.byteLength) {
  const length = Number(new DataView(buffer).getBigUint64(at, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at + 8, length)));
  const first = at + 8 + length, found = { words: header.__metadata__ ?? {} };
  if (first > end) throw new Error("an answer was cut short");
  delete header.__metadata__;
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    // a copy, for an array must begin at a multiple of its numbers' size
    found[name] = { shape, data: new TYPES[dtype](buffer.slice(first + from, first + to)) };
  }
  return found;
}

// What is computed by models as they were after the epoch that is shown; the rest is of models as they are.
const OF_EPOCHS = new Set(["code", "code-noise", "decode", "hardest", "interpolate", "map", "reconstruct", "sample", "stops", "unit", "units"]);
const atEpoch = (path, words) => (state.epoch >= 0 && OF_EPOCHS.has(path) ? { ...words, epoch: state.epoch } : words);

let listener = () => {};
/** Hear whether the server answers: true or false. */
export const onReach = (listen) => { listener = listen; };

async function reach(path, words, body, signal) {
  const query = new URLSearchParams(words).toString();
  let response;
  try {
    response = await fetch(`api/${path}${query && "?"}${query}`, { method: body ? "POST" : "GET", body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    listener(false);
    throw new Lost(error.message);
  }
  listener(true);
  if (response.ok) return response;
  let said = `the server answered ${response.status}`;
  try { said = (await response.json()).error; } catch { /* no reason given */ }
  throw new Refused(said);
}

export const about = async () => (await reach("about", {})).json();
export const ask = async (path, words = {}, body = undefined, signal = undefined) =>
  unpack(await (await reach(path, atEpoch(path, words), body, signal)).arrayBuffer());

/** Ask for something that comes in frames; `frame` is called with each, and waited for. */
export async function follow(path, words, body, signal, frame) {
  const reader = (await reach(path, words, body, signal)).body.getReader();
  let held = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held); joined.set(value, held.length);
    held = joined;
    while (held.length >= 4) {
      const size = new DataView(held.buffer, held.byteOffset).getUint32(0, true);
      if (held.length < 4 + size) break;
      const one = held.slice(4, 4 + size);
      held = held.slice(4 + size);
      await frame(unpack(one.buffer));
    }
  }
}
