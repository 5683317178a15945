const FIRST_MS = 1000;
const MOST_MS = 30_000;
/** A server that names a later hour is asked again after this. */
const LONGEST_WAIT_MS = 3_600_000;

/**
 * How long an answer asks to wait (RFC 9110, 10.2.3: seconds or a date).
 *
 * @param {string} header
 * @param {number} [now] milliseconds
 * @returns {number | null} milliseconds; null where it does not say, or names a time that is over: going by that, a busy
 *   server would be asked at once, again and again
 */
export function retryAfter(header, now = Date.now()) {
  const text = header.trim();
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return wait > 0 ? Math.min(LONGEST_WAIT_MS, wait) : null;
}

/** Pauses that grow from one failure to the next, each a little different, so that not all come back at once. */
export class Backoff {
  /** @param {() => number} [random] */
  constructor(random = Math.random) {
    this.random = random;
    this.failures = 0;
  }

  /** Milliseconds until the next try: half of it is certain, half is chance. */
  next() {
    const whole = Math.min(MOST_MS, FIRST_MS * 2 ** this.failures);
    this.failures += 1;
    return whole * (0.5 + this.random() / 2);
  }

  reset() {
    this.failures = 0;
  }
}
