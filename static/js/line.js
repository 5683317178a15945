import { Backoff } from "./patience.js";

/**
 * @typedef {"ok" | "signed_out" | "unreachable"} Reached what a small question to the server told
 *
 * @typedef {"" | "broken" | "offline" | "busy" | "signed_out" | "disk_full"} Reason why nothing leaves
 */

/** A sign-in in another tab is noticed at once where the browser tells of it, else within this. */
const SESSION_POLL_MS = 15_000;

/** The longer ones stay when several come together. @type {Reason[]} */
const RANK = ["", "busy", "broken", "offline", "disk_full", "signed_out"];
/** @type {Set<Reason>} */
const LOST = new Set(["broken", "offline"]);

/** Whether requests may leave now, and if not, why and until when. */
export class Line {
  /**
   * @param {object} options
   * @param {() => Promise<Reached>} options.ask asks the server whether it is there and knows the person
   * @param {() => void} options.changed the reason, the time or the pause changed
   * @param {() => void} options.freed requests may leave again
   * @param {() => boolean} [options.online]
   * @param {() => number} [options.random]
   */
  constructor({ ask, changed, freed, online = () => navigator.onLine, random }) {
    this.ask = ask;
    this.changed = changed;
    this.freed = freed;
    this.online = online;
    this.backoff = new Backoff(random);
    this.paused = false;
    /** @type {Reason} */
    this.reason = "";
    /** The clock's time of the next try; null where none is planned. @type {number | null} */
    this.until = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {Promise<Reached> | null} */
    this.asking = null;
    /** @type {Reached} */
    this.last = "ok";
    /** @type {((nothing: unknown) => void)[]} */
    this.waiting = [];
  }

  get open() {
    return !this.paused && this.reason === "";
  }

  /** Resolves when requests may leave. */
  async whenOpen() {
    while (!this.open) await new Promise((resolve) => this.waiting.push(resolve));
  }

  pause() {
    this.paused = true;
    this.changed();
  }

  resume() {
    this.paused = false;
    this.changed();
    this.letGo();
  }

  /** A request came through: what failed before is forgotten. */
  went() {
    this.backoff.reset();
  }

  /** @param {number | null} wait milliseconds that the server asked for; null lets the pause grow, once for several answers */
  busy(wait) {
    if (wait === null && this.reason === "busy") return;
    this.hold("busy", wait ?? this.backoff.next());
  }

  /** Nothing can be kept there until somebody has made room; a person says when to go on. */
  full() {
    this.hold("disk_full", null);
  }

  /**
   * A request was lost, or its answer came from somebody else: asks what the matter is, and waits accordingly.
   *
   * @param {boolean} pause also where the server is there and knows the person, else it goes on at once then
   * @returns {Promise<Reached>}
   */
  async lost(pause) {
    // Several requests are lost together: one of them asks, and the pause grows once.
    if (LOST.has(this.reason) && !this.asking) return this.last;
    this.hold(this.online() ? "broken" : "offline", null);
    const first = !this.asking;
    const reached = await this.reach();
    if (reached !== "ok" || !first || !LOST.has(this.reason)) return reached;
    if (pause) this.hold("broken", this.backoff.next(), true);
    else this.free();
    return reached;
  }

  /** Ends the waiting before its time. */
  tryNow() {
    if (this.reason === "" || this.asking) return;
    if (this.reason === "busy" || this.reason === "disk_full") this.free();
    else this.again();
  }

  async again() {
    this.until = null;
    this.changed();
    if ((await this.reach()) === "ok") this.free();
  }

  /** Asks, once for all who want to know, and holds the line for what stands in the way. */
  reach() {
    this.asking ??= this.ask().then((reached) => {
      this.asking = null;
      this.last = reached;
      if (reached === "signed_out") this.hold("signed_out", SESSION_POLL_MS, true);
      else if (reached === "unreachable") {
        this.hold(this.online() ? "broken" : "offline", this.backoff.next(), true);
      }
      return reached;
    });
    return this.asking;
  }

  /**
   * @param {Reason} reason
   * @param {number | null} wait milliseconds; null waits for a person or for an answer
   * @param {boolean} [instead] of what holds it now, else only where it weighs more
   */
  hold(reason, wait, instead = false) {
    const until = wait === null ? null : Date.now() + wait;
    if (!instead && RANK.indexOf(reason) < RANK.indexOf(this.reason)) return;
    if (!instead && reason === this.reason && (this.until === null || (until ?? 0) <= this.until)) return;
    this.reason = reason;
    this.until = until;
    clearTimeout(this.timer);
    if (wait !== null) this.timer = setTimeout(() => this.tryNow(), wait);
    this.changed();
  }

  free() {
    clearTimeout(this.timer);
    this.reason = "";
    this.until = null;
    this.changed();
    this.letGo();
  }

  letGo() {
    if (!this.open) return;
    for (const resolve of this.waiting.splice(0)) resolve(undefined);
    this.freed();
  }
}
