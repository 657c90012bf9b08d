// All stops of the slider, asked for while it rests: then it moves, and nobody waits for the server.

import { info } from "./data.js";
import * as server from "./server.js";

let held = null, asking = null;
const ofAll = (x, { models, kind, draw }, one) => one?.x === x && one.models === models && one.kind === kind && one.draw === draw;

/** What the server would say of this image, these models, this noise and level; null if that is not known yet. */
export function known(x, asked) {
  const stop = ofAll(x, asked, held) ? held.answer.level.data.indexOf(asked.level) : -1;
  return stop < 0 ? null : at(held.answer, stop, held.answer.level.data.length);
}

/** Of an answer for so many stops, one: the noisy image, its error, and of each model what it draws, and how well. */
export function at({ noisy, noisy_mse, x_hat, mse, psnr }, stop, stops) {
  const n = noisy.data.length / stops, row = (data, i) => data.subarray(i * n, (i + 1) * n);
  const drawn = Array.from({ length: mse.data.length / stops }, (_, model) => {
    const i = model * stops + stop;
    return { pixels: row(x_hat.data, i), error: mse.data[i], psnr: psnr.data[i] };
  });
  return { noisy: row(noisy.data, stop), noise: noisy_mse.data[stop], drawn };
}

/** Of models at another epoch nothing is known. */
export function forget() {
  asking?.giveUp.abort();
  held = asking = null;
}

/** Ask for all stops, if they are not too many pixels. What is asked of another image, or other noise, is given up. */
export async function ask(x, { models, kind, draw }) {
  const asked = { models, kind, draw }, n = models ? models.split(",").length : 0;
  if (ofAll(x, asked, held) || ofAll(x, asked, asking) || (1 + n) * x.length * info.noise[kind].stops.length > info.most_ahead) return;
  asking?.giveUp.abort();
  const mine = asking = { x, ...asked, giveUp: new AbortController() };
  try {
    const answer = await server.ask("stops", asked, x.slice().buffer, mine.giveUp.signal);
    if (asking === mine) held = { x, ...asked, answer };
  } catch { /* each level is asked for by itself then, and says what is wrong */ }
  if (asking === mine) asking = null;
}
