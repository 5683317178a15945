import { Previews } from "./preview.js";
import { focusable, Row } from "./row.js";
import { Windowed } from "./windowed.js";

/** @typedef {import("./types.js").Entry} Entry */

/** @typedef {"all" | "refused" | "stored"} Filter what of the drop is shown; what failed counts as refused */

/** @type {Record<Filter, (entry: Entry) => boolean>} */
const FILTERS = {
  all: () => true,
  refused: ({ state }) => state === "refused" || state === "failed",
  stored: ({ state }) => state === "stored",
};

/** The files of this drop, newest last; those in sight have a row. */
export class List {
  /**
   * @param {HTMLElement} element
   * @param {import("./row.js").Actions} actions
   */
  constructor(element, actions) {
    this.element = element;
    this.previews = new Previews();
    /** @type {Set<Entry>} */
    this.entries = new Set();
    /** What the filter lets through; all where there is none. @type {Entry[]} */
    this.passed = [];
    /** @type {Filter} */
    this.filter = "all";
    /** @type {Map<Entry, Row>} */
    this.rows = new Map();
    /** @type {Set<Entry>} */
    this.stale = new Set();
    this.frame = 0;
    this.sifting = 0;
    this.windowed = new Windowed(
      element,
      (/** @type {Entry} */ entry) => {
        const row = new Row(entry, actions);
        this.rows.set(entry, row);
        entry.file.previewElement = row.element;
        this.previews.ask(entry.file, (url) => row.picture(url));
        return row.element;
      },
      (entry) => {
        this.previews.forget(entry.file);
        this.rows.get(entry)?.leave();
        this.rows.delete(entry);
        entry.file.previewElement = undefined;
      },
    );
    this.windowed.show(this.passed);
  }

  /** @param {Entry} entry */
  add(entry) {
    this.entries.add(entry);
    this.element.hidden = false;
    if (this.filter !== "all") return;
    this.passed.push(entry);
    this.windowed.grown();
  }

  /** @param {Entry} entry */
  update(entry) {
    if (this.filter !== "all") this.siftSoon();
    this.rows.get(entry)?.draw();
  }

  /** Progress is drawn once in a frame, however often it is told. @param {Entry} entry */
  progress(entry) {
    if (!this.rows.has(entry)) return;
    this.stale.add(entry);
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      for (const one of this.stale) this.rows.get(one)?.drawProgress();
      this.stale.clear();
    });
  }

  /**
   * Shows some of them; of those that were refused it leads to the first.
   *
   * @param {Filter} filter
   */
  show(filter) {
    this.filter = filter;
    this.sift();
    if (filter === "refused" && this.passed.length > 0) this.windowed.focus(0);
  }

  /** Those that were refused or failed. */
  lost() {
    return [...this.entries].filter(FILTERS.refused);
  }

  siftSoon() {
    this.sifting ||= requestAnimationFrame(() => this.sift());
  }

  sift() {
    cancelAnimationFrame(this.sifting);
    this.sifting = 0;
    this.passed = [...this.entries].filter(FILTERS[this.filter]);
    this.windowed.show(this.passed);
  }

  /** @param {Entry} entry */
  remove(entry) {
    if (!this.entries.delete(entry)) return;
    const place = this.windowed.focused();
    const focused = this.passed[place];
    if (focused === entry) {
      this.sift();
      this.refocus(place);
    } else this.siftSoon();
    this.element.hidden = this.entries.size === 0;
  }

  /**
   * The row that had the focus is gone: the one that came into its place takes it.
   *
   * @param {number} place
   */
  refocus(place) {
    const next = this.passed[Math.min(place, this.passed.length - 1)];
    if (next) focusable(/** @type {HTMLElement} */ (this.windowed.rowOf(next))).focus();
    else this.element.parentElement?.querySelector("button")?.focus();
  }
}
