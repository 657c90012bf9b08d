// Models over many test images: error against the level of noise, as a chart and as a table.

import * as chart from "./chart.js";
import { chooser, chosen, noneChosen, ofChosen } from "./choice.js";
import { info } from "./data.js";
import { $, make, rove, steady, toast, write } from "./dom.js";
import { csv, panelAsPng } from "./export.js";
import { figure } from "./paint.js";
import { ask, Refused } from "./server.js";
import { on, set, state } from "./state.js";
import { falls, judged, levelSays, list, mark, notJudged, tests, unlike } from "./words.js";

const HINT = "Point at a line, or at a name below, to highlight it; click in the chart to set the noise.";
const kept = new Map();  // kind/model → {level, mse, low, high, each}, or the reason why not
let ui, running = null;

export function begin() {
  const place = $("compare");
  if (!info.data) { place.append(make("p", { class: "empty" }, "A comparison needs test images, but this model’s data set is not known.")); return; }
  const scale = make("select", { onchange: () => set({ axis: scale.value }) }, make("option", { value: "linear" }, "linear"), make("option", { value: "log" }, "logarithmic"));
  const canvas = chart.begin((level) => set({ level }), (name, mark) => bringOut(name, mark));
  ui = { says: make("p", { class: "says", role: "status" }), busy: make("p", { class: "busy", role: "status" }), read: make("p", { class: "soft small read" }, HINT), note: make("p", { class: "soft small" }), caption: make("p", { class: "soft small" }),
    legend: make("div", { class: "swatches legend", role: "group", "aria-label": "Lines" }), table: make("table"), hint: make("p", { class: "soft small", hidden: true }, "More levels to the right: the table scrolls sideways.") };
  const panel = make("section", { class: "panel stack", "aria-label": "Chart" }, canvas, ui.read, ui.legend, ui.note, ui.busy);
  const scroll = ui.scroll = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, ui.table);
  place.append(ui.says, make("div", { class: "tools" }, chooser(), make("label", {}, "Axis", scale), make("span", { class: "end" },
    make("button", { type: "button", onclick: () => panelAsPng([panel], "isthmus-compare.png", `MSE against the level of noise: ${info.noise[state.kind].title}`) }, "PNG"),
    make("button", { type: "button", onclick: table }, "CSV"))), make("div", { class: "stack" }, panel, make("section", { class: "panel" }, ui.caption, ui.hint, scroll)));
  rove(ui.legend);
  ui.room = steady(ui.says);
  const wide = new ResizeObserver(() => { ui.hint.hidden = scroll.scrollWidth <= scroll.clientWidth + 1; bringColumn(); });
  wide.observe(scroll); wide.observe(ui.table);
  on("models", () => { if (state.view === "compare") show(); });
  const axis = () => { scale.value = state.axis; chart.shown.log = state.axis === "log"; chart.redraw(); };
  on("axis", axis); axis();
  on("line", () => {
    for (const one of ui.legend.children) one.setAttribute("aria-pressed", one.dataset.line === state.line);
    bringOut(ui.legend.querySelector(":hover, :focus")?.dataset.line ?? null);
  });
}

const facts = (name) => info.models.find((one) => one.name === name);
const rowOf = (name) => kept.get(`${state.kind}/${name}`);
/** The line that stays brought out, once it is measured. */
const pinned = () => (known().includes(state.line) ? state.line : null);
const known = () => chosen().filter((name) => rowOf(name)?.mse);
/** The chosen models that can be measured. */
const measurable = () => chosen().filter((name) => typeof rowOf(name) !== "string").map(facts).filter((one) => one.kind !== "identity");
/** Those of them that are ranked. */
const fair = () => judged(measurable());
/** Whether there is but one to be ranked: then there is nothing to be better than. */
const isAlone = () => fair().length === 1;
/** What the noisy images themselves have: the error of the identity. */
const nothing = () => info.models.find((one) => one.kind === "identity" && !one.fault)?.name;

export async function show() {
  if (!ui) return;
  render();
  const kind = state.kind, mine = (running = {}), names = chosen();
  if (names.length && nothing() && !names.includes(nothing())) names.unshift(nothing());
  const waiting = names.filter((name) => !rowOf(name));
  // what searches takes longest, so it comes last
  waiting.sort((a, b) => facts(a).search - facts(b).search);
  for (const [i, name] of waiting.entries()) {
    if (running !== mine || state.kind !== kind || state.view !== "compare") return;
    ui.busy.textContent = `Measuring ${name} (${i + 1} of ${waiting.length}) on ${tests(info.data.measured)} …`;
    try {
      const found = await ask("errors", { model: name, kind });
      kept.set(`${kind}/${name}`, Object.fromEntries(["level", "mse", "low", "high", "each"].map((one) => [one, found[one].data])));
    } catch (error) {
      if (!(error instanceof Refused)) return;
      kept.set(`${kind}/${name}`, error.message);
    }
    if (running === mine) render();
  }
  if (running === mine) ui.busy.textContent = "";
}

function render() {
  const names = known(), { marks } = info.noise[state.kind], column = nearestMark();
  chart.shown.lines = names.map((name) => [name, rowOf(name)]);
  if (!names.includes(chart.shown.lit)) chart.shown.lit = pinned();
  chart.redraw();
  legend(names);
  const models = fair().map((one) => one.name).filter((name) => names.includes(name)), itself = nothing() && rowOf(nothing());
  // as in the sentence: where noise is, a model that does not beat the noisy images is not best
  // of one model none is best, and none stands out
  const least = isAlone() ? [] : marks.map((level, i) => Math.min(...models.map((name) => rowOf(name).mse[i]), level !== 0 && itself?.mse ? itself.mse[i] : Infinity));
  const ordered = [...names].sort((a, b) => rowOf(a).mse[column] - rowOf(b).mse[column]);
  rows(ordered, marks, least, column);
  bringColumn();
  sentence(ordered.filter((name) => models.includes(name)), column);
  ui.room();
  bringOut(chart.shown.lit);
}

function rows(ordered, marks, least, column) {
  const { symbol, title, note } = info.noise[state.kind], here = (i) => (i === column ? "here" : null);
  write(ui.note, `Each model is given the same noise${note ? `, ${note}` : ""}. A band is the 95 % interval of its line; a ring: trained at this level.${falls(marks) ? " Fewer photons mean more noise; the left end is no noise." : ""}`);
  const head = make("tr", {}, make("th", { scope: "col" }, `MSE at ${symbol}`), ...marks.map((level, i) => make("th", { scope: "col", class: here(i) }, falls(marks) && level === 0 ? "none" : String(level))));
  const body = ordered.map((name) => make("tr", {}, make("th", { scope: "row" }, name, mark(facts(name))), ...Array.from(rowOf(name).mse, (value, i) => {
    const trained = facts(name).trained.some((one) => one.kind === state.kind && one.level === marks[i] && !one.relative);
    return make("td", { class: [value === least[i] && "least", trained && "trained", here(i)].filter(Boolean).join(" ") || null, title: trained ? "trained at this level" : null }, figure(value));
  })));
  const unbeaten = marks.some((level, i) => level !== 0 && rowOf(nothing())?.mse?.[i] === least[i]);
  if (isAlone()) return heads(head, body, title, "Underlined: trained at this level.");
  heads(head, body, title, `Bold: the best model at each level${fair().length < measurable().length ? " of those that are ranked" : ""}.${!unbeaten ? "" : ordered.includes(nothing()) ? ` Where it is ${nothing()}, none beats the noisy images themselves.` : " Where none is, none beats the noisy images themselves."} Underlined: trained at this level.`);
}

function heads(head, body, title, caption) {
  write(ui.caption, caption);
  ui.table.replaceChildren(make("caption", { class: "sr" }, `Mean squared error by model and level of ${title}`), make("thead", {}, head), make("tbody", {}, ...body));
}

let brought = "";
/** Scroll the table sideways to the column of the slider's level, once for each. */
function bringColumn() {
  const key = `${state.kind}/${nearestMark()}/${known().length}`, cell = ui.table.querySelector("th.here");
  if (ui.hint.hidden || !cell || key === brought) return;
  brought = key;
  const names = ui.table.querySelector("th").offsetWidth, { scroll } = ui, room = scroll.clientWidth - names - cell.offsetWidth;
  const from = cell.offsetLeft - names;  // of what is beside the names, which stay
  if (from < scroll.scrollLeft || from > scroll.scrollLeft + room) scroll.scrollLeft = from - room / 2;
}

/** The names are buttons that bring their line out: while pointed at or focused, or for good by a click. */
function legend(names) {
  const key = names.join();
  if (ui.legend.key === key) return;
  ui.legend.key = key;
  const focused = document.activeElement?.dataset?.line;
  ui.legend.replaceChildren(...names.map((name) => make("button", { type: "button", "data-line": name, "aria-pressed": String(state.line === name),
    onpointerenter: () => bringOut(name), onpointerleave: () => bringOut(null), onfocus: () => bringOut(name), onblur: () => bringOut(null),
    onclick: () => set({ line: state.line === name ? "" : name }) }, chart.swatch(name), name, mark(facts(name)))));
  if (focused) [...ui.legend.children].find((one) => one.dataset.line === focused)?.focus();
}

function bringOut(name, mark = nearestMark()) {
  const lit = name ?? pinned(), row = lit && rowOf(lit), { marks } = info.noise[state.kind];
  if (chart.shown.lit !== lit) {
    chart.shown.lit = lit; chart.redraw();
    for (const one of ui.legend.children) one.classList.toggle("lit", one.dataset.line === lit);
  }
  write(ui.read, row?.mse ? `${lit}${at(marks[mark])}: MSE ${figure(row.mse[mark])}, 95 % interval ${figure(row.low[mark])} to ${figure(row.high[mark])}` : HINT);
}

const at = (level) => (level === 0 ? " without noise" : ` at ${levelSays(level)}`);

/** Whether all images together do not say that `name` has more error than `best`: the noise of each was the same for both,
    so the differences are far less scattered than the errors. Their mean's 95 % interval then holds zero. */
function isTied(name, best, column) {
  const [ours, theirs] = [name, best].map((one) => rowOf(one).each), { measured: n, student } = info.data;
  let sum = 0, squares = 0;
  for (let i = column * n; i < (column + 1) * n; i++) sum += ours[i] - theirs[i];
  for (let i = column * n; i < (column + 1) * n; i++) squares += (ours[i] - theirs[i] - sum / n) ** 2;
  return n < 2 || sum / n <= student * Math.sqrt(squares / (n - 1) / n);
}

/** Which model is best, as far as it is measured; those that are not worse for certain are about equal to it. */
function sentence(ordered, column) {
  const names = chosen(), { marks } = info.noise[state.kind], level = marks[column], [best, second] = ordered, { measured } = info.data;
  if (!best) return ui.says.replaceChildren(!names.length ? "No model is chosen." : known().length < names.length ? "Measuring …" : "Choose a model that reconstructs: the identity returns its input.");
  const mse = (name) => figure(rowOf(name).mse[column]), done = names.filter((name) => rowOf(name)).length;
  const far = done < names.length ? ` so far (${done} of ${names.length} measured)` : "", apart = measurable().length - fair().length, of = ofChosen(apart), where = at(level);
  const equal = ordered.filter((name) => name === best || isTied(name, best, column));
  const itself = level !== 0 && nothing() && rowOf(nothing())?.mse?.[column], bold = (name) => make("b", {}, name);
  const alike = unlike(facts(best), ordered.slice(1).map(facts));
  let told;
  const beaten = itself && itself < rowOf(best).mse[column];
  if (isAlone()) told = [`${best}${where}: MSE ${mse(best)}, 95 % interval ${figure(rowOf(best).low[column])} to ${figure(rowOf(best).high[column])}.${itself ? ` The noisy images themselves have ${figure(itself)}.` : ""}`];
  else if (beaten) told = [`${noneChosen(apart)} beats the noisy image itself${where}${far}: it has MSE ${figure(itself)}, and closest is `, bold(best), ` with ${mse(best)}.`];
  else if (equal.length > 1) {
    const others = equal.length - 2;
    told = [`About equal${where}${of}${far}: `, bold(best), others ? ", " : " and ", bold(equal[1]), others ? ` and ${others} more` : "", `, MSE ${mse(best)} to ${mse(equal.at(-1))}.`];
  } else told = [bold(best), ` is best${of}${where}${far}: MSE ${mse(best)}.${second ? ` Next is ${second} with ${mse(second)}.` : ""}`];
  const near = state.level === level ? "" : `The measured level nearest to ${levelSays(state.level)} is ${level}. `;
  const refused = names.filter((name) => typeof rowOf(name) === "string");
  const tied = beaten || isAlone() || equal.length < 2 ? "" : `; compared image by image, the difference${equal.length === 2 ? "" : "s"} may be due to chance`;
  ui.says.replaceChildren(...told, make("small", {}, `${near}${notJudged(measurable())}${beaten || isAlone() ? "" : alike}Means over ${tests(measured)}${info.whole ? ` of ${info.data.photographs} photograph${info.data.photographs === 1 ? "" : "s"}, each of which counts once in the interval` : ""}${tied}.${refused.length ? ` Not measured: ${list(refused)}.` : ""}`));
}

/** The place of the measured level nearest to the slider's; where there is noise it is never that without. */
function nearestMark() {
  const { marks } = info.noise[state.kind], { level } = state;
  if (level === 0) return marks.indexOf(0);
  return marks.reduce((best, one, i) => (one !== 0 && Math.abs(one - level) < Math.abs(marks[best] - level) ? i : best), 1);
}

function table() {
  const names = known();
  if (!names.length) return toast("There are no numbers yet.");
  csv("isthmus-compare.csv", [["model", "corruption", "level", "mse", "ci95_low", "ci95_high", "n", "seen", "selected"], ...names.flatMap((name) => { const row = rowOf(name); return [...row.level.keys()].map((i) => [name, state.kind, row.level[i], row.mse[i], row.low[i], row.high[i], info.data.measured, facts(name).seen, facts(name).selected]); })]);
}
