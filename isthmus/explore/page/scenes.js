// Guided scenes: a few questions that what is shown here can answer, each a link that sets everything.

import { info, labelOf } from "./data.js";
import { inBars } from "./codemap.js";
import { make, rove } from "./dom.js";
import { addressOf, on, read, set, state, tell } from "./state.js";

const MOST = 4;
// on a grid of 24×24
const ICONS = {
  noise: "M3 12h2l2-6 3 12 3-15 3 16 2-7h3", unit: "M5 20v-8m5 8V9m9 11v-9M14.5 20V4m-2 2 2-2.5L16.5 6", fails: "M12 4 3 20h18zM12 10v5m0 2.2v.6",
  walk: "M5 19a2 2 0 1 0 0-.1M19 5a2 2 0 1 0 0-.1M7 18c8-2 2-9 10-12", draw: "M4 20l1-5L16 4l4 4L9 19z", few: "M4 5h16M7 10h10M10 15h4m-2 5h0", samples: "M5 5h6v6H5zm8 0h6v6h-6zM5 13h6v6H5zm8 0h6v6h-6z",
  compare: "M4 4v16h16M7 16l4-5 3 2 5-7",
};

/** Set up a row of scenes, {icon, title, hint, state}; `fit` makes what an address says fit to what is here. An empty list shows nothing. */
export function begin(scenes, fit) {
  const place = document.getElementById("scenes");
  place.hidden = scenes.length < 2;
  if (place.hidden) return;
  const links = scenes.map(({ icon, title, state: values }, i) => {
    const link = make("a", { href: addressOf({ ...values, scene: i + 1 }), onclick: (event) => { if (!event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); go(i); } } });
    link.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[icon]}"/></svg>`;
    link.append(make("span", {}, title));
    return link;
  });
  // the address is set here and not by the browser: it may be that of the page already, or be written by `tell` meanwhile
  const go = (i) => { tell(); set(fit(read(links[i].hash))); };
  const hint = make("span"), next = make("button", { type: "button", class: "link", onclick: () => go(state.scene % scenes.length) }, "Next →");
  const says = make("p", { class: "hint", role: "status" }, hint, " ", next);
  place.append(make("div", { class: "row", role: "group", "aria-label": "Questions to try" }, ...links), says);
  rove(place.firstChild, "a");
  const show = () => {
    const at = state.scene - 1;
    links.forEach((link, i) => { if (i === at) link.setAttribute("aria-current", "step"); else link.removeAttribute("aria-current"); });
    if (links[at]) place.firstChild.scrollLeft = links[at].offsetLeft - (place.firstChild.clientWidth - links[at].offsetWidth) / 2;  // on a phone
    says.hidden = !scenes[at];
    hint.textContent = scenes[at]?.hint ?? "";
  };
  on("scene", show);
  // who goes to another view has left the scene
  on("view", () => { if (scenes[state.scene - 1] && (scenes[state.scene - 1].state.view ?? "models") !== state.view) set({ scene: 0 }); });
  show();
}

/** The scenes that these models and images can show, those that say most first. */
export function ofModels() {
  const models = info.models.filter((one) => !one.fault), coded = models.filter((one) => one.units && !one.collapsed), several = models.filter((one) => one.kind !== "identity").length > 1;
  const error = (one) => one.mse ?? Infinity, least = (some) => some.reduce((best, one) => (!best || error(one) < error(best) ? one : best), null);
  const noisy = models.flatMap((one) => one.trained.filter(({ kind, relative }) => !relative && info.noise[kind]))[0];
  // a short code, of which each number does much
  const learned = coded.filter((one) => one.family !== "PCA"), some = learned.length ? learned : coded;
  const short = least(some.filter((one) => inBars(one) && one.units > 1 && one.units <= 32)) ?? least(some), prior = least(coded.filter((one) => one.prior));
  const flat = least(some.filter((one) => one.units === 2)) ?? (short?.units > 1 ? short : null), [from, to] = pair();
  return [
    several && noisy && { icon: "noise", title: "Turn up the noise: who survives?", hint: "Move the noise slider. The best has a frame.", state: { kind: noisy.kind, level: noisy.level, sort: "error" } },
    several && !noisy && { icon: "few", title: "How few numbers are enough?", hint: "Each keeps so many numbers of an image: the fewest first.", state: { sort: "code" } },
    short && { icon: "unit", title: "Drag one unit: what changes?", hint: inBars(short) ? "Drag a bar up or down, and watch the image." : "Drag a square up or down, and watch the image.", state: { view: "inside", model: short.name } },
    short && info.data && { icon: "fails", title: "Which images does it fail on?", hint: "The worst first, each above what the model makes of it. Click one.", state: { view: "inside", model: short.name, panel: "hardest" } },
    flat && info.data?.n > 2 && { icon: "walk", title: "Walk from A to B", hint: "Drag from one image to another for a way of your own.", state: { view: "space", model: flat.name, image: from, from, to, panel: "walk" } },
    info.plain && info.shape[0] === 1 && !info.whole && { icon: "draw", title: "Draw one: is it understood?", hint: "Draw on the pad.", state: { source: "draw" } },
    prior && { icon: "samples", title: "Images that nobody drew", hint: "Codes sampled from the prior, decoded.", state: { view: "inside", model: prior.name, panel: "samples" } },
    several && info.data && { icon: "compare", title: "Which is best on all images?", hint: "Click in the chart to set the noise.", state: { view: "compare" } },
  ].filter(Boolean).slice(0, MOST);
}

/** The same of denoisers of photographs; on the left and right of the wipe are the noisy one, 0, and models from 1 on. */
export function ofPhotographs({ models }) {
  const most = Math.max(...models.map((one) => one.trained[1]));
  return [
    { icon: "noise", title: "Turn up the noise: what survives?", hint: "Move the noise slider, and the wipe.", state: { level: most, from: 0, to: 1 } },
    { icon: "fails", title: "Where is it wrong?", hint: "Red: far from the photograph without noise.", state: { level: most / 2, from: 0, to: 1, heat: 1 } },
    { icon: "few", title: "Can it tell how much noise there is?", hint: "Compare what each model estimates, below, with the slider.", state: { level: most / 2, from: 0, to: 1, blind: 1 } },
    models.length > 1 && { icon: "compare", title: "Which of two keeps the detail?", hint: "A model on each side of the wipe; the magnifier shows the same place of all.", state: { level: most / 2, from: 1, to: 2 } },
  ].filter(Boolean);
}

/** Two test images to go between: of different labels, if there are any. */
function pair() {
  if (!info.data) return [0, 1];
  // not 0 and 1, which an address means that says nothing
  const others = Array.from({ length: info.data.n }, (_, i) => i).slice(2), other = others.find((i) => labelOf(i) !== labelOf(0));
  return [0, other ?? others[0] ?? 0];
}
