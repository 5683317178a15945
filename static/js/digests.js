/** Up to here the browser's own SHA-256, which takes all bytes at once, is quicker than one that takes them in turn. */
const AT_ONCE = 32_000_000;

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

/** SHA-256 of whole files of any size, one after the other, in a worker, so that the page stays quick. */
export class Digests {
  /** @param {() => Worker} [hire] */
  constructor(hire = () => new Worker(new URL("./digest-worker.js", import.meta.url), { type: "module" })) {
    this.hire = hire;
    /** @type {Worker | null} */
    this.worker = null;
    this.asked = 0;
    /** @type {Map<number, (sum: string | null) => void>} */
    this.waiting = new Map();
    /** The page's policy forbids workers, or this browser has none that are modules. */
    this.failed = false;
  }

  /**
   * @param {File} file
   * @param {AbortSignal} signal
   * @returns {Promise<string | null>} null where it cannot be read or nobody can hash it
   */
  of(file, signal) {
    if (file.size <= AT_ONCE && globalThis.crypto?.subtle) return sha256(file).catch(() => null);
    if (!this.ready()) return Promise.resolve(null);
    const id = (this.asked += 1);
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.worker?.postMessage({ id, file });
      signal.addEventListener("abort", () => {
        this.worker?.postMessage({ id });
        this.told(id, null);
      });
    });
  }

  ready() {
    if (this.worker !== null || this.failed) return !this.failed;
    try {
      this.worker = this.hire();
    } catch {
      this.failed = true;
      return false;
    }
    this.worker.onmessage = ({ data: { id, sum } }) => this.told(id, sum);
    this.worker.onerror = () => {
      this.failed = true;
      for (const id of [...this.waiting.keys()]) this.told(id, null);
    };
    return true;
  }

  /**
   * @param {number} id
   * @param {string | null} sum
   */
  told(id, sum) {
    this.waiting.get(id)?.(sum);
    this.waiting.delete(id);
    if (this.waiting.size > 0) return;
    this.worker?.terminate();
    this.worker = null;
  }
}
