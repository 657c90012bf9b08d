// Files of the visitor's, chosen, dropped or pasted, and read by the server.

import { $ } from "./dom.js";
import { ask, Refused } from "./server.js";

const MOST = 10 * 2 ** 20;
const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MB`;
export const hint = (most = MOST) => `PNG, JPEG, TIFF, WebP, BMP, GIF, JPEG 2000 or PGM, up to ${megabytes(most)}. It is sent only to this machine's server.`;
export const HINT = hint();

/** Have the server read a file; `take(answer, name)` what it answers, or `says` why not. */
export async function send(file, says, take, most = MOST) {
  if (!file) return says("No picture was pasted or dropped.");
  const name = file.name.slice(0, 100) || "the picture";
  if (file.size > most) return says(`${name} is ${(file.size / 2 ** 20).toFixed(1)} MB; at most ${megabytes(most)} can be sent.`);
  says("Reading …");
  try {
    take(await ask("picture", { name }, file), name);
  } catch (error) {
    if (!(error instanceof Refused)) return says("The server does not answer.");
    says(error.message.startsWith(name) ? `${error.message}.` : `${name}: ${error.message}.`);
  }
}

/** Call `take(file)` with each file that the visitor hands over. */
export function receive(take) {
  $("file").addEventListener("change", () => { if ($("file").files[0]) take($("file").files[0]); $("file").value = ""; });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) take(file);
  });
  const has = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => { if (has(event)) { event.preventDefault(); document.body.classList.add("dropping"); } });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", (event) => {
    if (!has(event)) return;
    event.preventDefault(); document.body.classList.remove("dropping");
    take(event.dataTransfer.files[0]);
  });
}
