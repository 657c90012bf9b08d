// Which model does best on this image, in a sentence, and each one's place; who still searches is not judged yet.

import { chosen, noneChosen, ofChosen } from "./choice.js";
import { info } from "./data.js";
import { bring, make, steady, write } from "./dom.js";
import { figure } from "./paint.js";
import { digits } from "./input.js";
import { isBlank, set, state } from "./state.js";
import { judged, list, noiseSays, notJudged, tests, unlike } from "./words.js";

let parts, element, room, first = null;

/** The sentence's element. Its parts stay and their words change: new elements would cost a frame as much as all the pictures. */
export function begin() {
  const show = () => first && bring(first.element);
  const [before, after, more] = [make("span"), make("span"), make("span")];
  const name = make("button", { type: "button", title: "Show its card", onclick: show }), b = make("b", {}, name);
  const over = make("button", { type: "button", class: "link", onclick: () => set({ view: "compare" }) }, `${info.models.length === 1 ? "How good is it on" : "Which is best on"} ${info.data && tests(info.data.measured)}?`);
  parts = { before, b, name, after, more, over };
  element = make("p", { class: "says", role: "status" }, over, before, b, after, make("small", {}, more));
  room = steady(element);
  return element;
}

/** Write the sentence: a model's name, if one is named, stands out. */
export function say(before, { name = "", after = "", more = "", over = false } = {}) {
  if (parts.b.hidden !== !name) parts.b.hidden = !name;
  if (parts.over.hidden !== !(over && info.data)) parts.over.hidden = !(over && info.data);
  write(parts.before, before); write(parts.name, name); write(parts.after, after); write(parts.more, more);
  room();
}

const ordinal = (n) => `${n}${n % 100 > 10 && n % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][n % 10] ?? "th"}`;

/** Whether the noise left nothing to see: a noisy image of one value, or of nothing but noise. */
const isGone = (noisy) => (state.kind === "salt-and-pepper" && state.level === 1) || noisy.every((value) => value === noisy[0]);

/** Rank the chosen cards by their error on what is shown `now`: {x, noisy, noise: the noisy image's own error}. On a test image those that had it before are not ranked with others. */
export function judge(cards, now) {
  const models = cards.map((one) => one.facts).filter((one) => one.kind !== "identity"), isTest = state.source === "pick" && info.data, fair = isTest ? judged(models) : models;
  const drawn = cards.filter((one) => Number.isFinite(one.error) && fair.includes(one.facts)).sort((a, b) => a.error - b.error);
  const noisy = state.level !== 0, blank = isBlank(now.x), gone = noisy && isGone(now.noisy), helps = !noisy || drawn[0]?.error < now.noise;
  const ranked = !blank && !gone, alone = fair.length === 1;  // then there is nothing to be better than
  for (const one of cards) {
    const place = drawn.indexOf(one), best = place === 0 && helps && ranked && !alone;
    one.element.classList.toggle("best", best);
    write(one.rank, place < 0 || !ranked || alone ? "" : best ? "best" : ordinal(place + 1));
    const worse = noisy && ranked && Number.isFinite(one.error) && one.facts.kind !== "identity" && one.error > now.noise;
    if (one.isWorse !== worse) { one.worse.classList.toggle("shown", worse); one.isWorse = worse; }
  }
  first = drawn[0];
  sentence(drawn, cards.filter((one) => one.waits).map((one) => one.facts.name), { blank, gone, helps, noisy, noise: now.noise, alone, apart: models.length - fair.length, why: isTest ? notJudged(models) : "" });
}

function sentence([best, second, ...others], waiting, { blank, gone, helps, noisy, noise, alone, apart, why }) {
  if (!chosen().length) return say("No model is chosen.");
  if (blank) return say("The image is empty.", { more: (state.tab || state.source) === "draw" ? `Draw ${digits() ? "a digit" : "something"} on the pad.` : "Choose a picture." });
  if (gone) return say("Nothing of the image is left.", { more: `${noiseSays()}: a model’s output would be the same for any image, so none is called best.`, over: true });
  const searches = waiting.length ? `${list(waiting)} ${waiting.length > 1 ? "are" : "is"} still searching. ` : "";
  if (!best) return say(waiting.length ? `${list(waiting)} ${waiting.length > 1 ? "search" : "searches"} …` : "Choose a model that reconstructs: the identity returns its input.");
  const far = waiting.length ? " so far" : "", of = ofChosen(apart), more = `${why}${searches}One image${noisy ? ", one sample of the noise" : ""}.`;
  if (!helps) {
    if (alone) return say("", { name: best.facts.name, after: ` does not improve this image: the noisy image itself has less error, MSE ${figure(noise)}.`, more: `${noiseSays()}; ${best.facts.name} has ${figure(best.error)}. ${more}`, over: true });
    return say(`${noneChosen(apart)} improves this image${far}: the noisy image itself has less error, MSE ${figure(noise)}.`,
      { more: `${noiseSays()}; closest is ${best.facts.name} with ${figure(best.error)}. ${more}`, over: true });
  }
  const next = second ? `next is ${second.facts.name} with ${figure(second.error)}` : "";
  const facts = noisy ? `${noiseSays()}: the noisy image had ${figure(noise)}${next && `; ${next}`}.`
    : `No noise yet: turn it up to see ${alone ? "how the model removes it" : "which model removes it best"}${next && `; ${next}`}.`;
  say("", { name: best.facts.name, after: ` ${noisy ? "denoises" : "reconstructs"} this image${alone ? "" : ` best${far}${of}`}: MSE ${figure(best.error)}.`, more: `${facts} ${second ? unlike(best.facts, [second, ...others].map((one) => one.facts)) : ""}${more}`, over: true });
}
