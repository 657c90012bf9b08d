// The drawing of a code: bars (a short one), a map (a long one) or planes (a convolution's). Its units are clicked and dragged.

import { changes, edited, ends, held, mark, put } from "./code.js";
import { make } from "./dom.js";
import { colour, figure, ink, plot } from "./paint.js";
import { set, state } from "./state.js";

const BARS = 96;  // codes of up to so many numbers are bars, longer ones a map
let cells = [], canvas;

/** The canvas. */
export function begin() {
  canvas = make("canvas", { class: "plot", tabindex: "0", role: "application", "aria-label": "The code. Arrow keys choose a unit, Page Up and Page Down change its value." });
  plot(canvas, (width) => (cells.bars ? Math.min(0.5 * width, 320) : Math.min(width * cells.ratio, Math.max(260, innerHeight * 0.56))), draw);
  pointer();
  return canvas;
}

export const redraw = () => canvas.redraw();
/** Choose a unit, if there is one of this number. */
export const choose = (unit) => { if (Number.isInteger(unit) && unit >= 0 && unit < held.facts?.units) set({ unit }); };

/** Whether a model's code is short enough for bars, and has no planes. */
export const inBars = ({ units, planes }) => units <= BARS && (!planes || planes[1] * planes[2] <= 1);

/** Where each unit stands, as shares of the width and height. */
export function arrange() {
  if (canvas.dataset.model === held.facts.name && cells.length) return;
  canvas.dataset.model = held.facts.name;
  const n = held.facts.units, [c, h, w] = held.facts.planes ?? [1, 1, n];
  cells = [];
  if (inBars(held.facts)) {
    cells.bars = true;
    for (let i = 0; i < n; i++) cells.push([i / n, 0, 1 / n, 1]);
  } else if (held.facts.planes && h * w > 1) {
    const columns = Math.ceil(Math.sqrt((c * h) / w)), rows = Math.ceil(c / columns), gap = 0.6;
    const wide = columns * (w + gap) - gap, high = rows * (h + gap) - gap;
    cells.ratio = high / wide; cells.columns = w;
    for (let i = 0; i < n; i++) {
      const plane = Math.floor(i / (h * w)), at = i % (h * w), left = (plane % columns) * (w + gap), top = Math.floor(plane / columns) * (h + gap);
      cells.push([(left + (at % w)) / wide, (top + Math.floor(at / w)) / high, 1 / wide, 1 / high]);
    }
  } else {
    const columns = Math.ceil(Math.sqrt(n)), rows = Math.ceil(n / columns);
    cells.ratio = rows / columns; cells.columns = columns;
    for (let i = 0; i < n; i++) cells.push([(i % columns) / columns, Math.floor(i / columns) / rows, 1 / columns, 1 / rows]);
  }
}

const letters = () => 0.75 * parseFloat(getComputedStyle(document.documentElement).fontSize);

/** The part of the drawing in which the units lie: bars leave room for their numbers, a map keeps its shape and is centred. */
function box(width, height) {
  if (cells.bars) return [3.4 * letters(), 0, width - 3.4 * letters(), height];
  const scale = Math.min(width, height / cells.ratio);
  return [(width - scale) / 2, (height - scale * cells.ratio) / 2, scale, scale * cells.ratio];
}

function draw(context, width, height) {
  const { code, stats, range } = held;
  if (!code || !cells.length) return;
  const now = edited(), moved = changes(), [left, top, w, h] = box(width, height);
  if (cells.bars) bars(context, now, moved, left, w, h);
  else cells.forEach(([x, y, a, b], i) => {
    const gap = a * w > 6 ? 1 : 0;
    context.fillStyle = colour(now[i], range);
    context.fillRect(left + x * w, top + y * h, a * w - gap + (gap ? 0 : .5), b * h - gap + (gap ? 0 : .5));
    if (stats && stats.usage[i] === 0 && a * w > 4) { context.fillStyle = "#8a949e"; context.fillRect(left + (x + a / 2) * w - 1, top + (y + b / 2) * h - 1, 2, 2); }
  });
  const [x, y, a, b] = cells[state.unit] ?? cells[0];
  context.strokeStyle = ink("ink"); context.lineWidth = 2;
  context.strokeRect(left + x * w, top + y * h, a * w, b * h);
  if (!cells.bars) { context.strokeStyle = ink("card"); context.lineWidth = 1; context.strokeRect(left + x * w - 1.5, top + y * h - 1.5, a * w + 3, b * h + 3); }
  for (const i of moved.keys()) flag(context, left + cells[i][0] * w, top + cells[i][1] * h, cells[i][2] * w);
}

/** The mark of what was set by hand: a corner of its own colour, never smaller than can be seen. */
function flag(context, x, y, width) {
  const size = Math.max(9, Math.min(16, width * 0.45));
  context.beginPath(); context.moveTo(x, y); context.lineTo(x + size, y); context.lineTo(x, y + size); context.closePath();
  context.fillStyle = ink("hand"); context.fill(); context.strokeStyle = ink("card"); context.lineWidth = 1; context.stroke();
}

function bars(context, now, moved, left, width, height) {
  const { stats } = held, [low, high] = ends(), at = (value) => height * (1 - (value - low) / (high - low)), step = width / now.length, gap = Math.min(4, step * 0.2);
  if (stats) {
    context.fillStyle = ink("line");
    now.forEach((_, i) => context.fillRect(left + i * step + gap / 2, at(stats.high[i]), step - gap, Math.max(1, at(stats.low[i]) - at(stats.high[i]))));
  }
  now.forEach((value, i) => {
    context.fillStyle = moved.has(i) ? ink("hand") : ink("accent");
    const from = at(Math.max(0, value)), to = at(Math.min(0, value));
    context.fillRect(left + i * step + gap, from, Math.max(1, step - 2 * gap), Math.max(2, to - from));
    if (stats && stats.usage[i] === 0) { context.beginPath(); context.fillStyle = ink("soft"); context.arc(left + (i + .5) * step, at(0) - 5, 2, 0, 7); context.fill(); }
  });
  context.fillStyle = ink("edge"); context.fillRect(left, at(0) - .5, width, 1);
  context.fillStyle = ink("soft"); context.font = `${letters()}px system-ui, sans-serif`; context.textAlign = "right";
  for (const [value, line] of [[high, "top"], [0, "middle"], [low, "bottom"]]) {
    if (value === low && at(0) > height - 2 * letters()) continue;  // the zero stands there
    context.textBaseline = line;
    context.fillText(figure(value, 2), left - 6, line === "top" ? 3 : line === "bottom" ? height - 3 : Math.min(at(0), height - letters()));
  }
  context.textAlign = "left";
}

function pointer() {
  let drag = null;
  const hit = (event) => {
    const place = canvas.getBoundingClientRect(), [left, top, w, h] = box(place.width, place.height);
    const x = (event.clientX - place.x - left) / w, y = (event.clientY - place.y - top) / h;
    return cells.findIndex(([a, b, c, d]) => x >= a && x < a + c && y >= b && y < b + d);
  };
  canvas.addEventListener("pointerdown", (event) => {
    const unit = held.code && event.isPrimary ? hit(event) : -1;
    if (unit < 0) return;
    canvas.setPointerCapture(event.pointerId);
    drag = { unit, y: event.clientY, from: edited()[unit], before: state.code, moved: false };
    choose(unit);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || !event.isPrimary) return;
    const by = drag.y - event.clientY;
    if (!drag.moved && Math.abs(by) < 5) return;
    if (!drag.moved) { drag.moved = true; mark(drag.before); }
    const [low, high] = ends();
    put(drag.unit, drag.from + (by / (cells.bars ? canvas.clientHeight : 160)) * (high - low));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { drag = null; });
  canvas.addEventListener("keydown", (event) => {
    if (!held.code) return;
    const across = cells.bars ? 1 : cells.columns, step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    const push = { PageUp: 1, PageDown: -1 }[event.key];
    if (step) choose(Math.max(0, Math.min(held.facts.units - 1, state.unit + step)));
    else if (push) { mark(); put(state.unit, edited()[state.unit] + push * 0.1 * held.range); }
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(held.facts.units - 1);
    else return;
    event.preventDefault(); event.stopPropagation();
  });
}
