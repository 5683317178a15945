/** What is drawn more often is read by nobody, and takes its time from what sends. */
const LEAST_MS = 100;

/**
 * Lets `draw` be called with the next frame, however often it is asked for, and then not again for a while.
 *
 * @param {() => void} draw
 * @param {() => number} [now] milliseconds
 * @returns {() => void}
 */
export function paced(draw, now = () => performance.now()) {
  let asked = false;
  let drawn = -Infinity;
  const frame = () =>
    requestAnimationFrame(() => {
      asked = false;
      drawn = now();
      draw();
    });
  return () => {
    if (asked) return;
    asked = true;
    const rest = drawn + LEAST_MS - now();
    if (rest > 0) setTimeout(frame, rest);
    else frame();
  };
}
