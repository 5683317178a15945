import { isSame } from "./begun.js";
import { humanSize, relativeTime, splitName, toldApart } from "./format.js";
import { icon, iconFor } from "./icons.js";
import { word } from "./messages.js";
import { button, make } from "./row.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").Upload} Upload
 * @typedef {import("./queue.js").Queue} Queue
 */

/** What an earlier page has left unfinished, apart from the files of this drop: to go on with, or to discard. */
export class Unfinished {
  /**
   * @param {HTMLElement} element
   * @param {Queue} queue
   */
  constructor(element, queue) {
    this.element = element;
    this.queue = queue;
    this.list = /** @type {HTMLElement} */ (element.querySelector("ul"));
    this.live = /** @type {HTMLElement} */ (element.querySelector("[role=status]"));
    /** By its uuid. @type {Map<string, HTMLElement>} */
    this.rows = new Map();
    this.input = document.createElement("input");
    this.input.type = "file";
    this.input.hidden = true;
    this.input.className = "uploads-second-input";
    this.input.dataset.uploadsResume = "";
    element.append(this.input);
  }

  /** Shows what the server has; where it does not tell, what is shown stays. */
  async refresh() {
    const { begun, entries } = this.queue;
    await begun.ask();
    const here = new Set(Array.from(entries.values(), ({ uuid }) => uuid));
    const gone = new Set(this.rows.keys());
    for (const upload of begun.uploads.filter(({ uuid }) => !here.has(uuid))) {
      gone.delete(upload.uuid);
      if (!this.rows.has(upload.uuid)) this.rows.set(upload.uuid, this.build(upload));
    }
    for (const uuid of gone) this.rows.delete(uuid);
    this.list.replaceChildren(...this.rows.values());
    this.element.hidden = this.rows.size === 0;
  }

  /** It goes on in this drop. @param {Entry} entry */
  taken({ uuid }) {
    const row = this.rows.get(uuid);
    if (row) this.drop(uuid, row);
  }

  /**
   * @param {string} uuid
   * @param {HTMLElement} row
   */
  drop(uuid, row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    const focused = row.contains(document.activeElement);
    row.remove();
    this.rows.delete(uuid);
    this.element.hidden = this.rows.size === 0;
    const other = (next ?? this.queue.element).querySelector("button");
    if (focused && other instanceof HTMLElement) other.focus();
  }

  /** @param {Upload} upload */
  build(upload) {
    const { filename, path, size, created } = upload;
    const [head, tail] = splitName(filename);
    const name = make("span", "uploads-name", make("span", "uploads-name-head", head), tail);
    name.dir = "auto";
    name.title = path ? `${path}/${filename}` : filename;
    const sizes = word("sizes", { sent: humanSize(heldOf(upload)), total: humanSize(size) });
    const time = make("time", "", relativeTime(new Date(created), new Date()));
    time.setAttribute("datetime", created);
    time.title = new Date(created).toLocaleString();
    const meta = make("p", "uploads-meta", make("span", "", sizes), time);
    if (path) meta.append(make("span", "uploads-path", path));
    const message = make("p", "uploads-unfinished-message");
    message.setAttribute("role", "alert");
    const row = make("li", "uploads-unfinished-row");
    const buttons = make("span", "uploads-row-actions");
    const discard = button(word("discard"), filename, () => this.ask(upload, row, discard));
    // What another kind of client has begun has no chunks to go on with.
    if (upload.chunk_size > 0) buttons.append(button(word("resume"), filename, () => this.choose(upload, message)));
    buttons.append(discard);
    const text = make("div", "uploads-text", name, meta, message);
    row.append(make("div", "dz-image", icon(iconFor(filename))), text, buttons);
    return row;
  }

  /**
   * @param {Upload} upload
   * @param {HTMLElement} message
   */
  choose(upload, message) {
    const { input } = this;
    input.value = "";
    input.onchange = () => {
      const [file] = input.files ?? [];
      if (!file) return;
      message.textContent = isSame(file, upload) ? "" : wrong(file, upload);
      if (message.textContent === "") this.queue.goOn(upload, file);
    };
    input.click();
  }

  /**
   * What has arrived comes back only by sending it again, so this asks first.
   *
   * @param {Upload} upload
   * @param {HTMLElement} row
   * @param {HTMLElement} opener
   */
  ask({ uuid, filename }, row, opener) {
    if (row.querySelector(".uploads-question")) return;
    const question = make("div", "uploads-question", make("span", "", word("discard_question")));
    question.setAttribute("role", "group");
    question.setAttribute("aria-label", word("discard_this", { name: filename }));
    const close = () => {
      question.remove();
      opener.focus();
    };
    const yes = button(word("discard"), filename, async () => {
      yes.disabled = true;
      const problem = await this.queue.deletions.now(uuid);
      if (problem === "") {
        this.live.textContent = word("was_discarded", { name: filename });
        this.drop(uuid, row);
        return;
      }
      yes.disabled = false;
      /** @type {HTMLElement} */ (question.firstElementChild).textContent = problem;
    });
    yes.classList.add("uploads-danger");
    const no = button(word("keep"), filename, close);
    question.addEventListener("keydown", (event) => event.key === "Escape" && close());
    question.append(yes, no);
    row.append(question);
    yes.focus();
  }
}

/** @param {Upload} upload */
function heldOf({ ranges }) {
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0);
}

/**
 * @param {File} file
 * @param {Upload} upload
 */
function wrong(file, upload) {
  const [size, wantedSize] = toldApart(file.size, upload.size);
  return word("wrong_file", { name: file.name, size, wanted: upload.filename, wanted_size: wantedSize });
}
