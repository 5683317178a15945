import { MOST_LOST } from "./answers.js";
import { Packer } from "./packer.js";
import { PackedRequest } from "./request.js";
import { isOpen } from "./tally.js";

/** @typedef {import("./types.js").Entry} Entry */

/** Files of one request. */
export const MOST_PARTS = 50;
const MOST_BYTES = 16_000_000;
/** What a body may hold beside its files. */
const OVERHEAD = 1_000_000;

/** The files of a queue that go many to a request. */
export class BatchLane {
  /** @param {import("./queue.js").Queue} queue */
  constructor(queue) {
    this.queue = queue;
    this.packer = /** @type {Packer<Entry>} */ (new Packer(limitsOfRequest(queue.options)));
    /** Those that a person lets wait. @type {Set<Entry>} */
    this.paused = new Set();
  }

  /**
   * Lets a file take its turn.
   *
   * @param {Entry} entry
   */
  put(entry) {
    if (entry.paused) this.paused.add(entry);
    // What broke a request twice is not given others to take along.
    else if (entry.lost >= MOST_LOST - 1) this.packer.alone(entry);
    else this.packer.add(entry);
    this.queue.pump();
  }

  /** @param {Entry} entry */
  pause(entry) {
    if (this.packer.remove(entry)) this.paused.add(entry);
  }

  /** @param {Entry} entry */
  resume(entry) {
    if (!this.paused.delete(entry)) return;
    this.put(entry);
    this.packer.close();
  }

  /** @param {Entry} entry that shall not be sent */
  remove(entry) {
    if (!this.paused.delete(entry)) this.packer.remove(entry);
  }

  /**
   * Puts files back that nobody has read, as they are.
   *
   * @param {Entry[]} entries
   */
  putBack(entries) {
    for (const entry of entries) {
      entry.current = 0;
      this.queue.waits(entry);
      this.packer.add(entry);
    }
    this.packer.close();
  }

  /**
   * The oldest files that wait, as what sends them in one request.
   *
   * @returns {(() => Promise<void>) | null}
   */
  take() {
    const entries = this.packer.take();
    return entries && (() => this.send(entries));
  }

  /** @param {Entry[]} entries */
  async send(entries) {
    const { queue } = this;
    const request = new PackedRequest(entries, queue.transport, (xhr) => this.body(xhr, entries), {
      advanced: (entry, fraction) => queue.advance(entry, fraction),
      progressed: () => queue.progressed(),
      moved: (bytes) => queue.meter.add(bytes),
      sent: () => {
        for (const entry of entries) {
          queue.advance(entry, 1);
          if (isOpen(entry)) queue.change(entry, "checking");
        }
      },
    });
    for (const entry of entries) {
      queue.requests.set(entry, request);
      queue.leaves(entry);
    }
    const answer = await request.send();
    for (const entry of entries) queue.requests.delete(entry);
    if (answer.kind !== "aborted") await queue.answers.take(entries, answer);
  }

  /** @param {number} index */
  keyOf(index) {
    return `${this.queue.field}[${index}]`;
  }

  /**
   * @param {XMLHttpRequest} xhr
   * @param {Entry[]} entries
   */
  body(xhr, entries) {
    const body = new FormData();
    entries.forEach((entry, index) => {
      body.append(`uuid[${index}]`, entry.uuid);
      body.append(`size[${index}]`, String(entry.size));
      if (entry.path) body.append(`path[${index}]`, entry.path);
    });
    const parts = entries.map((entry, index) => ({ entry, key: this.keyOf(index), content: entry.file }));
    return this.queue.complete(xhr, body, parts);
  }
}

/**
 * How files are laid into requests: as the host wants them, else as it is quick.
 *
 * @param {import("./types.js").ZoneOptions} options
 */
function limitsOfRequest({ partsPerRequest, maxParts, maxFiles, maxTotalSize, maxContentLength }) {
  const allowed = Math.min(maxParts ?? Infinity, maxFiles ?? Infinity);
  const [total, body] = [maxTotalSize ?? Infinity, maxContentLength ?? Infinity];
  if (partsPerRequest != null) {
    const maxBytes = Math.min(total, Math.max(body / 2, body - OVERHEAD));
    return { maxParts: Math.min(partsPerRequest, allowed), maxBytes, big: maxBytes };
  }
  return { maxParts: Math.min(MOST_PARTS, allowed), maxBytes: Math.min(MOST_BYTES, total, body / 2) };
}
