/** A worker that has nothing to do is let go after this. */
const IDLE_MS = 5000;
/** A page that forbids workers does not change its mind; a line that is broken while one is fetched does. */
const MOST_FAILURES = 3;

/**
 * SHA-256 in hexadecimal digits by the browser's own means. It rejects where the bytes cannot be read.
 *
 * @param {Blob} blob
 * @returns {Promise<string | null>} null where the page is no secure context, which alone has them
 */
export async function sha256(blob) {
  if (!globalThis.crypto?.subtle) return null;
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  return Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * SHA-256 of files and of their chunks, by a worker: the page has better to do than to read them.
 *
 * A digest that nobody can tell is null: the page's policy forbids workers, say, or the bytes cannot be read.
 */
export class Digests {
  /** @param {() => Worker} [hire] */
  constructor(hire = () => new Worker(new URL("./digest-worker.js", import.meta.url), { type: "module" })) {
    this.hire = hire;
    /** @type {Worker | null} */
    this.worker = null;
    /** Workers that failed, one after the other. */
    this.failures = 0;
    this.asked = 0;
    /** @type {Map<number, (sum: string | null) => void>} */
    this.waiting = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.idle = undefined;
  }

  /**
   * Of a file of any size, one after the other.
   *
   * @param {File} file
   * @param {AbortSignal} signal
   */
  ofFile(file, signal) {
    return this.ask({ file }, signal);
  }

  /**
   * Of what fits into memory; only for pages in a secure context.
   *
   * @param {Blob} slice
   * @param {AbortSignal} signal
   */
  ofChunk(slice, signal) {
    return this.ask({ slice }, signal);
  }

  /**
   * @param {{file?: File, slice?: Blob}} what
   * @param {AbortSignal} signal
   * @returns {Promise<string | null>}
   */
  ask(what, signal) {
    if (signal.aborted || !this.ready()) return Promise.resolve(null);
    const id = (this.asked += 1);
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.worker?.postMessage({ id, ...what });
      signal.addEventListener("abort", () => {
        this.worker?.postMessage({ id });
        this.told(id, null);
      });
    });
  }

  ready() {
    clearTimeout(this.idle);
    if (this.worker !== null) return true;
    if (this.failures === MOST_FAILURES) return false;
    try {
      this.worker = this.hire();
    } catch {
      this.failures = MOST_FAILURES;
      return false;
    }
    this.worker.onmessage = ({ data: { id, sum } }) => {
      this.failures = 0;
      this.told(id, sum);
    };
    this.worker.onerror = () => {
      this.failures += 1;
      this.letGo();
      for (const id of [...this.waiting.keys()]) this.told(id, null);
    };
    return true;
  }

  letGo() {
    this.worker?.terminate();
    this.worker = null;
  }

  /**
   * @param {number} id
   * @param {string | null} sum
   */
  told(id, sum) {
    this.waiting.get(id)?.(sum);
    this.waiting.delete(id);
    clearTimeout(this.idle);
    if (this.waiting.size > 0) return;
    this.idle = setTimeout(() => this.letGo(), IDLE_MS);
  }
}
