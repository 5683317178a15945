/**
 * @typedef {import("./types.js").Entry} Entry
 *
 * @typedef {object} State what the server says about a file it was asked about
 * @property {"new" | "refused" | "receiving" | "stored"} state
 * @property {string} [error]
 * @property {number} [status]
 * @property {string} [code] the row of the server's table
 * @property {[number, number][]} [ranges] half-open
 * @property {number} [chunk_size] of a file that is arriving in chunks
 * @property {string} [sha256] that was told of it
 * @property {import("./types.js").StoredFile} [file]
 */

/** Files of one question. */
const MOST = 1000;
/** Sending fewer bytes takes no longer than the question. */
const WORTH_BYTES = 1_000_000;
/** Not to be kept waiting for others. */
const FULL_BYTES = 16_000_000;

/**
 * The place before the packer: the server is asked about each slice of files before any of its bytes leave. Not
 * about a few small ones that were never sent: their request is answered as fast as the question would be.
 */
export class Precheck {
  /**
   * @param {object} options
   * @param {number} options.few so many small files are not worth a question
   * @param {number} [options.most] files of one question
   * @param {(entries: Entry[]) => Promise<Record<string, State>>} options.ask no answer for a file lets it pass
   * @param {(entry: Entry, state: State | undefined) => void} options.tell
   * @param {() => void} options.passed nothing waits here any more, and no more is awaited
   */
  constructor({ few, most = MOST, ask, tell, passed }) {
    this.few = few;
    this.most = Math.min(most, MOST);
    this.ask = ask;
    this.tell = tell;
    this.passed = passed;
    /** @type {Set<Entry>} */
    this.waiting = new Set();
    this.bytes = 0;
    this.known = 0;
    this.closed = false;
    this.running = false;
    this.enough = few;
  }

  /** @param {Entry} entry */
  add(entry) {
    if (this.waiting.has(entry)) return;
    this.waiting.add(entry);
    this.count(entry, 1);
    this.closed = false;
    if (this.ripe()) this.run();
  }

  /** @param {Entry} entry */
  remove(entry) {
    if (this.waiting.delete(entry)) this.count(entry, -1);
  }

  /** Nothing more is awaited: what is here goes on. */
  close() {
    this.closed = true;
    this.run();
  }

  /**
   * @param {Entry} entry
   * @param {1 | -1} sign
   */
  count(entry, sign) {
    this.bytes += sign * entry.size;
    if (entry.left) this.known += sign;
  }

  worth() {
    return this.waiting.size > this.few || this.bytes > WORTH_BYTES || this.known > 0;
  }

  /** Whether there is enough to ask about while more is still being added: each time more, for a question takes its while. */
  ripe() {
    return this.waiting.size > this.enough || this.bytes > FULL_BYTES;
  }

  async run() {
    if (this.running) return;
    this.running = true;
    while (this.waiting.size > 0 && (this.closed || this.ripe())) {
      this.enough = Math.min(2 * this.enough, this.most);
      const worth = this.worth();
      const slice = [];
      for (const entry of this.waiting) {
        if (slice.push(entry) >= this.most) break;
      }
      const states = worth ? await this.ask(slice) : {};
      for (const entry of slice) {
        // A person may have taken it out while the question was under way.
        if (!this.waiting.has(entry)) continue;
        this.remove(entry);
        this.tell(entry, states[entry.uuid]);
      }
    }
    this.running = false;
    if (!this.closed) return;
    this.enough = this.few;
    this.passed();
  }
}
