import { icon } from "./icons.js";
import { outcome, soFar } from "./messages.js";
import { isOpen } from "./tally.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").Counts} Counts
 */

/** What was dropped with one folder, and what has become of it. */
export class Folder {
  /** @param {string} name of the folder that was dropped; "" for files that came without one */
  constructor(name) {
    this.name = name;
    this.folded = false;
    /** And as what each is counted. @type {Map<Entry, keyof Counts>} */
    this.entries = new Map();
    /** @type {Counts} */
    this.counts = { files: 0, stored: 0, refused: 0, failed: 0, cancelled: 0, deleted: 0, open: 0 };
  }

  /** @param {Entry} entry */
  add(entry) {
    this.counts.files += 1;
    this.recount(entry);
  }

  /** @param {Entry} entry that has changed */
  recount(entry) {
    this.uncount(entry);
    const as = isOpen(entry) ? "open" : /** @type {keyof Counts} */ (entry.state);
    this.entries.set(entry, as);
    this.counts[as] += 1;
  }

  /** @param {Entry} entry */
  uncount(entry) {
    const as = this.entries.get(entry);
    if (as) this.counts[as] -= 1;
  }

  /** @param {Entry} entry */
  remove(entry) {
    this.uncount(entry);
    if (this.entries.delete(entry)) this.counts.files -= 1;
  }
}

/** The line above the files of a folder; a press folds them away. */
export class FolderRow {
  /**
   * @param {Folder} folder
   * @param {() => void} toggled
   */
  constructor(folder, toggled) {
    this.folder = folder;
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.className = "uploads-folder-button";
    const name = document.createElement("span");
    name.className = "uploads-folder-name";
    name.textContent = name.title = folder.name;
    this.words = document.createElement("span");
    this.words.className = "uploads-folder-words";
    this.button.append(icon("folder"), name, this.words);
    this.button.addEventListener("click", () => {
      folder.folded = !folder.folded;
      this.draw();
      toggled();
    });
    this.element = document.createElement("li");
    this.element.className = "uploads-folder";
    this.element.append(this.button);
    this.draw();
  }

  draw() {
    const { counts, folded } = this.folder;
    this.button.setAttribute("aria-expanded", String(!folded));
    const said = counts.open > 0 ? soFar(counts) : outcome(counts);
    if (this.words.textContent !== said) this.words.textContent = said;
  }
}
