// What leaves the page: numbers as CSV, panels as PNG.

import { make, toast } from "./dom.js";
import { state } from "./state.js";

function download(file, blob) {
  const name = state.epoch < 0 ? file : file.replace(/(?=\.\w+$)/, `-epoch-${state.epoch}`);
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  toast(`Saved ${name} to your downloads.`);
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export const csv = (name, rows) => {
  const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  download(name, new Blob([rows.map((row) => row.map(cell).join(",")).join("\n") + "\n"], { type: "text/csv" }));
};

/** The lines of a text as they are broken on the page: {text, place, right}, the place of its first letter and where it ends. */
function linesOf(node) {
  const range = document.createRange(), found = [];
  for (let i = 0; i < node.data.length; i++) {
    range.setStart(node, i); range.setEnd(node, i + 1);
    const place = range.getClientRects()[0], last = found.at(-1);
    if (!place?.width) continue;
    if (last && Math.abs(last.place.y - place.y) < place.height / 2) { last.text += node.data[i]; last.right = place.right; }
    else found.push({ text: node.data[i], place, right: place.right });
  }
  return found;
}

/** The box beyond which an element's text is cut off on the page. */
function cutOf(element, panel) {
  for (let one = element; one !== panel; one = one.parentElement) if (getComputedStyle(one).overflow !== "visible") return one.getBoundingClientRect();
  return panel.getBoundingClientRect();
}

/** Every picture of panels, one below the other, with what is written there, as one PNG. */
export function panelAsPng(panels, name, title) {
  document.documentElement.classList.add("exporting");  // in which no words are cut off
  try { paint(panels, name, title); } finally { document.documentElement.classList.remove("exporting"); }
}

function paint(panels, name, title) {
  const shown = panels.flatMap((panel) => [...panel.querySelectorAll("canvas")].filter((one) => one.offsetParent && !one.closest(".scale")));
  if (shown.every((one) => one.closest(".swatches"))) return toast("There is no picture here yet.");
  const scale = 2, head = 34, boxes = panels.map((panel) => panel.getBoundingClientRect());
  const width = Math.max(...boxes.map((box) => box.width)), height = head + boxes.reduce((sum, box) => sum + box.height, 0);
  const out = document.createElement("canvas"), context = out.getContext("2d");
  out.width = width * scale; out.height = height * scale;
  context.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--card"); context.fillRect(0, 0, width, height);
  context.fillStyle = style.getPropertyValue("--ink"); context.font = "600 15px system-ui, sans-serif";
  context.fillText(title, 12, 22);
  context.textBaseline = "middle"; context.imageSmoothingEnabled = false;
  let top = head;
  panels.forEach((panel, i) => {
    context.save();
    context.translate(-boxes[i].x, top - boxes[i].y);
    for (const canvas of shown.filter((one) => panel.contains(one))) {
      const { x, y, width: w, height: h } = canvas.getBoundingClientRect();
      // whole and not stretched, as on the page; a plot is as wide and high as its place
      const fit = canvas.matches(".pix") ? Math.min(w / canvas.width, h / canvas.height) : null;
      const [a, b] = fit ? [fit * canvas.width, fit * canvas.height] : [w, h];
      context.drawImage(canvas, x + (w - a) / 2, y + (h - b) / 2, a, b);
    }
    texts(context, panel);
    context.restore();
    top += boxes[i].height;
  });
  out.toBlob((blob) => (blob ? download(name, blob) : toast("Too large for one picture: choose fewer models, or narrow the window.")));
}

/** Write what is written on a panel, and the numbers in its boxes, where they stand in the window. */
function texts(context, panel) {
  const words = (element) => {
    const look = getComputedStyle(element);
    context.font = `${look.fontWeight} ${look.fontSize} ${look.fontFamily}`; context.fillStyle = look.color;
    context.letterSpacing = look.letterSpacing === "normal" ? "0px" : look.letterSpacing;
  };
  const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility({ visibilityProperty: true }) || parent.closest("button:not(h3 button, .legend button, .thumbs button), select, option, .sr, .scale")) continue;
    const cut = cutOf(parent, panel);
    words(parent);
    context.save();
    context.beginPath(); context.rect(cut.x, cut.y, cut.width, cut.height + 1); context.clip();
    // no wider than on the page, whose letters may be set closer
    for (const { text, place, right } of linesOf(node)) if (place.bottom <= cut.bottom + 3) context.fillText(text, place.x, place.y + place.height / 2, right - place.x + 1);
    context.restore();
  }
  for (const input of panel.querySelectorAll('input[type="number"]')) {
    if (!input.offsetParent) continue;
    const place = input.getBoundingClientRect();
    words(input);
    context.fillText(input.value, place.x + 8, place.y + place.height / 2);
  }
}
