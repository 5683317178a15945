import { humanSize, splitName } from "./format.js";
import { icon, iconFor } from "./icons.js";
import { word } from "./messages.js";
import { Previews } from "./preview.js";
import { cureOf } from "./queue.js";
import { isOpen } from "./tally.js";
import { addTooltip } from "./tooltip.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").State} State
 *
 * @typedef {object} Actions what a row's buttons do
 * @property {(entry: Entry) => void} retry
 * @property {(entry: Entry) => void} cancel
 * @property {(entry: Entry) => void} remove
 * @property {{cancel: string, remove: string}} words what those two are called
 */

/** The drawing of each; its word is called as it is. @type {Record<string, string>} */
const LOOKS = {
  waiting: "clock",
  sending: "up",
  sent: "up",
  checking: "dots",
  stored: "check",
  refused: "cross",
  failed: "warning",
  cancelled: "minus",
  deleted: "bin",
};

/**
 * How a file's state is shown: within a running request some wait for their turn and some have had it.
 *
 * @param {Entry} entry
 * @returns {string}
 */
function lookOf({ state, current }) {
  if (state !== "sending" || (current > 0 && current < 1)) return state;
  return current === 0 ? "waiting" : "sent";
}

/** @type {Record<string, string>} */
const CURES = { retry: "retry", anyway: "send_anyway", again: "send_again" };

/** The rows of this drop, newest last. */
export class List {
  /**
   * @param {HTMLElement} element
   * @param {Actions} actions
   */
  constructor(element, actions) {
    this.element = element;
    this.actions = actions;
    this.previews = new Previews();
    /** @type {WeakMap<Entry, Row>} */
    this.rows = new WeakMap();
    /** @type {Set<Entry>} */
    this.stale = new Set();
    this.frame = 0;
  }

  /** @param {Entry} entry */
  add(entry) {
    const row = new Row(entry, this.actions);
    this.rows.set(entry, row);
    entry.file.previewElement = row.element;
    this.element.append(row.element);
    this.element.hidden = false;
    this.previews.ask(row.element, entry.file, (url) => row.picture(url));
  }

  /** @param {Entry} entry */
  update(entry) {
    this.rows.get(entry)?.draw();
  }

  /** Progress is drawn once in a frame, however often it is told. @param {Entry} entry */
  progress(entry) {
    this.stale.add(entry);
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      for (const one of this.stale) this.rows.get(one)?.drawProgress();
      this.stale.clear();
    });
  }

  /**
   * Shows those alone that were refused or failed, and leads to the first of them; or all.
   *
   * @param {boolean} only
   */
  showRefused(only) {
    this.element.toggleAttribute("data-uploads-only-refused", only);
    const first = this.element.querySelector(".uploads-row:is([data-state=refused], [data-state=failed]) .dz-image");
    if (only && first instanceof HTMLElement) first.focus();
  }

  /** @param {Entry} entry */
  remove(entry) {
    const row = this.rows.get(entry);
    if (!row) return;
    const { element } = row;
    if (element.contains(document.activeElement)) this.neighbour(element)?.focus();
    this.previews.forget(element);
    element.remove();
    this.element.hidden = this.element.childElementCount === 0;
  }

  /**
   * Where the focus goes when a row leaves with it.
   *
   * @param {HTMLElement} element
   * @returns {HTMLElement | null}
   */
  neighbour(element) {
    const row = element.nextElementSibling ?? element.previousElementSibling;
    if (row instanceof HTMLElement) return focusable(row);
    return this.element.parentElement?.querySelector("button") ?? null;
  }
}

/** One file of this drop. The class names are Dropzone's, because people's scripts look for them. */
class Row {
  /**
   * @param {Entry} entry
   * @param {Actions} actions
   */
  constructor(entry, actions) {
    this.entry = entry;
    this.actions = actions;
    /** @type {State | null} */
    this.drawn = null;
    this.look = "";
    this.cure = "";
    this.word = make("span", "");
    /** @type {(() => void) | null} */
    this.removeTooltip = null;

    const [head, tail] = splitName(entry.name);
    this.thumb = make("div", "dz-image", icon(iconFor(entry.name, entry.file.type)));
    this.name = make("span", "uploads-name", make("span", "uploads-name-head", head), make("span", "", tail));
    this.name.dataset.dzName = "";
    this.name.title = entry.path ? `${entry.path}/${entry.name}` : entry.name;
    const size = make("span", "uploads-size", humanSize(entry.size));
    size.dataset.dzSize = "";
    this.message = make("span", "");
    this.message.dataset.dzErrormessage = "";
    const meta = make("p", "uploads-meta", size);
    if (entry.path) meta.append(make("span", "uploads-path", entry.path));
    meta.append(make("span", "dz-error-message", this.message));
    this.state = make("span", "uploads-state");
    this.buttons = make("span", "uploads-row-actions");
    this.bar = make("span", "uploads-row-bar");
    this.bar.dataset.dzUploadprogress = "";
    const text = make("div", "uploads-text", this.name, meta);
    const track = make("div", "uploads-row-track", this.bar);
    this.element = make("li", "uploads-row dz-preview dz-file-preview");
    this.element.append(this.thumb, text, this.state, this.buttons, track);
    this.draw();
  }

  draw() {
    const { entry, element } = this;
    const changed = this.drawn !== entry.state;
    this.drawn = entry.state;
    element.dataset.state = entry.state;
    this.drawProgress();
    if (changed || entry.stored || this.cure !== cureOf(entry)) this.drawButtons();
    if (changed) this.drawProblem();
  }

  drawProgress() {
    const { entry } = this;
    const look = lookOf(entry);
    if (this.look !== look) {
      this.look = look;
      this.state.replaceChildren(icon(LOOKS[look]), this.word);
    }
    const percent = Math.floor(entry.current * 100);
    this.bar.style.width = `${percent}%`;
    this.word.textContent = look === "sending" ? word("sending_percent", { percent }) : word(look);
  }

  drawButtons() {
    const { entry, actions } = this;
    const { words } = actions;
    const hadFocus = this.buttons.contains(document.activeElement);
    const buttons = [];
    if (entry.stored) {
      const open = document.createElement("a");
      open.className = "uploads-link";
      open.href = entry.stored.url;
      open.textContent = word("open");
      open.append(make("span", "uploads-hidden", ` ${entry.name}`));
      buttons.push(open);
    }
    this.cure = cureOf(entry);
    if (this.cure !== "") {
      const retry = button(word(CURES[this.cure]), entry.name, () => actions.retry(entry));
      retry.classList.add("uploads-retry");
      buttons.push(retry);
    }
    if (isOpen(entry)) {
      buttons.push(cross(words.cancel, entry.name, () => actions.cancel(entry)));
    } else if (entry.state !== "stored") {
      buttons.push(cross(words.remove, entry.name, () => actions.remove(entry)));
    }
    this.buttons.replaceChildren(...buttons);
    if (hadFocus) (buttons[0] ?? focusable(this.element)).focus();
  }

  drawProblem() {
    const { entry, thumb } = this;
    this.removeTooltip?.();
    this.removeTooltip = null;
    this.message.textContent = entry.sentence;
    if (entry.sentence === "") {
      for (const name of ["role", "tabindex", "aria-label"]) thumb.removeAttribute(name);
      return;
    }
    thumb.setAttribute("role", "button");
    thumb.setAttribute("tabindex", "0");
    thumb.setAttribute("aria-label", word(`why_${entry.state}`, { name: entry.name }));
    this.removeTooltip = addTooltip(thumb, this.element, entry.sentence);
  }

  /** @param {string} url of a picture that this row alone uses */
  picture(url) {
    const image = document.createElement("img");
    image.dataset.dzThumbnail = "";
    image.alt = "";
    image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    image.src = url;
    this.thumb.replaceChildren(image);
    this.element.classList.replace("dz-file-preview", "dz-image-preview");
  }
}

/**
 * The element, made able to hold the focus that would get lost otherwise.
 *
 * @param {HTMLElement} element
 */
function focusable(element) {
  element.tabIndex = -1;
  return element;
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {...(Node | string)} children
 */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/**
 * @param {string} label
 * @param {string} name
 * @param {() => void} act
 */
function button(label, name, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "uploads-button";
  element.append(label, make("span", "uploads-hidden", ` ${name}`));
  element.addEventListener("click", act);
  return element;
}

/**
 * @param {string} label
 * @param {string} name
 * @param {() => void} act
 */
function cross(label, name, act) {
  const element = button("", name, act);
  element.className = "uploads-icon-button";
  element.replaceChildren(icon("close"), make("span", "uploads-hidden", `${label} ${name}`));
  element.title = label;
  return element;
}
