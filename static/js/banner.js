import { duration } from "./format.js";
import { files, waiting, word } from "./messages.js";
import { firstAction } from "./panel.js";

/** @typedef {import("./queue.js").Queue} Queue */

/**
 * What comes when a wait is over: only a server that named its time is known to be there then.
 *
 * @type {Record<string, string>}
 */
const NEXT = { busy: "going_on", broken: "trying_again", offline: "trying_again" };

/** Why nothing leaves, and what can be done about it: one thing at a time. */
export class Banner {
  /**
   * @param {HTMLElement} element
   * @param {Queue} queue
   */
  constructor(element, queue) {
    this.element = element;
    this.queue = queue;
    this.words = document.createElement("span");
    /** The countdown is for the eye: read aloud each second it would be all that is heard. */
    this.time = document.createElement("span");
    this.time.setAttribute("aria-hidden", "true");
    this.place = document.createElement("span");
    const text = document.createElement("p");
    text.setAttribute("role", "status");
    text.append(this.words, " ", this.time);
    element.append(text, this.place);
    this.shown = "";
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.clock = undefined;
  }

  draw() {
    const focused = this.element.contains(document.activeElement);
    const shown = this.shown;
    this.write();
    if (focused && this.shown !== shown) this.refocus();
  }

  write() {
    const { line, counts, requests } = this.queue;
    const reason = line.paused ? "paused" : line.reason;
    const shown = reason !== "" && counts.open > 0;
    this.element.hidden = !shown;
    this.element.dataset.reason = reason;
    if (!shown) {
      this.shown = "";
      this.place.replaceChildren();
      clearInterval(this.clock);
      this.clock = undefined;
      return;
    }
    this.clock ??= setInterval(() => this.draw(), 500);
    const text = reason === "paused" ? paused(requests.size) : waiting(reason, counts.open);
    if (this.words.textContent !== text) this.words.textContent = text;
    this.time.textContent = Object.hasOwn(NEXT, reason) ? this.when(NEXT[reason]) : "";
    if (this.shown !== reason) this.drawAction(reason);
    this.shown = reason;
  }

  /** @param {string} code what comes then */
  when(code) {
    const { until } = this.queue.line;
    if (until === null) return word("asking");
    return word(code, { time: duration(Math.max(1, Math.ceil((until - Date.now()) / 1000))) });
  }

  /** The button that had the focus is gone: the one in its place takes it, else the first of those for the whole drop. */
  refocus() {
    const summary = /** @type {HTMLElement} */ (this.element.parentElement);
    const action = /** @type {HTMLElement | null} */ (this.place.firstElementChild);
    (action ?? firstAction(summary))?.focus();
  }

  /** @param {string} reason */
  drawAction(reason) {
    const { line } = this.queue;
    if (reason === "signed_out") {
      const link = document.createElement("a");
      link.className = "uploads-button";
      // The page itself leads to where one signs in; this tab keeps the files.
      link.href = location.href;
      link.target = "_blank";
      link.rel = "opener";
      link.textContent = word("sign_in");
      this.place.replaceChildren(link);
      return;
    }
    if (reason === "paused") {
      // The button that paused it stands among the others.
      this.place.replaceChildren();
      return;
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "uploads-button";
    button.textContent = word(reason === "disk_full" ? "go_on" : "try_now");
    button.addEventListener("click", () => line.tryNow());
    this.place.replaceChildren(button);
  }
}

/** @param {number} sending */
function paused(sending) {
  if (sending === 0) return word("paused");
  return sending === 1 ? word("paused_one") : word("paused_some", { files: files(sending) });
}
