// What the file holds beside the page: models, pictures, and answers that would take too long to compute here.

const TYPES = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array, float64: Float64Array };
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const once = (compute) => { let value = null; return () => (value ??= compute()); };

/** The bytes of base64. */
function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** A table with its references {array: name} replaced by {data, shape}, each decoded once. */
function withArrays({ arrays, ...table }) {
  const decoded = new Map();
  const arrayOf = (name) => {
    if (!decoded.has(name)) {
      const { dtype, shape, base64 } = arrays[name];
      decoded.set(name, { data: new TYPES[dtype](bytesOf(base64).buffer), shape });
    }
    return decoded.get(name);
  };
  const replaced = (value) => {
    if (Array.isArray(value)) return value.map(replaced);
    if (value === null || typeof value !== "object") return value;
    if ("array" in value) return arrayOf(value.array);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, replaced(inner)]));
  };
  return replaced(table);
}

/** The page's first answer. */
export const about = once(() => read("about"));
/** {pixels, code_noise, corruptions, manner} */
export const pictures = once(() => withArrays(read("pictures")));

const models = new Map();
/** {encode, decode, reconstruct: lists of operations, layers, filter, atom, answers}, by the model's name. */
export function modelOf(name) {
  if (!models.has(name)) models.set(name, withArrays(read(`model-${about().models.findIndex((facts) => facts.name === name)}`)));
  return models.get(name);
}

/** An answer that was stored: {words, name: {data, shape}}, {refused: why not}, or undefined. */
export function answerOf(path, words) {
  if (!about().stored.includes(path)) return undefined;
  const { model, ...others } = words;
  return modelOf(model).answers[[path, ...Object.values(others)].join(" ")];
}
