// Error against the level of noise as lines with their 95 % bands; one of them may be brought out.

import { info } from "./data.js";
import { make } from "./dom.js";
import { ink, PALETTE, plot } from "./paint.js";
import { state } from "./state.js";
import { falls } from "./words.js";

const DASHES = [[], [7, 4], [2, 3]];
/** lines: [name, {mse, low, high}] of those that are measured; log: the axis of errors; lit: the name that stands out. */
export const shown = { lines: [], log: false, lit: null };
let canvas;

/** The canvas; `choose(level)` hears of a click, `point(name, mark)` of the line under the pointer. */
export function begin(choose, point) {
  canvas = make("canvas", { class: "plot", role: "img", "aria-label": "Error against the level of noise; the table below has the numbers." });
  plot(canvas, (width) => Math.min(Math.max(0.5 * width, 260), Math.max(300, innerHeight * 0.6)), draw);
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.x, event.clientY - box.y]; };
  canvas.addEventListener("click", (event) => choose(levelAt(axes().at(place(event)[0]))));
  canvas.addEventListener("pointermove", (event) => point(...nearest(place(event))));
  canvas.addEventListener("pointerleave", () => point(null, 0));
  return canvas;
}

export const redraw = () => canvas.redraw();

/** The colour and the dashes of a model, the same whichever others are chosen. */
export function style(name) {
  const i = info.models.findIndex((one) => one.name === name);
  return [PALETTE[i % PALETTE.length], DASHES[Math.floor(i / PALETTE.length) % DASHES.length]];
}

export function swatch(name) {
  const element = make("canvas", { width: 48, height: 24, "aria-hidden": "true" }), context = element.getContext("2d"), [colour, dash] = style(name);
  context.strokeStyle = colour; context.lineWidth = 6; context.setLineDash(dash.map((one) => 2 * one));
  context.beginPath(); context.moveTo(0, 12); context.lineTo(48, 12); context.stroke();
  return element;
}

// --- between levels and places: the marks stand at equal distances ---

/** The stop of the slider that lies nearest to a place, 0 the first mark, 1 the second, … */
function levelAt(place) {
  const { stops, marks } = info.noise[state.kind], low = Math.min(Math.floor(place), marks.length - 1), share = place - low, next = marks[low + 1] ?? marks[low];
  // where levels fall there is none between no noise and the weakest
  const wanted = low === 0 && falls(marks) ? (share < 0.5 ? 0 : next) : marks[low] + share * (next - marks[low]);
  return stops.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best));
}

function placeOf(level) {
  const { marks } = info.noise[state.kind], same = marks.indexOf(level);
  if (same >= 0) return same;
  if (falls(marks) && level > marks[1]) return 0.5;
  const low = marks.findIndex((mark, i) => (i > 0 || !falls(marks)) && (level - mark) * (level - marks[i + 1]) < 0);
  return low < 0 ? marks.length - 1 : low + (level - marks[low]) / (marks[low + 1] - marks[low]);
}

const letters = () => Math.max(12, 0.8 * parseFloat(getComputedStyle(document.documentElement).fontSize));

function axes(width = canvas.clientWidth, height = canvas.clientHeight) {
  const font = letters(), left = font * (width < 500 ? 3.6 : 4.6), right = 14, top = 14 + 1.6 * font, bottom = 3.5 * font, { log } = shown;
  const rows = shown.lines.map(([, row]) => row), n = info.noise[state.kind].marks.length;
  const positive = rows.flatMap((row) => [...row.mse]).filter((value) => value > 1e-12);
  // a band may be far wider than the lines, as that of two photographs is: it is cut, and the lines keep their room
  const most = Math.max(0.01, Math.min(Math.max(...rows.flatMap((row) => [...row.high])), 2 * Math.max(...rows.flatMap((row) => [...row.mse])))), least = log ? Math.max(1e-5, Math.min(...positive, most / 10)) : 0;
  const up = (value) => (log ? Math.log10(Math.max(value, least)) : value);
  return { font, left, right, top, bottom, most, least, x: (i) => left + (i / (n - 1)) * (width - left - right),
    at: (x) => Math.max(0, Math.min(1, (x - left) / (width - left - right))) * (n - 1),
    y: (value) => height - bottom - ((up(value) - up(least)) / (up(most) - up(least) || 1)) * (height - top - bottom) };
}

/** The line within reach of a point, and the mark nearest to it; [null, 0] if there is none. */
function nearest([x, y]) {
  const to = axes(), place = to.at(x), low = Math.floor(place), share = place - low;
  let name = null, least = 14;
  for (const [one, { mse }] of shown.lines) {
    const distance = Math.abs(y - (to.y(mse[low]) + share * (to.y(mse[low + 1] ?? mse[low]) - to.y(mse[low]))));
    if (distance < least) { least = distance; name = one; }
  }
  return [name, Math.round(place)];
}

function draw(context, width, height) {
  const { marks, symbol, unit, title } = info.noise[state.kind], { font, left, right, top, bottom, most, least, x, y } = axes(width, height);
  context.font = `${font}px system-ui, sans-serif`; context.fillStyle = ink("soft"); context.strokeStyle = ink("line"); context.lineWidth = 1;
  context.textAlign = "right"; context.textBaseline = "middle";
  for (const value of ticks(least, most)) { context.beginPath(); context.moveTo(left, y(value)); context.lineTo(width - right, y(value)); context.stroke(); context.fillText(String(Number(value.toPrecision(3))), left - 8, y(value)); }
  context.textAlign = "left"; context.textBaseline = "top";
  context.fillText(`MSE${shown.log ? ", logarithmic" : ""}: lower is better`, 2, 2);
  context.textAlign = "center";
  marks.forEach((level, i) => { if (width > 420 || i % 2 === 0) context.fillText(falls(marks) && level === 0 ? "none" : String(level), x(i), height - bottom + 8); });
  context.fillText(`${title}, ${symbol}${unit ? ` in ${unit}` : ""}${falls(marks) ? ": fewer mean more noise →" : ""}`, (left + width - right) / 2, height - font - 6);
  const here = x(placeOf(state.level));
  context.setLineDash([3, 3]); context.strokeStyle = ink("edge"); context.beginPath(); context.moveTo(here, top); context.lineTo(here, height - bottom); context.stroke(); context.setLineDash([]);
  // the one that stands out lies on top
  for (const [name, row] of [...shown.lines].sort((a, b) => (a[0] === shown.lit) - (b[0] === shown.lit))) line(context, name, row, x, y, font, [least, most]);
}

function line(context, name, row, x, y, font, [least, most]) {
  const [colour, dash] = style(name), faded = shown.lit !== null && shown.lit !== name, lit = shown.lit === name, { marks } = info.noise[state.kind];
  const path = (values) => values.forEach((value, i) => context[i ? "lineTo" : "moveTo"](x(i), y(value)));
  const within = (value) => y(Math.max(least, Math.min(most, value)));  // no error is below none
  context.beginPath(); row.high.forEach((value, i) => context.lineTo(x(i), within(value))); [...row.low.keys()].reverse().forEach((i) => context.lineTo(x(i), within(row.low[i])));
  context.globalAlpha = faded ? 0.03 : lit ? 0.25 : 0.12; context.fillStyle = colour; context.fill();
  context.globalAlpha = faded ? 0.18 : 1;
  context.beginPath(); path(row.mse); context.strokeStyle = colour; context.lineWidth = (lit ? 1.8 : 1) * (font / 6); context.setLineDash(dash); context.stroke(); context.setLineDash([]);
  for (const one of info.models.find((facts) => facts.name === name).trained) {
    if (one.kind !== state.kind || one.relative || one.level < Math.min(...marks) || one.level > Math.max(...marks)) continue;
    // between two measured levels: where the line passes
    const i = placeOf(one.level), low = Math.floor(i), before = y(row.mse[low]), after = y(row.mse[low + 1] ?? row.mse[low]);
    context.beginPath(); context.arc(x(i), before + (i - low) * (after - before), 6, 0, 7); context.fillStyle = ink("card"); context.fill(); context.stroke();
  }
  context.globalAlpha = 1;
}

function ticks(least, most) {
  if (shown.log) {
    const first = Math.floor(Math.log10(least)), decades = Math.log10(most / least), steps = decades > 3 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 2, 3, 5, 7];
    return Array.from({ length: 8 }, (_, i) => steps.map((step) => step * 10 ** (first + i))).flat().filter((value) => value >= least * 0.999 && value <= most);
  }
  const raw = most / 5, size = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((one) => one * size).find((one) => one >= raw);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}
