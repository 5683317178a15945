import { ChunkedFile } from "./chunkedfile.js";
import { Digests } from "./digests.js";
import { retryAfter } from "./patience.js";
import { isOpen } from "./tally.js";
import { courseOf, isKept, isLater } from "./verdicts.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./precheck.js").State} State
 */

/** A chunk that is refused for what happened to it on its way goes so often. */
const MOST_TRIES = 3;
/** What was refused was this chunk alone, as it arrived. */
const REPEATABLE = new Set(["chunk_digest", "chunk_length", "malformed", "no_file"]);
/** The server has another idea of what is there. */
const UNAWARE = new Set(["upload_gone", "unknown_upload", "chunk_overlaps", "chunk_changed", "parts_missing"]);
/** Smaller chunks would be more fields than bytes. */
const LEAST_CHUNK = 64 * 1024;

/** The files of a queue that go in chunks, beside the requests that hold many. */
export class ChunkLane {
  /** @param {import("./queue.js").Queue} queue */
  constructor(queue) {
    this.queue = queue;
    /** Larger files go in chunks of so much; 0: none do. */
    this.chunkSize = queue.options.chunkSize ?? 0;
    /** @type {Map<Entry, ChunkedFile>} */
    this.files = new Map();
    this.running = 0;
    this.digests = new Digests();
  }

  /** @param {Entry} entry */
  takes(entry) {
    return this.files.has(entry) || (this.chunkSize > 0 && entry.size > this.chunkSize);
  }

  /**
   * Lets a file take its turn.
   *
   * @param {Entry} entry
   * @param {State} [state] what the server has of it, where it was asked
   */
  put(entry, state) {
    const file = this.files.get(entry) ?? this.begin(entry);
    if (state) file.learn(state);
    file.asked = false;
    if (file.resumed) this.advanced(file);
    this.queue.pump();
  }

  /** @param {Entry} entry */
  begin(entry) {
    const { queue } = this;
    /** @type {ChunkedFile} */
    const file = new ChunkedFile(entry, this.chunkSize, {
      digest: (whole, signal) => this.digestOf(entry, whole, signal),
      sum: (slice, signal) => this.sumOf(slice, signal),
      post: (chunk, sums, hooks) => this.post(file, chunk, sums, hooks),
      report: {
        advanced: () => this.advanced(file),
        moved: (bytes) => queue.meter.add(bytes),
        sent: () => isOpen(entry) && queue.change(entry, "checking"),
        ready: () => queue.pump(),
      },
    });
    this.files.set(entry, file);
    return file;
  }

  /**
   * @param {Entry} entry
   * @param {File} whole
   * @param {AbortSignal} signal
   */
  async digestOf(entry, whole, signal) {
    const sum = await this.wholeSum(whole, signal);
    const declared = this.files.get(entry)?.declared;
    // Without a digest nobody would notice in the end that it is another file.
    const other = sum === null ? entry.doubted : declared && declared !== sum;
    if (other && !signal.aborted) this.startsOver(entry);
    return sum;
  }

  /**
   * @param {File} whole
   * @param {AbortSignal} signal
   */
  wholeSum(whole, signal) {
    return this.digests.ofFile(whole, signal);
  }

  /**
   * @param {Blob} slice
   * @param {AbortSignal} signal
   */
  sumOf(slice, signal) {
    return this.digests.ofChunk(slice, signal);
  }

  /**
   * @param {ChunkedFile} file
   * @param {import("./chunkedfile.js").Chunk} chunk
   * @param {{chunk: string | null, file: string | null}} sums
   * @param {import("./transport.js").Hooks} hooks
   */
  post(file, chunk, sums, hooks) {
    return this.queue.transport.post((xhr) => this.body(xhr, file, chunk, sums), hooks);
  }

  /** @param {ChunkedFile} file */
  advanced(file) {
    this.queue.advance(file.entry, file.fraction);
    this.queue.progressed();
  }

  /**
   * The next chunk that may leave, as what sends it; those of the file that came first go first.
   *
   * @returns {(() => Promise<void>) | null}
   */
  take() {
    for (const file of this.files.values()) {
      if (!file.asked && !file.entry.paused && file.next() !== null) return () => this.send(file);
    }
    return null;
  }

  /**
   * A request about the file is under way.
   *
   * @param {Entry} entry
   */
  leaves(entry) {
    this.running += 1;
    if (entry.state === "sending") return;
    this.queue.requests.set(entry, { entries: [entry], leave: () => false });
    this.queue.leaves(entry);
  }

  /** @param {ChunkedFile} file */
  async send(file) {
    const { entry } = file;
    this.leaves(entry);
    const { index, answer } = await file.send();
    this.running -= 1;
    // Stopped, by a person or because another chunk has told how it ends.
    if (answer.kind === "aborted" || !isOpen(entry)) return;
    await this.answered(file, index, answer);
  }

  /**
   * @param {ChunkedFile} file
   * @param {number} index of the chunk
   * @param {Answer} answer
   */
  async answered(file, index, answer) {
    const { entry } = file;
    const { line } = this.queue;
    if (isKept(answer)) {
      line.went();
      entry.lost = 0;
      file.keep(index);
      if (file.missing.size > 0) return;
      // Another request, or another page, has some of it on its way.
      this.rest(file);
      file.asked = true;
      this.queue.againLater(entry);
      return;
    }
    const course = courseOf(answer, 1);
    if (course === "busy") line.busy(retryAfter(answer.retryAfter));
    const again = course === "busy" && !(isLater(answer) && (entry.lost += 1) >= MOST_TRIES);
    // The others are on their way, and this one goes again with them.
    if (again || (REPEATABLE.has(answer.code) && file.mayRepeat(index, MOST_TRIES))) return;
    this.rest(file);
    file.asked = true;
    if (this.shrinks(file.chunkSize, answer) || answer.code === "other_way") this.beginAnew(entry);
    else if (answer.code === "chunk_changed" && this.startsOver(entry)) return;
    else if (UNAWARE.has(answer.code) && (entry.lost += 1) < MOST_TRIES) this.queue.again(entry);
    else await this.queue.answers.take([entry], answer);
  }

  /**
   * Nothing of the file is under way any more.
   *
   * @param {ChunkedFile} file
   */
  rest(file) {
    file.stop();
    this.queue.requests.delete(file.entry);
  }

  /**
   * Takes a file over that somebody on the way has called too large for one request.
   *
   * @param {Entry} entry
   * @param {Answer} answer
   * @returns {boolean} whether it goes in chunks now
   */
  takesOver(entry, answer) {
    if (!this.shrinks(entry.size, answer)) return false;
    this.queue.waits(entry);
    this.put(entry);
    return true;
  }

  /**
   * Learns from a request that somebody on the way called too large.
   *
   * @param {number} bytes of its file
   * @param {Answer} answer
   * @returns {boolean} whether smaller chunks may pass
   */
  shrinks(bytes, { kind, status, type, code }) {
    // What the server itself says of a file does not change with the size of its chunks.
    const ours = type.startsWith("text/plain") && code !== "body_over_limit" && code !== "body_too_large";
    if (this.chunkSize === 0 || kind !== "answer" || status !== 413 || ours || bytes < 2 * LEAST_CHUNK) return false;
    this.chunkSize = Math.min(this.chunkSize, Math.floor(bytes / 2));
    return true;
  }

  /**
   * Sends a file from its first byte, after the server has forgotten what came of it before.
   *
   * @param {Entry} entry
   */
  async beginAnew(entry) {
    const { queue } = this;
    this.drop(entry);
    entry.doubted = false;
    queue.requests.delete(entry);
    queue.waits(entry);
    const problem = await queue.deletions.now(entry.uuid);
    if (!isOpen(entry)) return;
    entry.left = true;
    // Where it was there it is cancelled for good, and the server says so when it is asked.
    if (problem === "") queue.again(entry);
    else queue.settle(entry, { state: "failed", sentence: problem });
  }

  /**
   * What an earlier page has sent was of another file, or has suffered.
   *
   * @param {Entry} entry
   * @returns {boolean} whether it goes from its first byte now; no file does so twice
   */
  startsOver(entry) {
    if (!this.files.get(entry)?.resumed) return false;
    this.beginAnew(entry);
    return true;
  }

  /**
   * Stops what is under way of these files; it is sent again when they go on.
   *
   * @param {(entry: Entry) => boolean} [which]
   */
  pause(which = () => true) {
    for (const file of this.files.values()) {
      if (!which(file.entry) || !this.queue.requests.has(file.entry)) continue;
      this.rest(file);
      this.queue.waits(file.entry);
      this.advanced(file);
    }
  }

  /**
   * Ends a file that a person has cancelled, and lets the server forget what came of it.
   *
   * @param {Entry} entry
   */
  cancel(entry) {
    const { queue } = this;
    const file = this.files.get(entry);
    queue.requests.delete(entry);
    this.drop(entry);
    // Nothing has been said yet of what an earlier page has sent: it may be stored.
    if (!entry.sent && !file?.resumed) return;
    // With its last chunk on the way it may be stored, and then has to be told of where it cannot be deleted.
    if (file?.missing.size === 1) queue.deletions.clean(entry);
    else queue.deletions.surely(entry.uuid);
  }

  /** @param {Entry} entry */
  drop(entry) {
    this.files.get(entry)?.end();
    this.files.delete(entry);
  }

  /**
   * @param {XMLHttpRequest} xhr
   * @param {ChunkedFile} file
   * @param {import("./chunkedfile.js").Chunk} chunk
   * @param {{chunk: string | null, file: string | null}} sums
   */
  body(xhr, { entry, chunkSize, count }, { index, start, end }, sums) {
    const { queue } = this;
    const body = new FormData();
    const fields = {
      dzuuid: entry.uuid,
      dzchunkindex: index,
      dztotalfilesize: entry.size,
      dzchunksize: chunkSize,
      dztotalchunkcount: count,
      dzchunkbyteoffset: start,
      dzchunksha256: sums.chunk,
      sha256: sums.file,
      path: entry.path || null,
    };
    for (const [name, value] of Object.entries(fields)) {
      if (value !== null) body.append(name, String(value));
    }
    const slice = entry.file.slice(start, end, entry.file.type);
    queue.complete(xhr, body, [{ entry, key: queue.field, content: slice }]);
    return body;
  }
}
