const WINDOW_MS = 8000;
const SLOT_MS = 250;
/** Before that, a guess would be no more than a guess. */
const LEAST_MS = 1500;

/** How fast bytes leave, over the last seconds, and what follows for the rest. */
export class Meter {
  /** @param {() => number} [now] milliseconds */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.reset();
  }

  /** Begins anew, after a pause that says nothing about the line. */
  reset() {
    /** @type {{at: number, bytes: number}[]} */
    this.slots = [];
    /** @type {number | null} */
    this.began = null;
  }

  /** @param {number} bytes that have left since the last call */
  add(bytes) {
    const at = this.now();
    this.began ??= at;
    const last = this.slots.at(-1);
    if (last && at - last.at < SLOT_MS) last.bytes += bytes;
    else this.slots.push({ at, bytes });
    while (this.slots[0].at < at - WINDOW_MS) this.slots.shift();
  }

  /** Bytes per second; null while nothing is known. */
  speed() {
    const age = this.began === null ? 0 : this.now() - this.began;
    if (age < LEAST_MS) return null;
    const span = Math.min(age, WINDOW_MS);
    const since = this.now() - span;
    const bytes = this.slots.reduce((sum, slot) => sum + (slot.at >= since ? slot.bytes : 0), 0);
    return (bytes * 1000) / span;
  }

  /**
   * @param {number} bytes that have not left yet
   * @returns {number | null} seconds
   */
  left(bytes) {
    const speed = this.speed();
    return speed ? bytes / speed : null;
  }
}
