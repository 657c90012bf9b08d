// What a person cannot use: controls without a name, and text that is too faint for its ground (WCAG 2.1, AA).

function nameless() {
  const shown = [...document.querySelectorAll("button, input, select, canvas, [role=tab], [role=img]")]
    .filter((one) => one.checkVisibility() && !one.closest("[aria-hidden=true]"));
  const named = (one) => one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.[0]?.textContent.trim();
  return shown.filter((one) => !named(one)).map((one) => one.outerHTML.slice(0, 120));
}

const numbers = (text) => text.match(/[\d.]+/g).map(Number);

function luminance(colour) {
  const [r, g, b] = colour.slice(0, 3).map((value) => {
    const share = value / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function ground(element) {
  for (let one = element; one; one = one.parentElement) {
    const colour = numbers(getComputedStyle(one).backgroundColor);
    if (colour.length === 3 || colour[3] > 0.9) return colour;
  }
  return [255, 255, 255];
}

function faint() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = new Set();
  const aside = ".sr, noscript, button:disabled, dialog:not([open])";
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true }) || element.closest(aside)) continue;
    const colours = [numbers(getComputedStyle(element).color), ground(element)];
    const [more, less] = colours.map(luminance).sort((a, b) => b - a);
    if ((more + 0.05) / (less + 0.05) < 4.5) found.add(`${element.className || element.tagName}: ${text.slice(0, 30)}`);
  }
  return [...found];
}
