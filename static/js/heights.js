/**
 * The heights of rows one below the other: where each begins and which stands where, in steps that grow with the
 * logarithm of their number. Rows nobody has measured are as high as is usual.
 */
export class Heights {
  /** @param {number} usual pixels */
  constructor(usual) {
    this.usual = usual;
    this.length = 0;
    /** Sums of what rows differ from the usual: a binary indexed tree. @type {number[]} */
    this.tree = [0];
  }

  /** @param {number} [height] of one more row, at the end */
  push(height = this.usual) {
    const place = (this.length += 1);
    let sum = height - this.usual;
    for (let step = 1; step < lowest(place); step *= 2) sum += this.tree[place - step];
    this.tree[place] = sum;
  }

  /**
   * @param {number} index
   * @param {number} height
   */
  set(index, height) {
    const change = height - (this.before(index + 1) - this.before(index));
    for (let place = index + 1; place <= this.length; place += lowest(place)) this.tree[place] += change;
  }

  /**
   * The height of the first `count` rows together.
   *
   * @param {number} count
   */
  before(count) {
    let sum = count * this.usual;
    for (let place = count; place > 0; place -= lowest(place)) sum += this.tree[place];
    return sum;
  }

  /**
   * The row that stands so far below the top of the first; the first or the last where that is none.
   *
   * @param {number} offset
   */
  at(offset) {
    let count = 0;
    let left = offset;
    for (let step = 2 ** Math.floor(Math.log2(this.length || 1)); step >= 1; step /= 2) {
      const next = count + step;
      if (next > this.length) continue;
      const height = this.tree[next] + step * this.usual;
      if (height > left) continue;
      left -= height;
      count = next;
    }
    return Math.max(0, Math.min(count, this.length - 1));
  }
}

/** The lowest bit that is set. @param {number} place */
function lowest(place) {
  return place & -place;
}
