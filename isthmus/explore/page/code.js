// The code of one image by one model: as it is, and as it was changed by hand.

import { reaches } from "./paint.js";
import { set, state } from "./state.js";

/** facts: of the model; image: the clean pixels; code: its numbers; stats: of each unit over the test images; range: of the colours. */
export const held = { facts: null, image: null, code: null, stats: null, range: 1 };
let history = [];

/** Another model: nothing of the former one is kept. */
export function forget() {
  held.facts = held.code = held.stats = null;
  history = [];
}

/** What was set by hand: unit → value. An address may say anything; the server takes numbers up to a million. */
export const changes = () => new Map(state.code.split(",").map((one) => one.split(":").map(Number))
  .filter(([u, v]) => Number.isInteger(u) && u >= 0 && u < held.facts.units && Math.abs(v) <= 1e6));

/** The code with what was set by hand. */
export function edited() {
  const now = held.code.slice();
  for (const [u, v] of changes()) now[u] = v;
  return now;
}

/** Set a unit by hand. */
export function put(unit, value) {
  const now = changes();
  now.set(unit, Number(value.toPrecision(4)));
  set({ code: [...now].map(([u, v]) => `${u}:${v}`).join(",") });
}

/** Remember where undo goes back to: once for a whole drag. */
export const mark = (before = state.code) => history.push(before);
export const undo = () => set({ code: history.pop() ?? "" });
export function undoAll() { mark(); set({ code: "" }); }

/** The colours' range: as far as the test images reach, or this image where there are none. */
export function scale() {
  held.range = (held.stats ? Math.max(reaches(held.stats.low), reaches(held.stats.high)) : reaches(held.code)) || 1;
  return held.range;
}

/** The least and the most that a bar may show. */
export function ends() {
  const { stats, range } = held;
  const low = stats ? Math.min(0, ...stats.low) : -range, high = stats ? Math.max(0, ...stats.high) : range;
  const most = Math.max(high, ...edited()), least = Math.min(low, ...edited()), room = 0.05 * (most - least || 1);
  return [least - room, most + room];
}

/** How far the slider of the chosen unit reaches, to both sides. */
export function bound() {
  const { stats, range, code } = held, u = state.unit;
  return 2 * (Math.max(Math.abs(stats?.low[u] ?? range), Math.abs(stats?.high[u] ?? range), Math.abs(code[u])) || range);
}
