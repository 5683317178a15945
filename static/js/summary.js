import { duration, humanSize } from "./format.js";
import { files, number, outcome, soFar, word } from "./messages.js";
import { firstAction } from "./panel.js";

/** @typedef {import("./queue.js").Queue} Queue */

/** Between two sentences read aloud while a drop goes on: longer each time, for it may go on for hours. */
const SPEAK_MS = 4000;
const MOST_SPEAK_MS = 60_000;

/** One line of words and one bar for the whole drop, what can be done about it, and what is said of it aloud. */
export class Summary {
  /**
   * @param {HTMLElement} root
   * @param {Queue} queue
   * @param {import("./list.js").List} list
   */
  constructor(root, queue, list) {
    this.queue = queue;
    this.list = list;
    const find = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (root.querySelector(`[data-uploads-${name}]`));
    this.element = find("summary");
    this.words = find("summary-words");
    this.detail = find("summary-detail");
    this.bar = find("bar");
    this.live = find("live");
    this.actions = find("actions");
    this.question = find("question");
    this.spoken = 0;
    this.silence = SPEAK_MS;
    /** @type {import("./list.js").Filter} */
    this.filter = "all";
    this.undoing = false;
    this.buttons = {
      pause: this.add(() => (queue.line.paused ? queue.resume() : queue.pause())),
      cancel: this.add(() => this.cancel()),
      retry: this.add(() => queue.retryAll()),
      refused: this.add(() => this.show("refused")),
      stored: this.add(() => this.show("stored")),
      copy: this.add(() => this.copy()),
      undo: this.add(() => this.ask()),
      clear: this.add(() => this.clear()),
    };
    for (const button of [this.buttons.cancel, this.buttons.undo]) button.dataset.uploadsHarms = "";
  }

  /** @param {() => void} act */
  add(act) {
    const element = document.createElement("button");
    element.type = "button";
    element.className = "uploads-button";
    element.hidden = true;
    element.addEventListener("click", () => {
      this.forget();
      act();
      this.draw();
    });
    this.actions.append(element);
    return element;
  }

  draw() {
    const { counts, tally } = this.queue;
    this.element.hidden = counts.files === 0;
    this.element.dataset.state = counts.open > 0 ? "busy" : "done";
    if (counts.open > 0) {
      this.forget();
      const said = soFar(counts);
      write(this.words, said);
      write(this.detail, this.pace());
      this.sayOnTheWay(said);
    } else {
      write(this.words, word("full_stop", { text: outcome(counts) }));
      write(this.detail, counts.stored > 0 ? humanSize(tally.bytes.stored) : "");
    }
    const shares = tally.shares();
    for (const [name, share] of Object.entries(shares)) {
      const piece = /** @type {HTMLElement} */ (this.bar.querySelector(`[data-part="${name}"]`));
      piece.style.width = `${100 * share}%`;
    }
    // Rounded down, and 100 only when nothing is open: the last file may still be refused.
    const value = Math.floor(100 * (shares.stored + shares.sent + shares.lost));
    this.bar.setAttribute("aria-valuenow", String(counts.open > 0 ? Math.min(99, value) : 100));
    this.bar.setAttribute("aria-valuetext", this.words.textContent ?? "");
    this.drawActions();
  }

  /** Bytes, speed and time: "1.2 of 4.8 GB · 18 MB/s · about 3 minutes left". */
  pace() {
    const { tally, meter, line } = this.queue;
    const { sent, total } = tally.bytes;
    const said = [word("sizes", { sent: humanSize(Math.floor(sent)), total: humanSize(Math.ceil(total)) })];
    const speed = line.open ? meter.speed() : null;
    const left = meter.left(total - sent);
    if (speed && left !== null) {
      said.push(word("per_second", { size: humanSize(Math.round(speed)) }));
      said.push(left < 10 ? word("seconds_left") : word("about_left", { time: duration(left) }));
    }
    return said.join(" · ");
  }

  drawActions() {
    const { counts, line, holding, options } = this.queue;
    const busy = counts.open > 0;
    const lost = counts.refused + counts.failed;
    const mixed = lost > 0 && counts.files > lost;
    if ((this.filter === "refused" && lost === 0) || (this.filter === "stored" && (busy || counts.stored === 0))) this.show("all");
    const { pause, cancel, retry, refused, stored, copy, undo, clear } = this.buttons;
    const focused = Object.values(this.buttons).find((button) => button === document.activeElement);
    set(pause, busy && !holding, word(line.paused ? "resume" : "pause"));
    set(cancel, busy && counts.open + counts.stored > 1, word("cancel_all"));
    set(retry, counts.failed > 0, word("retry_all", { n: number(counts.failed) }));
    this.drawFilter(refused, "refused", mixed, counts.failed > 0 ? "show_not_stored" : "show_refused", lost);
    this.drawFilter(stored, "stored", mixed && !busy && counts.stored > 0, "show_stored", counts.stored);
    set(copy, !busy && lost > 0, word("copy", { n: number(lost) }));
    set(undo, !busy && counts.stored > 0 && !!options.uploadsUrl && !this.undoing, word("undo"));
    set(clear, !busy && !this.undoing, word("clear"));
    if (focused?.hidden) firstAction(this.element)?.focus();
  }

  /**
   * A button that filters the list, and shows all again.
   *
   * @param {HTMLButtonElement} button
   * @param {import("./list.js").Filter} filter
   * @param {boolean} shown
   * @param {string} code
   * @param {number} count
   */
  drawFilter(button, filter, shown, code, count) {
    const on = this.filter === filter;
    set(button, shown, on ? word("show_all") : word(code, { n: number(count) }));
    button.setAttribute("aria-pressed", String(on));
  }

  /** @param {import("./list.js").Filter} filter shown; where it is shown already, all are */
  show(filter) {
    this.filter = this.filter === filter ? "all" : filter;
    this.list.show(this.filter);
    this.draw();
  }

  /** What was not stored, and why, as text for whoever is to be told of it. */
  async copy() {
    const lost = this.list.lost();
    const text = lost.map(({ path, name, sentence }) => `${path ? `${path}/` : ""}${name}: ${sentence}\n`).join("");
    this.tell(word((await copyText(text)) ? "copied" : "not_copied"));
  }

  cancel() {
    const { dropzone, options } = this.queue;
    const question = options.dropzone?.dictCancelUploadConfirmation;
    const cancel = () => this.queue.cancelAll();
    if (question) dropzone.constructor.confirm(question, cancel);
    else cancel();
  }

  /** What was deleted comes back only by sending it again, so this asks first. */
  ask() {
    const close = () => {
      this.question.replaceChildren();
      this.question.hidden = true;
      this.undoing = false;
      this.draw();
    };
    const answer = (/** @type {string} */ code, /** @type {string} */ look, /** @type {() => void} */ act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = `uploads-button ${look}`;
      button.textContent = word(code);
      button.addEventListener("click", act);
      return button;
    };
    const yes = answer("delete", "uploads-danger", async () => {
      const stopping = new AbortController();
      const stop = answer("stop", "", () => stopping.abort());
      this.question.replaceChildren(words, stop);
      stop.focus();
      const progress = (/** @type {number} */ done) => {
        words.textContent = word("undoing", { n: number(done), files: files(all) });
      };
      progress(0);
      const { deleted, kept, sentence } = await this.queue.undo({ progress, signal: stopping.signal });
      close();
      const said = [];
      if (deleted > 0 || kept === 0) said.push(word("undone", { files: files(deleted) }));
      if (kept > 0) said.push(word("undo_failed", { files: files(kept), why: sentence }));
      this.tell(said.join(" "));
      this.buttons.clear.focus();
    });
    const no = answer("keep", "", () => {
      close();
      this.buttons.undo.focus();
    });
    for (const button of [yes, no]) {
      button.addEventListener("keydown", (event) => event.key === "Escape" && no.click());
    }
    const all = this.queue.counts.stored;
    const words = document.createElement("span");
    words.textContent = word("undo_question", { files: files(all) });
    this.question.replaceChildren(words, yes, no);
    this.question.hidden = false;
    this.undoing = true;
    this.draw();
    yes.focus();
  }

  clear() {
    this.queue.clear();
    const zone = /** @type {HTMLElement | null} */ (this.queue.element.querySelector("button"));
    zone?.focus();
  }

  done() {
    this.draw();
    this.silence = SPEAK_MS;
    this.say(word("full_stop", { text: outcome(this.queue.counts) }));
  }

  /** @param {string} words */
  sayOnTheWay(words) {
    if (performance.now() - this.spoken <= this.silence || this.live.textContent === words) return;
    this.say(words);
    this.silence = Math.min(2 * this.silence, MOST_SPEAK_MS);
  }

  /**
   * Says what came of a button, to the eye too.
   *
   * @param {string} words
   */
  tell(words) {
    this.say(words);
    if (this.undoing) return;
    const told = document.createElement("span");
    told.textContent = words;
    this.question.replaceChildren(told);
    this.question.hidden = false;
  }

  /** What was told is over, for something else goes on. A question stays. */
  forget() {
    if (this.undoing || this.question.hidden) return;
    this.question.replaceChildren();
    this.question.hidden = true;
  }

  /** @param {string} words */
  say(words) {
    this.spoken = performance.now();
    this.live.textContent = words;
  }
}

/**
 * @param {HTMLButtonElement} button
 * @param {boolean} shown
 * @param {string} label
 */
function set(button, shown, label) {
  write(button, label);
  button.hidden = !shown;
}

/**
 * The same once more would have it laid out anew.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it lies in the clipboard
 */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages of an insecure origin have no such thing.
    const area = document.createElement("textarea");
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    before?.focus();
    return copied;
  }
}
