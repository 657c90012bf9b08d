// Modules of this file under the names by which they import each other, and then the page.

{
  const imports = {};
  for (const script of document.querySelectorAll("script[data-module]")) imports[script.dataset.module] = `data:text/javascript;charset=utf-8,${encodeURIComponent(script.textContent)}`;
  const script = (type, text) => document.body.append(Object.assign(document.createElement("script"), { type, textContent: text }));
  script("importmap", JSON.stringify({ imports }));
  script("module", 'import "isthmus/main.js";');
}
