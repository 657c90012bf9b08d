// Models over many test images: error against the level of noise, as a chart and as a table.

import * as chart from "./chart.js";
import { chooser, chosen, ofChosen } from "./choice.js";
import { info } from "./data.js";
import { $, csv, make, panelAsPng, toast, write } from "./dom.js";
import { figure } from "./paint.js";
import { ask, Refused } from "./server.js";
import { on, set, state } from "./state.js";
import { falls, levelSays, list } from "./words.js";

const HINT = "Point at a line, or at a name below, to bring it out; a click in the chart sets the noise.";
const kept = new Map();  // kind/model → {level, mse, low, high}, or the reason why not
let ui, running = null, pinned = null;

export function begin() {
  const place = $("compare");
  if (!info.data) { place.append(make("p", { class: "empty" }, "A comparison needs test images, and it is not known on which data this model was trained.")); return; }
  const scale = make("select", { onchange: () => { chart.shown.log = scale.value === "log"; chart.redraw(); } }, make("option", { value: "linear" }, "linear"), make("option", { value: "log" }, "logarithmic"));
  const canvas = chart.begin((level) => set({ level }), (name, mark) => bringOut(name, mark));
  ui = { says: make("p", { class: "says", role: "status" }), busy: make("p", { class: "busy", role: "status" }), read: make("p", { class: "soft small read" }, HINT),
    legend: make("div", { class: "swatches legend", role: "group", "aria-label": "Lines" }), table: make("table"), hint: make("p", { class: "soft small", hidden: true }, "More levels to the right: the table scrolls sideways.") };
  const panel = make("section", { class: "panel stack", "aria-label": "Chart" }, canvas, ui.read, ui.legend, ui.busy);
  const scroll = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, ui.table);
  place.append(ui.says, make("div", { class: "tools" }, chooser(), make("label", {}, "Axis", scale), make("span", { class: "end" },
    make("button", { type: "button", onclick: () => panelAsPng(panel, "isthmus-compare.png", `MSE against ${info.noise[state.kind].title.toLowerCase()}`) }, "PNG"),
    make("button", { type: "button", onclick: table }, "CSV"))), make("div", { class: "stack" }, panel, make("section", { class: "panel" }, ui.hint, scroll)));
  const wide = new ResizeObserver(() => { ui.hint.hidden = scroll.scrollWidth <= scroll.clientWidth + 1; });
  wide.observe(scroll); wide.observe(ui.table);
  on("models", () => { if (state.view === "compare") show(); });
}

const facts = (name) => info.models.find((one) => one.name === name);
const rowOf = (name) => kept.get(`${state.kind}/${name}`);
const known = () => chosen().filter((name) => rowOf(name)?.mse);
/** What the noisy images themselves have: the error of a model that hands on what it is given. */
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
    ui.busy.textContent = `Measuring ${name} (${i + 1} of ${waiting.length}) on ${info.data.measured.toLocaleString("en")} test images …`;
    try {
      const found = await ask("errors", { model: name, kind });
      kept.set(`${kind}/${name}`, Object.fromEntries(["level", "mse", "low", "high"].map((one) => [one, found[one].data])));
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
  if (pinned && !names.includes(pinned)) pinned = chart.shown.lit = null;
  chart.redraw();
  legend(names);
  const models = names.filter((name) => facts(name).kind !== "identity"), least = marks.map((_, i) => Math.min(...models.map((name) => rowOf(name).mse[i])));
  const ordered = [...names].sort((a, b) => rowOf(a).mse[column] - rowOf(b).mse[column]);
  rows(ordered, marks, least, column);
  sentence(ordered.filter((name) => models.includes(name)), column);
  bringOut(chart.shown.lit);
}

function rows(ordered, marks, least, column) {
  const { symbol, title } = info.noise[state.kind], here = (i) => (i === column ? "here" : null);
  const head = make("tr", {}, make("th", { scope: "col" }, `MSE at ${symbol}`), ...marks.map((level, i) => make("th", { scope: "col", class: here(i) }, falls(marks) && level === 0 ? "none" : String(level))));
  const body = ordered.map((name) => make("tr", {}, make("th", { scope: "row" }, name), ...Array.from(rowOf(name).mse, (value, i) => {
    const trained = facts(name).trained.some((one) => one.kind === state.kind && one.level === marks[i]);
    return make("td", { class: [value === least[i] && "least", trained && "trained", here(i)].filter(Boolean).join(" ") || null, title: trained ? "trained at this level" : null }, figure(value));
  })));
  ui.table.replaceChildren(make("caption", { class: "sr" }, `Mean squared error by model and level of ${title}`), make("thead", {}, head), make("tbody", {}, ...body));
}

/** The names are buttons that bring their line out: while pointed at or focused, or for good by a click. */
function legend(names) {
  const key = names.join();
  if (ui.legend.key === key) return;
  ui.legend.key = key;
  const focused = document.activeElement?.dataset?.line;
  ui.legend.replaceChildren(...names.map((name) => make("button", { type: "button", "data-line": name, "aria-pressed": String(pinned === name),
    onpointerenter: () => bringOut(name), onpointerleave: () => bringOut(null), onfocus: () => bringOut(name), onblur: () => bringOut(null),
    onclick: () => { pinned = pinned === name ? null : name; for (const one of ui.legend.children) one.setAttribute("aria-pressed", one.dataset.line === pinned); bringOut(name); } }, chart.swatch(name), name)));
  if (focused) [...ui.legend.children].find((one) => one.dataset.line === focused)?.focus();
}

function bringOut(name, mark = nearestMark()) {
  const lit = name ?? pinned, row = lit && rowOf(lit), { marks } = info.noise[state.kind];
  if (chart.shown.lit !== lit) {
    chart.shown.lit = lit; chart.redraw();
    for (const one of ui.legend.children) one.classList.toggle("lit", one.dataset.line === lit);
  }
  write(ui.read, row?.mse ? `${lit}${at(marks[mark])}: MSE ${figure(row.mse[mark])}, 95 % interval ${figure(row.low[mark])} to ${figure(row.high[mark])}` : HINT);
}

const at = (level) => (level === 0 ? " without noise" : ` at ${levelSays(level)}`);

/** Which model is best, as far as it is measured; those whose interval meets the best one's are about equal. */
function sentence(ordered, column) {
  const names = chosen(), { marks } = info.noise[state.kind], level = marks[column], [best, second] = ordered, { measured } = info.data;
  if (!best) return ui.says.replaceChildren(!names.length ? "No model is chosen." : known().length < names.length ? "Measuring …" : "Choose a model that draws: the identity hands on what it is given.");
  const mse = (name) => figure(rowOf(name).mse[column]), done = names.filter((name) => rowOf(name)).length;
  const far = done < names.length ? ` so far (${done} of ${names.length} measured)` : "", of = ofChosen(), where = at(level);
  const equal = ordered.filter((name) => name === best || rowOf(name).low[column] <= rowOf(best).high[column]);
  const itself = level !== 0 && nothing() && rowOf(nothing())?.mse?.[column], bold = (name) => make("b", {}, name);
  let told;
  if (itself && itself < rowOf(best).mse[column]) told = [`${of ? `None${of}` : "No model"} beats the noisy image itself${where}${far}: it has MSE ${figure(itself)}, and nearest is `, bold(best), ` with ${mse(best)}.`];
  else if (equal.length > 1) {
    const others = equal.length - 2;
    told = [`About equal${where}${of}${far}: `, bold(best), others ? ", " : " and ", bold(second), others ? ` and ${others} more` : "", `, MSE ${mse(best)} to ${mse(equal.at(-1))}.`];
  } else told = [bold(best), ` is best${of}${where}${far}: MSE ${mse(best)}.${second ? ` Next is ${second} with ${mse(second)}.` : ""}`];
  const near = state.level === level ? "" : `The measured level nearest to ${levelSays(state.level)} is ${level}. `;
  const refused = names.filter((name) => typeof rowOf(name) === "string");
  ui.says.replaceChildren(...told, make("small", {}, `${near}Means over ${measured.toLocaleString("en")} test images, the same noise for each model; bands are 95 % intervals${equal.length > 1 ? ", and those of the best overlap" : ""}. A ring, and an underlined number: trained at this level.${falls(marks) ? " Fewer photons are more noise; the left end is no noise." : ""}${refused.length ? ` Not measured: ${list(refused)}.` : ""}`));
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
  csv("isthmus-compare.csv", [["model", "corruption", "level", "mse", "ci95_low", "ci95_high", "n"], ...names.flatMap((name) => { const row = rowOf(name); return [...row.level.keys()].map((i) => [name, state.kind, row.level[i], row.mse[i], row.low[i], row.high[i], info.data.measured]); })]);
}
