import { humanSize, splitName } from "./format.js";
import { icon, iconFor } from "./icons.js";
import { word } from "./messages.js";
import { cureOf } from "./queue.js";
import { isOpen } from "./tally.js";
import { addTooltip } from "./tooltip.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").State} State
 *
 * @typedef {object} Actions what a row's buttons do
 * @property {(entry: Entry) => void} retry
 * @property {(entry: Entry) => boolean} canPause
 * @property {(entry: Entry) => void} pause or go on
 * @property {(entry: Entry) => void} cancel
 * @property {(entry: Entry) => void} remove
 * @property {{cancel: string, remove: string}} words what those two are called
 */

/** The drawing of each; its word is called as it is. @type {Record<string, string>} */
const LOOKS = {
  waiting: "clock",
  paused_file: "pause",
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
 * Dropzone's events set these on rows that stand in the document; here they are for those that come into it later.
 *
 * @type {Record<string, State[]>}
 */
const CLASSES = {
  "dz-processing": ["sending", "checking", "stored", "failed"],
  "dz-success": ["stored"],
  "dz-error": ["refused", "failed"],
  "dz-complete": ["stored", "refused", "failed", "cancelled", "deleted"],
};

/**
 * How a file's state is shown: within a running request some wait for their turn and some have had it.
 *
 * @param {Entry} entry
 * @returns {string}
 */
function lookOf({ state, current }) {
  if (state === "paused") return "paused_file";
  if (state !== "sending" || (current > 0 && current < 1)) return state;
  return current === 0 ? "waiting" : "sent";
}

/** @type {Record<string, string>} */
const CURES = { retry: "retry", anyway: "send_anyway", again: "send_again" };

/**
 * One file of this drop, while it is seen. The class names are Dropzone's, because people's scripts look for them.
 */
export class Row {
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
    /** @type {HTMLButtonElement | null} */
    this.cross = null;
    this.words = document.createTextNode("");
    /** @type {HTMLElement | null} */
    this.message = null;
    /** @type {HTMLElement | null} */
    this.bar = null;
    /** @type {(() => void) | null} */
    this.removeTooltip = null;

    const [head, tail] = splitName(entry.name);
    this.thumb = make("div", "dz-image", icon(iconFor(entry.name, entry.file.type)));
    const name = make("span", "uploads-name", make("span", "uploads-name-head", head), tail);
    name.dir = "auto";
    name.dataset.dzName = "";
    name.title = entry.path ? `${entry.path}/${entry.name}` : entry.name;
    this.size = make("span", "uploads-size");
    this.size.dataset.dzSize = "";
    this.meta = make("p", "uploads-meta", this.size);
    if (entry.path) this.meta.append(make("span", "uploads-path", entry.path));
    this.state = make("span", "uploads-state");
    this.buttons = make("span", "uploads-row-actions");
    const text = make("div", "uploads-text", name, this.meta);
    this.element = make("li", "uploads-row dz-preview dz-file-preview", this.thumb, text, this.state, this.buttons);
    this.draw();
  }

  draw() {
    const { entry, element } = this;
    const changed = this.drawn !== entry.state;
    this.drawn = entry.state;
    element.dataset.state = entry.state;
    for (const [name, states] of Object.entries(CLASSES)) element.classList.toggle(name, states.includes(entry.state));
    this.drawSize();
    this.drawProgress();
    if (changed || entry.stored || this.cure !== cureOf(entry)) this.drawButtons();
    if (changed) this.drawProblem();
  }

  drawSize() {
    const { uuid, size } = this.entry;
    const said = uuid === "" ? "" : humanSize(size);
    if (this.size.textContent !== said) this.size.textContent = said;
  }

  drawProgress() {
    const { entry } = this;
    const look = lookOf(entry);
    if (this.look !== look) {
      this.look = look;
      this.state.replaceChildren(icon(LOOKS[look]), this.words);
    }
    const percent = Math.floor(entry.current * 100);
    this.words.data = look === "sending" ? word("sending_percent", { percent }) : word(look);
    this.drawBar(percent);
  }

  /** @param {number} percent */
  drawBar(percent) {
    const { state } = this.entry;
    if (state !== "sending" && state !== "checking") {
      this.bar?.remove();
      this.bar = null;
      return;
    }
    if (!this.bar) {
      this.bar = make("span", "uploads-row-bar");
      this.bar.dataset.dzUploadprogress = "";
      this.element.append(this.bar);
    }
    this.bar.style.width = `${percent}%`;
  }

  drawButtons() {
    const { entry, actions } = this;
    const { words } = actions;
    const hadFocus = this.buttons.contains(document.activeElement);
    const onCross = hadFocus && document.activeElement === this.cross;
    const buttons = [];
    if (entry.stored) {
      const open = document.createElement("a");
      open.className = "uploads-link";
      open.href = entry.stored.url;
      open.textContent = word("open");
      open.setAttribute("aria-label", `${word("open")} ${entry.name}`);
      buttons.push(open);
    }
    this.cure = cureOf(entry);
    if (this.cure !== "") {
      const retry = button(word(CURES[this.cure]), entry.name, () => actions.retry(entry));
      retry.classList.add("uploads-retry");
      buttons.push(retry);
    }
    if (entry.paused || actions.canPause(entry)) {
      const [drawing, label] = entry.paused ? ["play", word("resume")] : ["pause", word("pause")];
      buttons.push(iconButton(drawing, label, entry.name, () => actions.pause(entry)));
    }
    this.cross = null;
    if (isOpen(entry)) {
      this.cross = iconButton("close", words.cancel, entry.name, () => actions.cancel(entry));
    } else if (entry.state !== "stored") {
      this.cross = iconButton("close", words.remove, entry.name, () => actions.remove(entry));
    }
    this.buttons.replaceChildren(...buttons, ...(this.cross ? [this.cross] : []));
    // Whoever is about to press Pause must not find Cancel in its place.
    if (hadFocus) ((onCross ? this.cross : buttons[0]) ?? buttons[0] ?? focusable(this.element)).focus();
  }

  drawProblem() {
    const { entry, thumb } = this;
    this.removeTooltip?.();
    this.removeTooltip = null;
    this.message?.remove();
    this.message = null;
    if (entry.sentence !== "" || entry.state === "cancelled") {
      // Of one that was cancelled Dropzone writes the host's word for it here.
      this.message = make("span", "dz-error-message", entry.sentence);
      this.message.dataset.dzErrormessage = "";
      this.meta.append(this.message);
    }
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

  /** It is out of sight: nothing of it may go on. */
  leave() {
    this.removeTooltip?.();
  }
}

/**
 * The element, made able to hold the focus that would get lost otherwise.
 *
 * @param {HTMLElement} element
 */
export function focusable(element) {
  element.tabIndex = -1;
  return element;
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {...(Node | string)} children
 */
export function make(tag, className, ...children) {
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
export function button(label, name, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "uploads-button";
  element.textContent = label;
  element.setAttribute("aria-label", `${label} ${name}`);
  element.addEventListener("click", act);
  return element;
}

/**
 * @param {string} drawing
 * @param {string} label
 * @param {string} name
 * @param {() => void} act
 */
function iconButton(drawing, label, name, act) {
  const element = button("", name, act);
  element.className = "uploads-icon-button";
  element.replaceChildren(icon(drawing));
  element.setAttribute("aria-label", `${label} ${name}`);
  element.title = label;
  return element;
}
