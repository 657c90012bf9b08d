// Error against the level of noise, measured on test images: a chart, and the same numbers as a table.

import { $, csv, make, panelAsPng, toast } from "./dom.js";
import { info } from "./data.js";
import { chooser, chosen } from "./models.js";
import { figure, ink, PALETTE, plot } from "./paint.js";
import { ask, Refused } from "./server.js";
import { on, set, state } from "./state.js";

const DASHES = [[], [7, 4], [2, 3]];
const kept = new Map();  // kind/model → {level, mse, low, high}, or the reason why not
let ui, running = null;

export function begin() {
  const place = $("compare");
  if (!info.data) { place.append(make("p", { class: "empty" }, "A comparison needs test images, and it is not known on which data this model was trained.")); return; }
  const canvas = make("canvas", { class: "plot", role: "img", "aria-label": "Error against the level of noise; the table below has the numbers." });
  const scale = make("select", { onchange: () => { ui.canvas.redraw(); } }, make("option", { value: "linear" }, "linear"), make("option", { value: "log" }, "logarithmic"));
  ui = { canvas, scale, says: make("p", { class: "says", role: "status" }), busy: make("p", { class: "busy", role: "status" }), legend: make("div", { class: "swatches" }), table: make("table") };
  const chart = make("section", { class: "panel stack", "aria-label": "Chart" }, canvas, ui.legend, ui.busy);
  place.append(ui.says, make("div", { class: "tools" }, chooser(), make("label", {}, "Axis", scale), make("span", { class: "end" },
    make("button", { type: "button", onclick: () => panelAsPng(chart, "isthmus-compare.png", `MSE against ${info.noise[state.kind].title.toLowerCase()}`) }, "PNG"),
    make("button", { type: "button", onclick: table }, "CSV"))), make("div", { class: "stack" }, chart, make("section", { class: "panel scroll", "aria-label": "Table", tabindex: "0" }, ui.table)));
  plot(canvas, (width) => Math.min(Math.max(0.5 * width, 260), Math.max(300, innerHeight * 0.6)), draw);
  canvas.addEventListener("click", (event) => {  // the level under the pointer becomes the slider's
    const box = canvas.getBoundingClientRect(), { stops, marks } = info.noise[state.kind], { left, right } = edges(box.width);
    const share = (event.clientX - box.x - left) / (box.width - left - right), wanted = place_(marks, share);
    set({ level: stops.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best)) });
  });
  on("models", () => { if (state.view === "compare") show(); });
}

const place_ = (marks, share) => { const at = Math.max(0, Math.min(1, share)) * (marks.length - 1), low = Math.floor(at); return marks[low] + (at - low) * ((marks[low + 1] ?? marks[low]) - marks[low]); };
const keyOf = (name) => `${state.kind}/${name}`;
const names = () => chosen();

export async function show() {
  if (!ui) return;
  render();
  const kind = state.kind, mine = (running = {});
  const waiting = names().filter((name) => !kept.has(keyOf(name)));
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

const facts = (name) => info.models.find((one) => one.name === name);
const style = (name) => { const i = info.models.findIndex((one) => one.name === name); return [PALETTE[i % PALETTE.length], DASHES[Math.floor(i / PALETTE.length) % DASHES.length]]; };
const known = () => names().filter((name) => kept.get(keyOf(name))?.mse);

function render() {
  ui.canvas.redraw();
  const list = known(), { marks, symbol, title } = info.noise[state.kind];
  ui.legend.replaceChildren(...list.map((name) => {
    const swatch = make("canvas", { width: 48, height: 24, "aria-hidden": "true" }), context = swatch.getContext("2d"), [colour, dash] = style(name);
    context.strokeStyle = colour; context.lineWidth = 6; context.setLineDash(dash.map((one) => 2 * one)); context.beginPath(); context.moveTo(0, 12); context.lineTo(48, 12); context.stroke();
    return make("span", {}, swatch, name);
  }));
  const column = nearestMark(), row = (name) => kept.get(keyOf(name)).mse;
  const least = marks.map((_, i) => Math.min(...list.filter((name) => facts(name).kind !== "identity").map((name) => row(name)[i])));
  const head = make("tr", {}, make("th", { scope: "col" }, `MSE at ${symbol}`), ...marks.map((level) => make("th", { scope: "col" }, String(level))));
  const rows = [...list].sort((a, b) => row(a)[column] - row(b)[column]).map((name) => make("tr", {}, make("th", { scope: "row" }, name), ...Array.from(row(name), (value, i) => {
    const trained = facts(name).trained.some((one) => one.kind === state.kind && one.level === marks[i]);
    return make("td", { class: [value === least[i] && "least", trained && "trained"].filter(Boolean).join(" "), title: trained ? "trained at this level" : null }, figure(value));
  })));
  ui.table.replaceChildren(make("caption", { class: "sr" }, `Mean squared error by model and level of ${title}`), make("thead", {}, head), make("tbody", {}, ...rows));
  const first = rows[0]?.firstChild.textContent, best = list.find((name) => row(name)[column] === least[column]);
  if (!first || !best) return ui.says.replaceChildren(names().length ? "Measuring …" : "No model is chosen.");
  ui.says.replaceChildren(make("b", {}, best), ` is best of ${list.length} at ${symbol} ${marks[column]}: MSE ${figure(row(best)[column])}.`, make("small", {}, `Means over ${info.data.measured.toLocaleString("en")} test images, the same noise for each model; bands are 95 % intervals. A ring, and an underlined number, is the level that a model was trained at.`));
}

const nearestMark = () => { const { marks } = info.noise[state.kind]; return marks.reduce((best, one, i) => (Math.abs(one - state.level) < Math.abs(marks[best] - state.level) ? i : best), 0); };
const letters = () => Math.max(12, 0.8 * parseFloat(getComputedStyle(document.documentElement).fontSize));
const edges = (width) => ({ left: letters() * (width < 500 ? 3.6 : 4.6), right: 14, top: 14, bottom: 3.5 * letters() });

function draw(context, width, height) {
  const list = known(), { marks, symbol, unit, title } = info.noise[state.kind], { left, right, top, bottom } = edges(width), log = ui.scale.value === "log";
  const font = letters();
  const rows = list.map((name) => kept.get(keyOf(name))), all = rows.flatMap((row) => [...row.high]), positive = rows.flatMap((row) => [...row.mse]).filter((value) => value > 1e-12);
  const most = Math.max(0.01, ...all), least = log ? Math.max(1e-5, Math.min(...positive, most / 10)) : 0;
  const up = (value) => (log ? Math.log10(Math.max(value, least)) : value), x = (i) => left + (i / (marks.length - 1)) * (width - left - right);
  const y = (value) => height - bottom - ((up(value) - up(least)) / (up(most) - up(least) || 1)) * (height - top - bottom);
  context.font = `${font}px system-ui, sans-serif`; context.fillStyle = ink("soft"); context.strokeStyle = ink("line"); context.lineWidth = 1;
  context.textAlign = "right"; context.textBaseline = "middle";
  for (const value of ticks(least, most, log)) { context.beginPath(); context.moveTo(left, y(value)); context.lineTo(width - right, y(value)); context.stroke(); context.fillText(String(Number(value.toPrecision(3))), left - 8, y(value)); }
  context.textAlign = "center"; context.textBaseline = "top";
  marks.forEach((level, i) => { if (width > 420 || i % 2 === 0) context.fillText(String(level), x(i), height - bottom + 8); });
  context.fillText(`${title}, ${symbol}${unit ? ` in ${unit}` : ""}`, (left + width - right) / 2, height - font - 6);
  const place = marks.reduce((found, level, i) => { const next = marks[i + 1]; if (next === undefined) return found; const share = (state.level - level) / (next - level); return share >= 0 && share <= 1 ? i + share : found; }, 0);
  context.setLineDash([3, 3]); context.strokeStyle = ink("edge"); context.beginPath(); context.moveTo(x(place), top); context.lineTo(x(place), height - bottom); context.stroke(); context.setLineDash([]);
  list.forEach((name, at) => {
    const row = rows[at], [colour, dash] = style(name);
    context.beginPath(); row.high.forEach((value, i) => context[i ? "lineTo" : "moveTo"](x(i), y(value))); [...row.low.keys()].reverse().forEach((i) => context.lineTo(x(i), y(row.low[i])));
    context.globalAlpha = 0.12; context.fillStyle = colour; context.fill(); context.globalAlpha = 1;
    context.beginPath(); row.mse.forEach((value, i) => context[i ? "lineTo" : "moveTo"](x(i), y(value))); context.strokeStyle = colour; context.lineWidth = font / 6; context.setLineDash(dash); context.stroke(); context.setLineDash([]);
    for (const one of facts(name).trained) {
      const i = marks.findIndex((level) => Math.abs(level - one.level) < 1e-9);
      if (one.kind !== state.kind || i < 0) continue;
      context.beginPath(); context.arc(x(i), y(row.mse[i]), 6, 0, 7); context.fillStyle = ink("card"); context.fill(); context.stroke();
    }
  });
}

function ticks(least, most, log) {
  if (log) return Array.from({ length: 8 }, (_, i) => 10 ** (Math.ceil(Math.log10(least)) + i)).filter((value) => value <= most);
  const raw = most / 5, size = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((one) => one * size).find((one) => one >= raw);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

function table() {
  const list = known();
  if (!list.length) return toast("There are no numbers yet.");
  csv("isthmus-compare.csv", [["model", "corruption", "level", "mse", "ci95_low", "ci95_high", "n"], ...list.flatMap((name) => { const row = kept.get(keyOf(name)); return [...row.level.keys()].map((i) => [name, state.kind, row.level[i], row.mse[i], row.low[i], row.high[i], info.data.measured]); })]);
}
