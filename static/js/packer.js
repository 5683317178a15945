/**
 * Lays files into requests: many small ones together, a big one alone.
 *
 * @template {{size: number}} T
 */
export class Packer {
  /**
   * @param {{maxParts: number, maxBytes: number, big?: number}} limits of one request; what has more than `big`
   *   bytes goes alone
   */
  constructor({ maxParts, maxBytes, big = maxBytes / 2 }) {
    this.maxParts = Math.max(1, maxParts);
    this.maxBytes = maxBytes;
    this.big = big;
    /** @type {Set<T>[]} */
    this.full = [];
    /** @type {Set<T>} */
    this.open = new Set();
    this.openBytes = 0;
    // A cursor instead of shift(): taking from the front of a long array is linear in its length.
    this.next = 0;
  }

  /** @param {T} item */
  add(item) {
    if (item.size > this.big) {
      this.alone(item);
      return;
    }
    if (this.openBytes + item.size > this.maxBytes) this.close();
    this.open.add(item);
    this.openBytes += item.size;
    if (this.open.size >= this.maxParts) this.close();
  }

  /**
   * Puts one into a request of its own, whatever its size.
   *
   * @param {T} item
   */
  alone(item) {
    this.full.push(new Set([item]));
  }

  /** Ends the request that is being filled, so that `take` hands it out. */
  close() {
    if (this.open.size === 0) return;
    this.full.push(this.open);
    this.open = new Set();
    this.openBytes = 0;
  }

  /**
   * Forgets one that waits, wherever it lies.
   *
   * @param {T} item
   * @returns {boolean} whether it was there
   */
  remove(item) {
    if (this.open.delete(item)) {
      this.openBytes -= item.size;
      return true;
    }
    return this.full.some((batch, index) => index >= this.next && batch.delete(item));
  }

  /**
   * The next full request, oldest first, or null.
   *
   * @returns {T[] | null}
   */
  take() {
    while (this.next < this.full.length) {
      const batch = this.full[this.next];
      this.full[this.next] = new Set();
      this.next += 1;
      if (this.next === this.full.length) {
        this.full = [];
        this.next = 0;
      }
      if (batch.size > 0) return [...batch];
    }
    return null;
  }
}
