import { missingChunks } from "./chunkedfile.js";
import { ChunkLane } from "./chunklane.js";
import { sentence } from "./messages.js";
import { isOpen } from "./tally.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./chunkedfile.js").ChunkedFile} ChunkedFile
 * @typedef {import("./chunkedfile.js").Chunk} Chunk
 * @typedef {import("./transport.js").Hooks} Hooks
 *
 * @typedef {object} Signed where the parts of a file go
 * @property {Map<number, string>} urls by where the part begins
 * @property {Record<string, string>} headers to put each with
 * @property {number} until the clock's time after which they are asked for anew
 * @property {Set<number>} there indexes of those that the store has
 */

/** Of the time that an address is good this share is used: the store looks at it when a part has begun to leave. */
const FRESH = 0.8;
/** The server may be busy with the same file. */
const UNSIGNED_MS = 90_000;

/** Another part of the file is in the store, said as the server says it of a chunk. @type {Answer} */
const KEPT = {
  kind: "answer",
  status: 202,
  text: '{"success": true, "files": []}',
  type: "application/json",
  code: "",
  codes: "",
  retryAfter: "",
  perPart: false,
  redirected: false,
};

/** The files of a queue that go straight to the store: the server signs for their parts, and completes them. */
export class DirectLane extends ChunkLane {
  /** @param {import("./queue.js").Queue} queue */
  constructor(queue) {
    super(queue);
    /** @type {WeakMap<ChunkedFile, Signed>} */
    this.signed = new WeakMap();
    /** Questions under way: the parts of a file ask together. @type {WeakMap<ChunkedFile, Promise<Answer>>} */
    this.asking = new WeakMap();
  }

  /**
   * What the server has said of the file before is not asked of the store.
   *
   * @override
   * @param {Entry} entry
   */
  put(entry) {
    const file = this.files.get(entry);
    if (file) this.signed.delete(file);
    super.put(entry);
  }

  /**
   * @override
   * @param {Entry} entry
   */
  begin(entry) {
    const file = super.begin(entry);
    file.unordered = true;
    return file;
  }

  /** @override */
  take() {
    for (const file of this.files.values()) {
      if (file.asked || file.entry.paused) continue;
      if (!this.signed.has(file)) return () => this.prepare(file);
      if (file.next() !== null) return () => this.send(file);
    }
    return null;
  }

  /**
   * Begins a file, or learns what the store has of it.
   *
   * @param {ChunkedFile} file
   */
  async prepare(file) {
    const { entry } = file;
    file.asked = true;
    this.leaves(entry);
    const answer = await this.sign(file);
    this.running -= 1;
    if (!isOpen(entry) || this.files.get(entry) !== file) return;
    file.asked = false;
    if (this.signed.has(file)) this.advanced(file);
    else await this.answered(file, 0, answer);
  }

  /**
   * @param {ChunkedFile} file
   * @returns {Promise<Answer>}
   */
  sign(file) {
    const asking = this.asking.get(file) ?? this.ask(file).finally(() => this.asking.delete(file));
    this.asking.set(file, asking);
    return asking;
  }

  /**
   * @param {ChunkedFile} file
   * @returns {Promise<Answer>}
   */
  async ask(file) {
    const { entry } = file;
    const { options, transport } = this.queue;
    const { uuid, size, path } = entry;
    const asked = JSON.stringify({ uuid, size, path, filename: entry.file.upload.filename });
    const url = options.directUrl ?? "";
    const type = "application/json";
    const answer = await transport.request({ method: "POST", url, type, build: () => asked, timeout: UNSIGNED_MS });
    if (answer.kind === "answer" && answer.status === 200) this.learn(file, answer.text);
    return answer;
  }

  /**
   * @param {ChunkedFile} file
   * @param {string} text
   */
  learn(file, text) {
    let told;
    try {
      told = JSON.parse(text);
      if (!Array.isArray(told.parts)) return;
    } catch {
      // Somebody else has answered.
      return;
    }
    if (!this.signed.has(file)) file.learn(told);
    const missing = new Set(missingChunks(file.entry.size, file.chunkSize, told.ranges));
    const there = new Set(Array.from({ length: file.count }, (_, index) => index).filter((index) => !missing.has(index)));
    // What completes the file comes behind its last part.
    if (file.missing.size === 0) file.lack(file.count - 1);
    /** @type {{start: number, url: string}[]} */
    const parts = told.parts;
    const urls = new Map(parts.map(({ start, url }) => [start, url]));
    this.signed.set(file, { urls, headers: told.headers, until: Date.now() + told.expires * 1000 * FRESH, there });
  }

  /**
   * Puts a part into the store, and completes the file where that was all. A signature that the store no longer takes
   * is renewed, once.
   *
   * @override
   * @param {ChunkedFile} file
   * @param {Chunk} chunk
   * @param {{chunk: string | null, file: string | null}} _
   * @param {Hooks} hooks
   * @returns {Promise<Answer>}
   */
  async post(file, chunk, _, hooks) {
    for (let tries = 0; ; tries += 1) {
      const signed = this.signed.get(file);
      if (signed?.there.has(chunk.index)) break;
      const url = signed && Date.now() < signed.until ? signed.urls.get(chunk.start) : undefined;
      if (signed && url) {
        const slice = file.entry.file.slice(chunk.start, chunk.end);
        const answer = await this.queue.transport.put(url, signed.headers, slice, hooks);
        if (answer.kind === "answer" && answer.status === 200) this.signed.get(file)?.there.add(chunk.index);
        else if (tries > 0 || !isExpired(answer, signed)) return this.translated(answer);
        else signed.until = 0;
      } else {
        const answer = await this.sign(file);
        if (answer.status !== 200 || tries > 2) return answer;
      }
    }
    // The parts go beside one another: whichever comes last finds all there.
    return this.signed.get(file)?.there.size === file.count ? this.complete(file, hooks) : KEPT;
  }

  /**
   * @param {ChunkedFile} file
   * @param {Hooks} hooks
   */
  async complete(file, { signal, sent }) {
    sent?.();
    const url = `${this.queue.options.uploadsUrl}/${encodeURIComponent(file.entry.uuid)}`;
    const asked = JSON.stringify({ sha256: (await file.digest) ?? undefined });
    return this.queue.transport.request({ method: "POST", url, type: "application/json", build: () => asked }, { signal });
  }

  /**
   * What the store has said, as the server says it of a chunk.
   *
   * @param {Answer} answer
   * @returns {Answer}
   */
  translated(answer) {
    const { kind, status } = answer;
    if (kind !== "answer") return answer;
    if (status === 404) return { ...answer, status: 409, code: "upload_gone" };
    if (status === 429 || status >= 500) return { ...answer, status: 503, type: "", text: "" };
    const text = sentence(this.queue.options, "store_refused", { status });
    return { ...answer, status: 500, type: "text/plain", text };
  }

  /**
   * The store looks at each part by itself: no sum of a part is of use.
   *
   * @override
   */
  sumOf() {
    return Promise.resolve(null);
  }

  /**
   * @override
   * @param {File} whole
   * @param {AbortSignal} signal
   */
  wholeSum(whole, signal) {
    return this.queue.options.directDigest ? super.wholeSum(whole, signal) : Promise.resolve(null);
  }
}

/**
 * Whether the store may have refused what was signed too long ago: not every one lets a page read that.
 *
 * @param {Answer} answer
 * @param {Signed} signed
 */
function isExpired({ kind, status }, { until }) {
  return status === 403 || (kind === "network" && Date.now() >= until);
}
