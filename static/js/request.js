import { isOpen, weightOf } from "./tally.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").Answer} Answer
 *
 * @typedef {object} Sender what some files are sent by; the queue knows no more of it than this
 * @property {Entry[]} entries
 * @property {(entry: Entry, gone: Entry) => boolean} leave a file was taken out, and `gone` stands in for it: ends all where
 *   nothing is left to send; tells whether it did
 *
 * @typedef {object} Report
 * @property {(entry: Entry, fraction: number) => void} advanced
 * @property {() => void} progressed
 * @property {(bytes: number) => void} moved that many more have left
 * @property {() => void} sent all bytes have left
 */

/**
 * Several files in one request.
 *
 * @implements {Sender}
 */
export class PackedRequest {
  /**
   * @param {Entry[]} entries
   * @param {import("./transport.js").Transport} transport
   * @param {(xhr: XMLHttpRequest) => FormData} body
   * @param {Report} report
   */
  constructor(entries, transport, body, report) {
    this.entries = entries;
    this.transport = transport;
    this.body = body;
    this.report = report;
    this.controller = new AbortController();
    this.current = 0;
    this.before = 0;
    this.moved = 0;
    this.complete = false;
    this.weight = entries.reduce((sum, entry) => sum + weightOf(entry), 0);
  }

  send() {
    return this.transport.post(this.body, {
      signal: this.controller.signal,
      progress: (loaded, total) => this.progress(loaded, total),
      sent: () => {
        this.complete = true;
        if (!this.controller.signal.aborted) this.report.sent();
      },
    });
  }

  /**
   * @param {Entry} entry
   * @param {Entry} gone
   */
  leave(entry, gone) {
    this.entries[this.entries.indexOf(entry)] = gone;
    // What has arrived as a whole may be stored by now: only the answer tells.
    if (this.complete || this.entries.some(isOpen)) return false;
    this.controller.abort();
    return true;
  }

  /**
   * Deals what has left out to the files, which lie in the body one behind the other.
   *
   * @param {number} loaded
   * @param {number} total
   */
  progress(loaded, total) {
    const { entries, report } = this;
    // A repeated request begins anew.
    if (loaded < this.moved) [this.moved, this.current, this.before] = [0, 0, 0];
    report.moved(loaded - this.moved);
    this.moved = loaded;
    let left = (loaded / total) * this.weight - this.before;
    while (this.current < entries.length) {
      const entry = entries[this.current];
      const weight = weightOf(entry);
      report.advanced(entry, Math.min(1, Math.max(0, left / weight)));
      if (left < weight) break;
      left -= weight;
      this.before += weight;
      this.current += 1;
    }
    report.progressed();
  }
}
