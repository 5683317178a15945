/**
 * What outlives a page: by which uuids the files of a drop go that is not done.
 *
 * A random secret is kept, for a day: the uuid of a file is made of it and of what tells this file from
 * others. The same file dropped again after a reload has the same uuid, so that the server knows what came of it;
 * nothing about files is written down, but the uuids of those that are just being deleted: somebody on the way may hold
 * that request, and end with it what comes under the same uuid later. When all of a drop is done the secret is forgotten: the same files dropped then
 * are meant to be sent once more.
 */

const PREFIX = "dropzone_app:";
/** After that the server has swept away what came of a file in chunks. */
const LIFE_MS = 86_400_000;
const WRITE_MS = 60_000;

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store */

export class Memory {
  /**
   * @param {string} name of the zone and of whoever sends: another's files are none of this one's business
   * @param {Store | null} [store]
   * @param {() => number} [now] milliseconds
   */
  constructor(name, store = storeOfBrowser(), now = Date.now) {
    this.key = PREFIX + name;
    this.store = store;
    this.now = now;
    this.secret = "";
    this.written = -Infinity;
    /** Whether an earlier page has left a drop that was not done. */
    this.resumed = false;
    /** @type {Set<string>} */
    this.used = new Set();
    /** @type {Set<string>} */
    this.deleting = new Set();
  }

  /**
   * The uuid of a file that is added now, or the next one where nothing can come of the last: after a reload the same
   * follow each other.
   *
   * @param {string} likeness what tells it from other files, before it is read
   */
  uuidOf(likeness) {
    if (this.secret === "") this.recall();
    if (this.now() - this.written > WRITE_MS) this.write();
    for (let number = 0; ; number += 1) {
      const uuid = uuidFrom(this.secret + (number > 0 ? `${number} ` : "") + likeness);
      if (this.used.has(uuid)) continue;
      this.used.add(uuid);
      return uuid;
    }
  }

  /**
   * Whether a page that is loaded now would find this uuid again.
   *
   * @param {string} uuid
   */
  knows(uuid) {
    return this.used.has(uuid);
  }

  /** Nothing was sent under it: the same file may have it once more. @param {string} uuid */
  release(uuid) {
    this.used.delete(uuid);
  }

  recall() {
    const found = this.read();
    this.resumed = found !== null && this.now() - found.at < LIFE_MS;
    this.secret = found && this.resumed ? found.secret : randomDigits();
    for (const uuid of this.left()) this.used.add(uuid);
  }

  /** The deletions that an earlier page has asked for, and left before the answer. */
  left() {
    const found = this.read();
    return found && this.now() - found.at < LIFE_MS ? found.deleting : [];
  }

  /** Nothing may come under it any more, after a reload too. @param {string} uuid */
  deletes(uuid) {
    this.deleting.add(uuid);
    if (this.secret !== "") this.write();
  }

  /** Its deletion was answered. @param {string} uuid */
  deleted(uuid) {
    if (this.deleting.delete(uuid) && this.secret !== "") this.write();
  }

  /** Another page has forgotten what this one still needs. */
  keep() {
    if (this.secret !== "" && this.read() === null) this.write();
  }

  /** All is done. */
  forget() {
    if (this.read()?.secret === this.secret) this.reach((store) => store.removeItem(this.key));
    this.secret = "";
    this.written = -Infinity;
    this.resumed = false;
    this.used.clear();
  }

  write() {
    this.written = this.now();
    const kept = { secret: this.secret, at: this.written, deleting: [...this.deleting] };
    this.reach((store) => store.setItem(this.key, JSON.stringify(kept)));
  }

  /** @returns {{secret: string, at: number, deleting: string[]} | null} */
  read() {
    const found = this.reach((store) => JSON.parse(store.getItem(this.key) ?? "null"));
    if (typeof found?.secret !== "string" || typeof found.at !== "number") return null;
    return { ...found, deleting: Array.isArray(found.deleting) ? found.deleting : [] };
  }

  /**
   * @template T
   * @param {(store: Store) => T} act
   * @returns {T | null} null where the browser keeps nothing, or something else stands there
   */
  reach(act) {
    try {
      return this.store && act(this.store);
    } catch {
      return null;
    }
  }
}

/** @returns {Store | null} */
function storeOfBrowser() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

function randomDigits() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16).padStart(8, "0")).join("");
}

/**
 * 128 bits of a text in the form of a uuid. They need not be hard to guess, only hard to hit twice: a uuid counts for
 * its owner alone. (cyrb128 by bryc, in the public domain: four rounds of multiplying that feed one another.)
 *
 * @param {string} text
 */
export function uuidFrom(text) {
  let [a, b, c, d] = [1779033703, 3144134277, 1013904242, 2773480762];
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    a = b ^ Math.imul(a ^ unit, 597399067);
    b = c ^ Math.imul(b ^ unit, 2869860233);
    c = d ^ Math.imul(c ^ unit, 951274213);
    d = a ^ Math.imul(d ^ unit, 2716044179);
  }
  a = Math.imul(c ^ (a >>> 18), 597399067);
  b = Math.imul(d ^ (b >>> 22), 2869860233);
  c = Math.imul(a ^ (c >>> 17), 951274213);
  d = Math.imul(b ^ (d >>> 19), 2716044179);
  a ^= b ^ c ^ d;
  const digits = [a, b ^ a, c ^ a, d ^ a].map((part) => (part >>> 0).toString(16).padStart(8, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
