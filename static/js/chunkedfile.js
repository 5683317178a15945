/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").Answer} Answer
 *
 * @typedef {object} Chunk half-open, as all ranges are
 * @property {number} index
 * @property {number} start
 * @property {number} end
 *
 * @typedef {object} Under a chunk that is under way
 * @property {Chunk} chunk
 * @property {AbortController} controller
 * @property {number} loaded bytes of the file that have left
 *
 * @typedef {object} Report
 * @property {() => void} advanced
 * @property {(bytes: number) => void} moved that many more have left
 * @property {() => void} sent all bytes of the file have left
 * @property {() => void} ready another chunk may leave now
 *
 * @typedef {object} Means
 * @property {(file: File, signal: AbortSignal) => Promise<string | null>} digest SHA-256 of the whole file
 * @property {(slice: Blob, signal: AbortSignal) => Promise<string | null>} sum SHA-256 of one chunk
 * @property {(chunk: Chunk, sums: {chunk: string | null, file: string | null}, hooks: import("./transport.js").Hooks) =>
 *   Promise<Answer>} post
 * @property {Report} report
 */

/** A file of no more chunks goes without digests. */
const UNHASHED_CHUNKS = 2;

/** @type {Omit<Answer, "kind">} */
const NOTHING = { status: 0, text: "", type: "", code: "", codes: "", retryAfter: "", perPart: false, redirected: false };

/**
 * The chunks of a file of which not every byte is there.
 *
 * @param {number} size of the file
 * @param {number} chunkSize
 * @param {[number, number][]} ranges that are there: half-open, in order, none touching another
 * @returns {number[]} their indexes, in order
 */
export function missingChunks(size, chunkSize, ranges) {
  const missing = [];
  let at = 0;
  for (let start = 0, index = 0; start < size; start += chunkSize, index += 1) {
    while (at < ranges.length && ranges[at][1] <= start) at += 1;
    const whole = at < ranges.length && ranges[at][0] <= start && Math.min(start + chunkSize, size) <= ranges[at][1];
    if (!whole) missing.push(index);
  }
  return missing;
}

/** One file that goes in chunks, over as many connections, pauses and restarts as it takes. */
export class ChunkedFile {
  /**
   * @param {Entry} entry
   * @param {number} chunkSize
   * @param {Means} means
   */
  constructor(entry, chunkSize, means) {
    this.entry = entry;
    this.means = means;
    /** @type {Map<number, Under>} */
    this.underWay = new Map();
    this.hashing = new AbortController();
    /** Null where nobody can tell, undefined before it is known. @type {string | null | undefined} */
    this.sha256 = undefined;
    /** Of the whole file, once it is being found out. @type {Promise<string | null> | undefined} */
    this.digest = undefined;
    /** Whether its chunks go in any order, beside one another: another request settles whether it is taken, or stored. */
    this.unordered = false;
    /** Whether the server is asked what it has before more is sent. */
    this.asked = false;
    /** How often a chunk was refused that may pass another time. @type {Map<number, number>} */
    this.refusals = new Map();
    this.chunkSize = chunkSize;
    /** @type {Set<number>} */
    this.missing = new Set();
    /** Bytes that are there. */
    this.held = 0;
    /** Whether an earlier page, or another, has sent a part of it. */
    this.resumed = false;
    this.declared = "";
    this.learn();
  }

  /**
   * Takes over what the server has of the file.
   *
   * @param {object} [state]
   * @param {[number, number][]} [state.ranges]
   * @param {number} [state.chunk_size] the one it was begun with
   * @param {string} [state.sha256] that was told of the file before
   */
  learn({ ranges = [], chunk_size: chunkSize = this.chunkSize, sha256: declared = "" } = {}) {
    this.chunkSize = chunkSize;
    this.declared = declared;
    this.missing = new Set(missingChunks(this.entry.size, chunkSize, ranges));
    this.held = this.entry.size;
    for (const index of this.missing) this.held -= this.lengthOf(index);
    this.resumed = ranges.length > 0;
    this.refusals.clear();
  }

  get count() {
    return Math.ceil(this.entry.size / this.chunkSize);
  }

  /** How much of the file has left, 0 to 1. */
  get fraction() {
    let bytes = this.held;
    for (const { loaded } of this.underWay.values()) bytes += loaded;
    return bytes / this.entry.size;
  }

  /** @param {number} index */
  lengthOf(index) {
    return Math.min(this.chunkSize, this.entry.size - index * this.chunkSize);
  }

  /**
   * The chunk that may leave now, or null. The first one goes alone, since it settles whether the file is taken; so
   * does the last, which brings the digest of the whole file; but where they are unordered. Where the digest has to tell
   * whether it is the right file, none goes before that.
   *
   * @returns {number | null}
   */
  next() {
    const { missing, underWay } = this;
    const [first] = missing;
    if (first === undefined || (this.entry.doubted && !this.hashed())) return null;
    if (!this.unordered) {
      if (missing.size === 1) return underWay.size === 0 && this.hashed() ? first : null;
      if (first === 0) return underWay.size === 0 ? 0 : null;
      if (missing.size - underWay.size === 1) return null;
    }
    for (const index of missing) if (!underWay.has(index)) return index;
    return null;
  }

  /**
   * To hash one or two chunks takes as long as to send them again, and requests of many files have no digests either;
   * but what an earlier page has sent must be of the same file.
   */
  get isHashed() {
    return this.count > UNHASHED_CHUNKS || this.resumed || this.entry.doubted;
  }

  /** Whether the digest is known, or never will be; lets it be found out. */
  hashed() {
    this.hash();
    return this.sha256 !== undefined;
  }

  async hash() {
    if (this.digest) return;
    this.digest = this.isHashed ? this.means.digest(this.entry.file, this.hashing.signal) : Promise.resolve(null);
    this.sha256 = await this.digest;
    this.means.report.ready();
  }

  /**
   * Sends the chunk that is next.
   *
   * @returns {Promise<{index: number, answer: Answer}>} of the kind "aborted" where it was stopped
   */
  async send() {
    const index = /** @type {number} */ (this.next());
    const start = index * this.chunkSize;
    const chunk = { index, start, end: start + this.lengthOf(index) };
    const under = { chunk, controller: new AbortController(), loaded: 0 };
    this.underWay.set(index, under);
    this.hash();
    const answer = await this.post(under);
    if (this.underWay.get(index) !== under) return { index, answer: { kind: "aborted", ...NOTHING } };
    this.underWay.delete(index);
    return { index, answer };
  }

  /**
   * @param {Under} under
   * @returns {Promise<Answer>}
   */
  async post(under) {
    const { chunk, controller } = under;
    const { means } = this;
    const slice = this.entry.file.slice(chunk.start, chunk.end);
    const sum = this.isHashed ? await means.sum(slice, controller.signal) : null;
    return means.post(chunk, { chunk: sum, file: this.sha256 ?? null }, {
      signal: controller.signal,
      progress: (loaded, total) => this.moved(under, loaded / total),
      sent: () => {
        if (!controller.signal.aborted && this.missing.size === 1) means.report.sent();
      },
    });
  }

  /**
   * @param {Under} under
   * @param {number} share of its request that has left
   */
  moved(under, share) {
    const { chunk, loaded, controller } = under;
    if (controller.signal.aborted) return;
    under.loaded = share * (chunk.end - chunk.start);
    // A repeated request begins anew.
    this.means.report.moved(Math.max(0, under.loaded - loaded));
    this.means.report.advanced();
  }

  /** @param {number} index of a chunk that is there now */
  keep(index) {
    if (this.missing.delete(index)) this.held += this.lengthOf(index);
    this.means.report.advanced();
  }

  /** @param {number} index of a chunk that has to go, although it is there */
  lack(index) {
    this.missing.add(index);
    this.held -= this.lengthOf(index);
  }

  /**
   * @param {number} index of a chunk that was refused
   * @param {number} most
   * @returns {boolean} whether it may go again, alone
   */
  mayRepeat(index, most) {
    const times = (this.refusals.get(index) ?? 0) + 1;
    this.refusals.set(index, times);
    return times < most;
  }

  /** Ends what is under way; it is missing again. */
  stop() {
    for (const { controller } of this.underWay.values()) controller.abort();
    this.underWay.clear();
  }

  /** Ends all: the file is stored, refused or cancelled. */
  end() {
    this.stop();
    this.hashing.abort();
  }
}
