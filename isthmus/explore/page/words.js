// Noise and models in words, said the same way everywhere.

import { info, labelOf } from "./data.js";
import { make } from "./dom.js";
import { state } from "./state.js";

/** "σ 0.3", "peak 10 photons": one level of a kind of noise. */
export function levelSays(level, kind = state.kind) {
  const { symbol, unit } = info.noise[kind];
  return `${symbol} ${level}${unit && ` ${unit}`}`;
}

export const noiseSays = () => (state.level === 0 ? "no noise" : `${info.noise[state.kind].title}, ${levelSays(state.level)}`);

/** "no. 7, a 3": a test image by its place and its label. */
export function named(position) {
  const label = labelOf(position), article = /^\d+$/.test(label) ? (/^(8|11$|18$)/.test(label) ? "an " : "a ") : "";
  return `no. ${position}${label && `, ${article}${label}`}`;
}

/** What a model was trained at; σ alone is Gaussian noise, other kinds are named. Relative noise is in units of each image's root mean square. */
export function trainedAt({ kind, level, relative }) {
  const short = { gaussian: `σ ${relative ? `${Number(level.toPrecision(3))} × the image’s RMS` : level}`, masking: `masking ${level}`, "salt-and-pepper": `salt and pepper ${level}`, occlusion: `a square of ${level} px`, poisson: `${level} photons` };
  return `trained at ${short[kind] ?? `${kind} ${level}`}`;
}

/** How a best model differs from some that it is ranked with: in numbers of its code, in noise in training. "" if in neither. */
export function unlike(best, others) {
  const terms = ({ code, trained }) => [`keeps ${code} number${code === 1 ? "" : "s"}`, `was ${trained.map(trainedAt).join(" and ") || "trained on clean images"}`];
  const apart = terms(best).filter((one, i) => others.some((other) => terms(other)[i] !== one));
  return apart.length ? `Not like for like: ${best.name} ${apart.join(" and ")}. ` : "";
}

/** "360 test images"; of models of patches these are patches, each by itself. */
export const tests = (n) => `${n.toLocaleString("en")} test ${info.whole ? "patches" : "images"}`;

/** What a model had of the test images before it was measured on them; "" if they are new to it. */
export const had = ({ seen, selected }) => (seen ? "has seen the test images" : selected ? "selected on the test images" : "");

/** The mark of a model that had the test images; null for another. */
export const mark = (facts) => had(facts) && make("span", { class: "warn", title: facts.seen ? "It was fitted on these images." : "Its best epoch, or what it keeps, was chosen by these images." }, had(facts)) || null;

/** The models that are ranked on test images: those that they are new to; if there is none, those that were selected on them, and else those that have seen them. */
export const judged = (models) => ["", had({ selected: true }), had({ seen: true })].map((one) => models.filter((facts) => had(facts) === one)).find((some) => some.length) ?? [];

/** Which of the models are not ranked, and why; or what all that are ranked had. "" where the images are new to all. */
export function notJudged(models) {
  const ranked = judged(models), others = models.filter((one) => !ranked.includes(one));
  const why = others.map((one) => `${one.name} (${had(one)})`), all = ranked.length && had(ranked[0]);
  return `${all ? `${list(ranked.map((one) => one.name))} ${all.replace(/^has/, ranked.length > 1 ? "have" : "has").replace(/^selected/, ranked.length > 1 ? "were selected" : "was selected")}: expect larger errors on new ones. ` : ""}${others.length ? `Not ranked: ${list(why)}. ` : ""}`;
}

/** Levels that fall along the axis: of photons, fewer are more noise, and 0 is none at all. */
export const falls = (marks) => marks[1] > marks.at(-1);

export const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
