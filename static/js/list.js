import { Folder, FolderRow } from "./folder.js";
import { paced } from "./pace.js";
import { firstAction } from "./panel.js";
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

/** Up to so many, a script that is told of a file finds its row. */
const AT_ONCE = 64;

/** The files of this drop, newest last, those of a dropped folder below its name; what is in sight has a row. */
export class List {
  /**
   * @param {HTMLElement} element
   * @param {import("./row.js").Actions} actions
   */
  constructor(element, actions) {
    this.element = element;
    this.actions = actions;
    this.previews = new Previews();
    /** @type {Map<string, Folder>} */
    this.folders = new Map();
    /** @type {Map<Entry, Folder>} */
    this.entries = new Map();
    /** What the filter lets through. @type {(Entry | Folder)[]} */
    this.passed = [];
    /** @type {Filter} */
    this.filter = "all";
    /** @type {Map<Entry | Folder, Row | FolderRow>} */
    this.rows = new Map();
    /** @type {Set<Entry | Folder>} */
    this.stale = new Set();
    this.drawStale = paced(() => {
      for (const one of this.stale) {
        const row = this.rows.get(one);
        if (row instanceof Row) row.drawProgress();
        else row?.draw();
      }
      this.stale.clear();
    });
    this.sifting = 0;
    this.windowed = new Windowed(
      element,
      (/** @type {Entry | Folder} */ item) => this.build(item),
      (item) => this.leave(item),
    );
    this.windowed.show(this.passed);
  }

  /** @param {Entry | Folder} item */
  build(item) {
    if (item instanceof Folder) {
      const row = new FolderRow(item, () => this.sift());
      this.rows.set(item, row);
      return row.element;
    }
    const row = new Row(item, this.actions);
    this.rows.set(item, row);
    item.file.previewElement = row.element;
    this.previews.ask(item.file, (url) => row.picture(url));
    return row.element;
  }

  /** @param {Entry | Folder} item */
  leave(item) {
    const row = this.rows.get(item);
    this.rows.delete(item);
    if (item instanceof Folder) return;
    if (row instanceof Row) row.leave();
    this.previews.forget(item.file);
    item.file.previewElement = undefined;
  }

  /** @param {Entry} entry */
  add(entry) {
    const [name] = entry.path.split("/", 1);
    const folder = this.folders.get(name) ?? new Folder(name);
    this.folders.set(name, folder);
    folder.add(entry);
    this.entries.set(entry, folder);
    this.element.hidden = false;
    if (this.filter === "all" && name === "" && this.folders.size === 1) {
      this.passed.push(entry);
      this.windowed.grown();
    } else if (this.entries.size <= AT_ONCE) this.sift();
    else this.siftSoon();
    this.drawSoon(folder);
  }

  /** @param {Entry} entry */
  update(entry) {
    if (this.filter !== "all") this.siftSoon();
    const row = this.rows.get(entry);
    if (row instanceof Row) row.draw();
    const folder = this.entries.get(entry);
    folder?.recount(entry);
    if (folder) this.drawSoon(folder);
  }

  /** @param {Entry} entry */
  progress(entry) {
    this.drawSoon(entry);
  }

  /** @param {Entry | Folder} item that changes often */
  drawSoon(item) {
    if (!this.rows.has(item)) return;
    this.stale.add(item);
    this.drawStale();
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
    return [...this.entries.keys()].filter(FILTERS.refused);
  }

  siftSoon() {
    this.sifting ||= requestAnimationFrame(() => this.sift());
  }

  sift() {
    cancelAnimationFrame(this.sifting);
    this.sifting = 0;
    const place = this.windowed.focused();
    const focused = this.passed[place];
    this.passed = [];
    for (const folder of this.folders.values()) {
      const headed = this.filter === "all" && folder.name !== "";
      if (headed) this.passed.push(folder);
      if (headed && folder.folded) continue;
      for (const entry of folder.entries.keys()) if (FILTERS[this.filter](entry)) this.passed.push(entry);
    }
    this.windowed.show(this.passed);
    if (focused && !this.passed.includes(focused)) this.refocus(place);
  }

  /** @param {Entry} entry */
  remove(entry) {
    const folder = this.entries.get(entry);
    if (!folder) return;
    this.entries.delete(entry);
    folder.remove(entry);
    if (folder.entries.size === 0) this.folders.delete(folder.name);
    else this.drawSoon(folder);
    if (this.passed[this.windowed.focused()] === entry) this.sift();
    else this.siftSoon();
    this.element.hidden = this.entries.size === 0;
  }

  /**
   * The row that had the focus is gone: the one that came into its place takes it.
   *
   * @param {number} place
   */
  refocus(place) {
    const index = Math.min(place, this.passed.length - 1);
    if (index >= 0) {
      this.windowed.draw(index);
      focusable(/** @type {HTMLElement} */ (this.windowed.rowOf(this.passed[index]))).focus();
      return;
    }
    const root = /** @type {HTMLElement} */ (this.element.parentElement);
    (this.entries.size > 0 ? firstAction(root) : root.querySelector("button"))?.focus();
  }
}
