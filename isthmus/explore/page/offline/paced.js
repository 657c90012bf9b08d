// Work in small parts, so that the page paints and hears meanwhile.

const MOST = 12;  // ms of work at a time: less than a frame

/** What `work(i)` makes of each i below n. Throws what `signal` says, once that gives up. */
export async function paced(n, work, signal) {
  const all = [];
  let since = performance.now();
  for (let i = 0; i < n; i++) {
    if (performance.now() - since > MOST) {
      await new Promise((resolve) => setTimeout(resolve));
      signal?.throwIfAborted();
      since = performance.now();
    }
    all.push(work(i));
  }
  return all;
}
