// What every asker needs, whoever answers: refusals, and one question at a time.

/** What was asked cannot be answered, and why. */
export class Refused extends Error {}
/** Nobody answers: the page says so by itself. */
export class Lost extends Error {}

/** A handler of errors that hands what was refused to `say`, and leaves what is lost to the page. */
export const refusals = (say) => (error) => {
  if (error instanceof Refused) say(error.message);
  else if (!(error instanceof Lost)) throw error;
};

/** A function that does one thing at a time: of what is asked meanwhile, only the last is done. */
export function latest(run) {
  let busy = false, next = null;
  return async (...given) => {
    next = given;
    if (busy) return;
    busy = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await run(...now);
      }
    } finally { busy = false; }
  };
}
