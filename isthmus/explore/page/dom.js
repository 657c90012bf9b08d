// Small helpers for the document.

export const $ = (id) => document.getElementById(id);

/** An element: make("button", {class: "x", onclick: f}, "text", child). */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Write a text that may change with every step of a slider: only what differs, and into the text node that is there. */
export function write(element, text) {
  const node = element.firstChild;
  if (!node || node.nodeType !== 3 || node.nextSibling) element.textContent = text;
  else if (node.data !== text) node.data = text;
}

export const picture = (label) => make("canvas", { class: "pix", role: "img", "aria-label": label });
export const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

/** A canvas with its title, what is said of it, and a hint on what the title means. */
export function figureOf(canvas, title, hint = "") {
  const says = make("small", {}, "\u00a0"), named = hint ? make("abbr", { title: hint }, title) : make("span", {}, title);
  const element = make("figure", {}, canvas, make("figcaption", {}, named, says));
  element.says = (text) => write(says, text || "\u00a0");
  element.names = (text) => write(named, text);
  return element;
}

/** A function that makes an element as high as it ever had to be: what is below it does not jump when its words change. */
export function steady(element) {
  const room = () => { if (element.scrollHeight > element.clientHeight) element.style.minHeight = `${element.scrollHeight}px`; };
  window.addEventListener("resize", () => { element.style.minHeight = ""; room(); });
  return room;
}

/** Scroll to what just changed, if it is out of sight. */
export function bring(element, block = "nearest") {
  element.scrollIntoView({ block, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

/** Tabs by the WAI-ARIA pattern: arrow keys move, `choose(name)` is called with the part of the id after "tab-". */
export function tabs(list, choose) {
  const all = [...list.querySelectorAll('[role="tab"]')];
  for (const tab of all) {
    tab.dataset.text = tab.textContent;
    tab.addEventListener("click", (event) => {
      choose(tab.id.slice(4));
      if (event.detail) tab.blur();  // after the mouse, the arrows go through the images again, not through the tabs
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault(); event.stopPropagation();
      const enabled = all.filter((one) => !one.disabled && !one.hidden);
      const next = enabled[(enabled.indexOf(tab) + step + enabled.length) % enabled.length];
      next.focus(); choose(next.id.slice(4));
    });
  }
  return (name) => {
    for (const tab of all) {
      const chosen = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", chosen); tab.tabIndex = chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
}

/** Make a group of buttons, or of others that a selector names, one stop: its arrows move the focus among them. */
export function rove(group, selector = "button") {
  const buttons = () => [...group.querySelectorAll(selector)].filter((one) => one.checkVisibility());
  const stop = (one) => { for (const other of group.querySelectorAll(selector)) other.tabIndex = other === one ? 0 : -1; };
  const anew = () => stop(buttons().find((one) => one.getAttribute("aria-pressed") === "true") ?? group.querySelector(selector));
  new MutationObserver(anew).observe(group, { childList: true });
  anew();
  group.addEventListener("focusin", (event) => stop(event.target));
  group.addEventListener("keydown", (event) => {
    const all = buttons(), step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !all.includes(event.target)) return;
    event.preventDefault(); event.stopPropagation();
    all[(all.indexOf(event.target) + step + all.length) % all.length].focus();
  });
}

let timer;
export function toast(text) {
  $("toast").textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => { $("toast").textContent = ""; }, 4000);
}
