// Which models are looked at: those of Models and Compare, and the one of Inside and Latent space.

import { make } from "./dom.js";
import { info } from "./data.js";
import { on, set, state } from "./state.js";

export const ALL = "*";  // the word for all models, in an address

const whole = () => info.models.filter((one) => !one.fault).map((one) => one.name);

/** Names of the models that are chosen, in the study's order. */
export function chosen() {
  if (state.models === ALL) return whole();
  const wanted = state.models.split(",");
  return whole().filter((name) => wanted.includes(name));
}

const ranked = (names) => names.filter((name) => info.models.find((one) => one.name === name).kind !== "identity");

/** " of the 2 chosen models", where those are fewer than all; the identity is compared with, and not counted. apart: so many of them are not ranked. */
export function ofChosen(apart = 0) {
  const n = ranked(chosen()).length - apart;
  if (apart) return ` of the ${n} that are ranked`;
  return n === ranked(whole()).length ? "" : ` of the ${n} chosen models`;
}

/** The same, where none of them does it. */
export const noneChosen = (apart = 0) => (apart ? "No ranked model" : !ofChosen() ? "No model" : `None${ofChosen()}`);

/** What an address says of models, for these names. */
export const said = (names) => (names.length === whole().length ? ALL : names.join(",") || "-");

/** A drop-down with a box for each model, and a button for all of them; what is chosen is in the address. */
export function chooser() {
  const box = make("div"), says = make("summary");
  const element = make("details", { class: "choose" }, says, box);
  const known = whole();
  const pick = (names) => set({ models: said(names) });
  const first = info.opening.length < known.length ? info.opening : known;
  const every = make("button", { type: "button", hidden: first === known, onclick: () => pick(chosen().length === known.length ? first : known) });
  box.append(make("div", { class: "row" }, make("button", { type: "button", onclick: () => pick(known) }, "All"), make("button", { type: "button", onclick: () => pick([]) }, "None")));
  for (const name of known) {
    const input = make("input", { type: "checkbox", value: name, onchange: () => pick([...box.querySelectorAll("input:checked")].map((one) => one.value)) });
    box.append(make("label", {}, input, ` ${name}`));
  }
  const show = () => {
    const names = chosen();
    for (const input of box.querySelectorAll("input")) input.checked = names.includes(input.value);
    says.textContent = `${names.length} of ${known.length} models`;
    every.textContent = names.length === known.length ? `Show ${first.length}` : `Show all ${known.length}`;
  };
  document.addEventListener("click", (event) => { if (!element.contains(event.target)) element.open = false; });
  element.addEventListener("keydown", (event) => { if (event.key === "Escape") { element.open = false; says.focus(); event.stopPropagation(); } });
  on("models", show); show();
  element.hidden = known.length < 2;
  return make("span", { class: "row", hidden: element.hidden }, element, every);
}

const withCode = (facts) => Boolean(facts?.units);

/** The model of the address, or null if it makes no code at once. */
export const coded = () => info.models.find((one) => one.name === state.model && withCode(one)) ?? null;

/** Why one cannot look into a model that makes no code at once. */
export const whyNot = ({ name, search }) => (search ? `${name} has no encoder: it searches for the code of each image, with the decoder of another model.` : `${name} has no code: it returns its input.`);

/** A drop-down for one model; those without a code are named, and cannot be chosen. */
export function modelSelect() {
  const select = make("select", { onchange: () => set({ model: select.value, unit: -1, code: "" }) },
    ...info.models.filter((one) => !one.fault).map((one) => make("option", { value: one.name, disabled: !withCode(one) }, withCode(one) ? one.name : `${one.name} (no code)`)));
  return select;
}

/** What stands where a model without a code was asked for, by an address. */
export function noCode() {
  const facts = info.models.find((one) => one.name === state.model);
  return facts ? [make("b", {}, facts.name), " cannot be inspected.", make("small", {}, `${whyNot(facts)} Choose another model below.`)] : ["No model is chosen."];
}
