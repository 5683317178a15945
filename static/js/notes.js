import { number, word } from "./messages.js";

/** Read aloud when so long nothing was added: a folder is walked bit by bit. */
const QUIET_MS = 1000;

/** What a drop held that became no file of the list: a sentence for each kind. */
export class Notes {
  /**
   * @param {HTMLElement} element a list
   * @param {HTMLElement} live where it is read aloud
   */
  constructor(element, live) {
    this.element = element;
    this.live = live;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.quiet = undefined;
    /** @type {Map<string, string[]>} */
    this.facts = new Map();
    this.frame = 0;
  }

  /**
   * @param {string} fact
   * @param {string} path
   */
  add(fact, path) {
    const paths = this.facts.get(fact) ?? [];
    this.facts.set(fact, paths);
    paths.push(path);
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  clear() {
    this.facts.clear();
    this.draw();
  }

  draw() {
    const items = [...this.facts].map(([fact, paths]) => {
      const item = document.createElement("li");
      const values = { path: paths[0], n: number(paths.length) };
      item.textContent = word(paths.length === 1 ? fact : PLURAL[fact], values);
      return item;
    });
    this.element.replaceChildren(...items);
    this.element.hidden = items.length === 0;
    clearTimeout(this.quiet);
    const said = items.map(({ textContent }) => textContent).join(" ");
    this.quiet = setTimeout(() => (this.live.textContent = said), QUIET_MS);
  }
}

/** @type {Record<string, string>} */
const PLURAL = {
  empty_folder: "empty_folders",
  unreadable_folder: "unreadable_folders",
  unreadable_entry: "unreadable_entries",
  hidden_file: "hidden_files",
};
