/**
 * Lays files into requests: many small ones together, a big one alone. A request is put together when it is
 * taken, so that limits learned on the way hold for all that still waits.
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
    /** What goes with others, and when it came. @type {Map<T, number>} */
    this.small = new Map();
    /** @type {Map<T, number>} */
    this.single = new Map();
    this.came = 0;
    this.closed = false;
  }

  get size() {
    return this.small.size + this.single.size;
  }

  /** @param {T} item */
  add(item) {
    if (item.size > this.big) {
      this.alone(item);
      return;
    }
    this.closed = false;
    this.small.set(item, (this.came += 1));
  }

  /**
   * Puts one into a request of its own, whatever its size.
   *
   * @param {T} item
   */
  alone(item) {
    this.single.set(item, (this.came += 1));
  }

  /** Lets what waits now leave, also in a request that is not full. */
  close() {
    this.closed = true;
  }

  /**
   * Forgets one that waits.
   *
   * @param {T} item
   * @returns {boolean} whether it was there
   */
  remove(item) {
    return this.small.delete(item) || this.single.delete(item);
  }

  /**
   * Learns from a request that somebody on the way called too large: the next ones are half of it.
   *
   * @param {T[]} items of that request
   * @param {boolean} byCount whether it held too many files, and not too many bytes
   */
  halve(items, byCount) {
    if (byCount) {
      this.maxParts = Math.max(1, Math.min(this.maxParts, Math.floor(items.length / 2)));
      return;
    }
    const half = items.reduce((sum, { size }) => sum + size, 0) / 2;
    this.big = Math.min(this.big, half);
    this.maxBytes = Math.min(this.maxBytes, half);
  }

  /**
   * The next request that may leave, oldest first, or null.
   *
   * @returns {T[] | null}
   */
  take() {
    const batch = this.next();
    for (const item of batch ?? []) this.remove(item);
    return batch;
  }

  /** @returns {T[] | null} */
  next() {
    const [single] = this.single;
    const shared = this.shared();
    if (single && !(shared && /** @type {number} */ (this.small.get(shared[0])) < single[1])) return [single[0]];
    return shared;
  }

  /** The oldest small ones together, where they fill a request or nothing more is awaited. */
  shared() {
    const batch = [];
    let bytes = 0;
    for (const item of this.small.keys()) {
      if (batch.length > 0 && bytes + item.size > this.maxBytes) return batch;
      batch.push(item);
      bytes += item.size;
      if (batch.length >= this.maxParts) return batch;
    }
    return this.closed && batch.length > 0 ? batch : null;
  }
}
