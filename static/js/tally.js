/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {"stored" | "refused" | "failed" | "cancelled" | "deleted"} Closed
 */

const OPEN = new Set(["waiting", "paused", "sending", "checking"]);

/** @param {Pick<Entry, "state">} entry */
export function isOpen({ state }) {
  return OPEN.has(state);
}

/** A file weighs in the total progress at least this much: empty files are work, too. */
const LEAST_WEIGHT = 20_000;

/** @param {Pick<Entry, "size">} entry */
export function weightOf({ size }) {
  return Math.max(size, LEAST_WEIGHT);
}

/** What all files of a zone come to: counted by differences as they change, never by walking the list. */
export class Tally {
  constructor() {
    /** @type {import("./types.js").Counts} */
    this.counts = { files: 0, stored: 0, refused: 0, failed: 0, cancelled: 0, deleted: 0, open: 0 };
    /** What the bar is drawn from. */
    this.weights = { total: 0, stored: 0, sent: 0, lost: 0 };
    /** Bytes of files: of those that are not stored, what had left of them. */
    this.bytes = { total: 0, sent: 0, stored: 0 };
    /** @type {Set<Entry>} */
    this.failed = new Set();
    this.reached = 0;
  }

  /** @param {Entry} entry */
  add(entry) {
    this.counts.files += 1;
    // More work: the bar may fall back now, and only now.
    this.reached = 0;
    this.count(entry, 1);
  }

  /** @param {Entry} entry */
  remove(entry) {
    this.counts.files -= 1;
    this.count(entry, -1);
    this.reached = 0;
  }

  /**
   * How many bytes an entry has, once they are known.
   *
   * @param {Entry} entry
   * @param {number} size
   */
  measure(entry, size) {
    this.change(entry, () => (entry.size = size));
    this.reached = 0;
  }

  /**
   * Lets `act` change an entry, and counts the difference.
   *
   * @param {Entry} entry
   * @param {() => void} act
   */
  change(entry, act) {
    this.count(entry, -1);
    act();
    this.count(entry, 1);
  }

  /**
   * @param {Entry} entry
   * @param {1 | -1} sign
   */
  count(entry, sign) {
    const { counts, weights, bytes } = this;
    const { state, size, progress } = entry;
    const whole = weightOf(entry);
    if (state === "failed") this.failed[sign > 0 ? "add" : "delete"](entry);
    if (isOpen(entry)) {
      counts.open += sign;
      weights.total += sign * whole;
      weights.sent += sign * whole * progress;
      bytes.total += sign * size;
      bytes.sent += sign * size * progress;
      return;
    }
    counts[/** @type {Closed} */ (state)] += sign;
    const stored = state === "stored" || state === "deleted";
    // Nothing more has to be sent of one that is not stored, but what was sent of it stays sent.
    const weight = stored ? whole : Math.max(LEAST_WEIGHT, whole * progress);
    weights.total += sign * weight;
    weights[state === "stored" ? "stored" : "lost"] += sign * weight;
    const counted = stored ? size : size * progress;
    bytes.total += sign * counted;
    bytes.sent += sign * counted;
    if (state === "stored") bytes.stored += sign * size;
  }

  /** Shares of the bar, 0 to 1; their sum falls only when files are added or taken out. */
  shares() {
    const { total, stored, sent, lost } = this.weights;
    if (total <= 0) return { stored: 0, sent: 0, lost: 0 };
    const now = (stored + sent + lost) / total;
    this.reached = Math.min(1, Math.max(this.reached, now));
    const rest = this.reached - now;
    return { stored: stored / total, sent: sent / total + rest, lost: lost / total };
  }
}
