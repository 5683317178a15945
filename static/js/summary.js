import { humanSize, outcome } from "./format.js";

const SPEAK_MS = 4000;

/** One line of words and one bar for the whole drop, and what a screen reader is told of it. */
export class Summary {
  /**
   * @param {HTMLElement} zone
   * @param {Pick<import("./uploader.js").BatchUploader, "counts" | "weights" | "bytes">} work
   */
  constructor(zone, work) {
    this.work = work;
    const find = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (zone.querySelector(`[data-uploads-${name}]`));
    this.element = find("summary");
    this.words = find("summary-words");
    this.detail = find("summary-detail");
    this.bar = find("bar");
    this.live = find("live");
    this.frame = 0;
    this.spoken = 0;
  }

  /** Draws once in a frame, however often it is called. */
  update() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { counts, weights, bytes } = this.work;
    this.element.hidden = counts.files === 0;
    this.element.dataset.state = counts.open > 0 ? "busy" : "done";
    const number = (/** @type {number} */ value) => value.toLocaleString("en");
    if (counts.open > 0) {
      const said = [`${number(counts.stored)} of ${number(counts.files)} stored`];
      if (counts.refused) said.push(`${number(counts.refused)} refused`);
      if (counts.failed) said.push(`${number(counts.failed)} failed`);
      this.words.textContent = said.join(", ");
      this.detail.textContent = `${humanSize(Math.floor(bytes.sent))} of ${humanSize(bytes.total)}`;
      if (performance.now() - this.spoken > SPEAK_MS) this.say(this.words.textContent);
    } else {
      this.words.textContent = `${outcome(counts)}.`;
      this.detail.textContent = counts.stored > 0 ? humanSize(bytes.total) : "";
    }
    const part = (/** @type {number} */ weight) => (weights.total ? (100 * weight) / weights.total : 0);
    const [stored, sent, lost] = [part(weights.stored), part(weights.sent), part(weights.lost)];
    for (const [name, share] of Object.entries({ stored, sent, lost })) {
      const piece = /** @type {HTMLElement} */ (this.bar.querySelector(`[data-part="${name}"]`));
      piece.style.width = `${share}%`;
    }
    // Rounded down, and 100 only when nothing is open: the last file may still be refused.
    const value = counts.open > 0 ? Math.min(99, Math.floor(stored + sent + lost)) : 100;
    this.bar.setAttribute("aria-valuenow", String(value));
    this.bar.setAttribute("aria-valuetext", this.words.textContent);
  }

  done() {
    this.say(`${outcome(this.work.counts)}.`);
  }

  /** @param {string} words */
  say(words) {
    this.spoken = performance.now();
    this.live.textContent = words;
  }
}
