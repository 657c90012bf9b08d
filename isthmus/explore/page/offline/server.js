// In the place of ../server.js where the page is one file: the same questions, answered here.

import * as answers from "./answers.js";
import { Refused } from "../asking.js";
import { about as contents, answerOf } from "./contents.js";
export { latest, Lost, Refused, refusals } from "../asking.js";

/** There is no server that could be lost. */
export const onReach = () => {};

export async function about() {
  try { return contents(); } catch { throw new Refused("this file is damaged or was cut short; have it sent again"); }
}

/** The answer that the file holds, or else the one that is computed. body: an ArrayBuffer, or bytes. */
export async function ask(path, words = {}, body = undefined, signal = undefined) {
  signal?.throwIfAborted();
  const stored = answerOf(path, words);
  if (stored?.refused) throw new Refused(stored.refused);
  if (stored) return stored;
  const answer = answers.ANSWERS[path];
  if (!answer) throw new Refused(`a page without a server does not answer "${path}"`);
  return { words: {}, ...await answer(words, body, signal) };
}

/** A search comes in frames, and models that search are not in a file. */
export async function follow(path) { throw new Refused(`a page without a server does not answer "${path}"`); }
