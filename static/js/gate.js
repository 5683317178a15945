import { sentence } from "./messages.js";

/** @typedef {import("./queue.js").Queue} Queue */

/** @type {WeakMap<HTMLFormElement, Gate>} */
const gates = new WeakMap();

/**
 * The gate of a form: one, however many zones the form holds.
 *
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} button
 */
export function gateOf(form, button) {
  const gate = gates.get(form) ?? new Gate(form, button);
  gates.set(form, gate);
  return gate;
}

/** Keeps a form of the host's from being sent before the files of its zones are stored. */
class Gate {
  /**
   * @param {HTMLFormElement} form
   * @param {HTMLElement | null} button whose submission waits; without one every submission does
   */
  constructor(form, button) {
    this.form = form;
    this.button = button;
    /** @type {{uploader: Queue, note: HTMLElement | null}[]} */
    this.zones = [];
    this.waiting = false;
    this.complete = true;
    /** @type {HTMLElement | null} */
    this.submitter = null;
    // Before the host's own listeners: what they do on sending is to be done once, and with the files stored.
    form.addEventListener("submit", (event) => this.asked(event), { capture: true });
    if (button && !sends(button, form)) {
      button.addEventListener("click", (event) => {
        event.preventDefault();
        form.requestSubmit();
      });
    }
  }

  /**
   * @param {Queue} uploader
   * @param {HTMLElement | null} note where to say that the form was kept back
   */
  add(uploader, note) {
    this.zones.push({ uploader, note });
    uploader.dropzone.on("error", () => (this.complete = false));
    uploader.element.addEventListener("batchuploader:done", () => this.settled());
  }

  /** @param {SubmitEvent} event */
  asked(event) {
    const { button, form } = this;
    if (event.submitter && button && sends(button, form) && event.submitter !== button) return;
    if (!this.waiting) {
      for (const { note } of this.zones) if (note) note.hidden = true;
      for (const { uploader } of this.zones) uploader.retryAll();
    }
    if (!this.open()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (this.waiting) return;
    this.waiting = true;
    this.complete = true;
    this.submitter = event.submitter;
    for (const { uploader } of this.zones) {
      // What is added from now on belongs to what is being sent.
      uploader.holding = false;
      uploader.sendAll();
    }
  }

  open() {
    return this.zones.some(({ uploader }) => uploader.counts.open > 0);
  }

  settled() {
    if (!this.waiting || this.open()) return;
    this.waiting = false;
    for (const { uploader } of this.zones) uploader.holding = uploader.options.onClick ?? false;
    if (this.complete) {
      this.form.requestSubmit(sends(this.submitter, this.form) ? this.submitter : null);
      return;
    }
    const [{ uploader, note }] = this.zones;
    if (!note) return;
    note.textContent = sentence(uploader.options, "form_kept");
    note.hidden = false;
  }
}

/**
 * Whether a click on it submits the form by itself.
 *
 * @param {HTMLElement | null} element
 * @param {HTMLFormElement} form
 */
function sends(element, form) {
  const button = element instanceof HTMLButtonElement || element instanceof HTMLInputElement;
  return button && element.form === form && ["submit", "image"].includes(element.type);
}
