import { Answers } from "./answers.js";
import { BatchLane, MOST_PARTS } from "./batchlane.js";
import { Begun } from "./begun.js";
import { ChunkLane } from "./chunklane.js";
import { CsrfToken } from "./csrf.js";
import { Deletions } from "./deletions.js";
import { DirectLane } from "./directlane.js";
import { Line } from "./line.js";
import { sentence } from "./messages.js";
import { Memory } from "./memory.js";
import { Meter } from "./meter.js";
import { Precheck } from "./precheck.js";
import { Question } from "./question.js";
import { Receipts } from "./receipts.js";
import { refusal } from "./rules.js";
import { isOpen, Tally } from "./tally.js";
import { Transport } from "./transport.js";
import { verdicts } from "./verdicts.js";
import { createWidget } from "./widget.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").DropzoneFile} DropzoneFile
 * @typedef {import("./types.js").Verdict} Verdict
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./request.js").Sender} Sender
 *
 * @typedef {object} View what draws; it is told of every change and asks nothing
 * @property {(entry: Entry) => void} added
 * @property {(entry: Entry) => void} changed state, sentence or stored file
 * @property {(entry: Entry) => void} progressed
 * @property {(entry: Entry) => void} removed
 * @property {() => void} counted the counters changed
 * @property {() => void} line whether requests may leave, why not and until when
 * @property {(fact: string, path: string) => void} told what became no file of the queue
 * @property {() => void} done nothing is open any more
 */

const QUIET_MS = 50;
/** Another request with the same file is just being stored; the server needs no longer for it. */
const BUSY_FILE_MS = 2000;

/** The queue of one zone: takes files from Dropzone, packs them into requests, deals out the verdicts. */
export class Queue {
  /**
   * @param {HTMLElement} element the zone
   * @param {import("./types.js").ZoneOptions} options
   * @param {any} Dropzone
   */
  constructor(element, options, Dropzone) {
    this.element = element;
    this.options = options;
    this.field = options.field ?? "file";
    this.tally = new Tally();
    this.counts = this.tally.counts;
    this.meter = new Meter();

    /** @type {Map<DropzoneFile, Entry>} */
    this.entries = new Map();
    /** What is in the list, by what tells one file from another before it is read. @type {Map<string, Entry>} */
    this.alike = new Map();
    /** Whether files wait until somebody calls sendAll(). */
    this.holding = options.onClick ?? false;
    /** @type {Set<Entry>} */
    this.held = new Set();
    this.parallel = Math.max(1, options.parallelRequests ?? 3);
    this.running = 0;
    this.walks = 0;
    this.inDrop = 0;
    /**
     * What an earlier page may have had stored, and a person cancelled before the server told, by uuid.
     *
     * @type {Set<string>}
     */
    this.untold = new Set();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.quiet = undefined;
    this.enqueued = 0;
    this.finished = true;
    /** @type {Map<Entry, Sender>} */
    this.requests = new Map();

    this.token = new CsrfToken({
      token: options.csrfToken ?? "",
      url: options.csrfUrl ?? "",
      header: options.csrfHeader,
      lifetime: options.csrfLifetime,
    });
    this.transport = new Transport({
      url: options.url,
      token: this.token,
      timeout: options.dropzone?.timeout ?? 0,
      headers: options.dropzone?.headers,
    });
    this.receipts = new Receipts(options.filesUrl ?? "");
    this.batches = new BatchLane(this);
    this.chunks = options.directUrl ? new DirectLane(this) : new ChunkLane(this);
    this.deletions = new Deletions(this);
    this.answers = new Answers(this);
    this.question = new Question(this);
    this.memory = new Memory(JSON.stringify([options.url, options.owner ?? ""]));
    // The browser waits for another process when this is asked for first: not in the moment of a drop.
    const deleting = this.memory.left();
    addEventListener("storage", () => this.memory.keep());
    this.begun = new Begun(options, this.transport);
    this.line = new Line({
      ask: () => this.token.renew(),
      changed: () => this.view.line(),
      freed: () => this.pump(),
    });
    this.precheck = new Precheck({
      few: MOST_PARTS,
      most: options.maxFiles ?? undefined,
      ask: (entries) => this.question.ask(entries),
      tell: (entry, state) => this.announced(entry, state),
      passed: () => {
        this.batches.packer.close();
        this.pump();
      },
    });
    /** @type {View} */
    this.view = SILENT;
    this.dropzone = createWidget(Dropzone, element, this.widgetOptions(), this);
    this.dropzone.on("drop", () => (this.walks += 1));
    this.dropzone.on("addedfiles", (/** @type {unknown} */ list) => this.dropEnded(list));
    for (const uuid of deleting) this.deletions.surely(uuid);
  }

  widgetOptions() {
    const { options } = this;
    return {
      ...options.dropzone,
      url: options.url,
      paramName: this.field,
      acceptedFiles: options.accept || null,
      maxFiles: options.maxFiles ?? null,
      maxFilesize: null,
      clickable: this.element.querySelector(".dz-message") ?? true,
    };
  }

  // What Dropzone hands over

  /** @param {DropzoneFile} file */
  listed = (file) => {
    const whole = file.fullPath || file.webkitRelativePath || "";
    /** @type {Entry} */
    const entry = {
      file,
      uuid: "",
      name: file.name,
      path: whole.slice(0, Math.max(0, whole.lastIndexOf("/"))),
      size: 0,
      state: "waiting",
      progress: 0,
      current: 0,
      lost: 0,
      left: false,
      sent: false,
      doubted: false,
      paused: false,
      sentence: "",
      code: "",
      stored: null,
    };
    this.finished = false;
    this.entries.set(file, entry);
    this.tally.add(entry);
    this.view.added(entry);
    this.view.counted();
  };

  /** @param {DropzoneFile} file */
  awaited = (file) => this.entries.has(file);

  /** @param {DropzoneFile} file */
  added = (file) => {
    const known = this.entries.get(file);
    // A script may add the same again.
    if (!known || known.uuid !== "") this.listed(file);
    const entry = /** @type {Entry} */ (this.entries.get(file));
    this.tally.measure(entry, file.size);
    this.rename(entry);
    this.begun.adopt(entry);
    this.view.changed(entry);
  };

  /**
   * @param {DropzoneFile} file
   * @returns {string | null}
   */
  check = (file) => {
    const entry = /** @type {Entry} */ (this.entries.get(file));
    const known = this.alike.get(likeness(entry));
    if (known && known !== entry && (isOpen(known) || known.state === "stored")) {
      entry.code = "added_before";
      return sentence(this.options, "added_before");
    }
    this.alike.set(likeness(entry), entry);
    return refusal(file, this.options, this.holding ? this.held.size : this.inDrop);
  };

  /**
   * @param {DropzoneFile} file
   * @param {string | null} said
   */
  decided = (file, said) => {
    const entry = this.entries.get(file);
    if (entry?.state !== "waiting" && entry?.state !== "paused") return;
    if (said !== null) {
      this.change(entry, "refused", said);
      return;
    }
    this.inDrop += 1;
    if (this.holding) {
      file.status = "queued";
      this.held.add(entry);
    } else this.enqueue(entry);
  };

  /** @param {DropzoneFile} file */
  cancel = (file) => {
    const entry = this.entries.get(file);
    if (!entry || !isOpen(entry)) return;
    if (entry.left && !entry.sent) this.untold.add(entry.uuid);
    this.held.delete(entry);
    this.precheck.remove(entry);
    this.batches.remove(entry);
    file.status = "canceled";
    this.change(entry, "cancelled");
    this.dropzone.emit("canceled", file);
    if (this.chunks.takes(entry)) this.chunks.cancel(entry);
    else this.takeOut(entry);
  };

  /**
   * Takes a file out of the request that it is on its way in. Its neighbours travel on; where the server stores it
   * with them, it is deleted when the answer comes.
   *
   * @param {Entry} entry
   */
  takeOut(entry) {
    const request = this.requests.get(entry);
    if (request) {
      // Another stands in for it: by then it may be on its way once more.
      const gone = { ...entry };
      this.requests.delete(entry);
      this.requests.set(gone, request);
      // What nobody answers any more may have arrived.
      if (request.leave(entry, gone)) for (const one of request.entries) this.deletions.clean(one);
    } else if (entry.sent) this.deletions.clean(entry);
  }

  /** @param {DropzoneFile} file */
  removed = (file) => {
    const entry = this.entries.get(file);
    if (!entry) return;
    this.cancel(file);
    this.entries.delete(file);
    if (!entry.sent) this.memory.release(entry.uuid);
    if (this.alike.get(likeness(entry)) === entry) this.alike.delete(likeness(entry));
    this.tally.remove(entry);
    this.view.removed(entry);
    this.view.counted();
  };

  /**
   * What a drop held that became no file of the queue.
   *
   * @param {string} fact a code of messages.js
   * @param {string} path
   */
  told = (fact, path) => this.view.told(fact, path);

  /** @param {unknown} list what was added by one drop or one choice */
  dropEnded(list) {
    if (!(list instanceof FileList)) this.walks = Math.max(0, this.walks - 1);
    if (this.walks === 0) this.inDrop = 0;
    this.finishSoon();
  }

  /**
   * Takes files that come from elsewhere than a drop, with their folder path where they have one.
   *
   * @param {Iterable<File>} files
   */
  addFiles(files) {
    const list = [...files];
    this.walks += 1;
    for (const file of list) this.dropzone.addFile(file);
    this.dropzone.emit("addedfiles", list);
  }

  /**
   * Goes on with what an earlier page has begun.
   *
   * @param {import("./types.js").Upload} upload
   * @param {File} file
   */
  goOn(upload, file) {
    this.begun.meant.set(file, upload);
    if (upload.path) Object.assign(file, { fullPath: `${upload.path}/${file.name}` });
    this.addFiles([file]);
  }

  // What a person may do

  /**
   * Sends a file again. One that failed keeps its id, so that nothing is stored twice, and so does one that was
   * cancelled, unless the server says that nothing comes under it any more; one that was in the list before is a new one.
   *
   * @param {Entry} entry
   */
  retry(entry) {
    const cure = cureOf(entry);
    if (cure === "") return;
    if (cure !== "retry") {
      const told = this.options.checkUrl && this.memory.knows(entry.uuid);
      if (cure === "anyway" || !(told || this.untold.has(entry.uuid))) this.rename(entry);
      entry.paused = false;
      this.alike.set(likeness(entry), entry);
    }
    entry.lost = 0;
    this.again(entry);
    if (this.line.reason === "disk_full") this.line.tryNow();
  }

  /** Lets the server take a file for another one than before. @param {Entry} entry */
  rename(entry) {
    entry.file.upload.uuid = entry.uuid = this.memory.uuidOf(likeness(entry));
    entry.left = this.memory.resumed;
    entry.sent = false;
  }

  /** Sends again all that failed for another reason than the file itself. */
  retryAll() {
    for (const entry of [...this.tally.failed]) this.retry(entry);
  }

  /** Sends all that was held back. */
  sendAll() {
    const held = [...this.held];
    this.held.clear();
    for (const entry of held) this.enqueue(entry);
    this.precheck.close();
  }

  /**
   * Lets nothing more leave until resume(). Requests that are on their way come to their end; of a file in chunks,
   * what has not arrived leaves again.
   *
   * @param {Entry} [entry] this one alone, unless it is on its way with others; else all
   */
  pause(entry) {
    if (!entry) {
      this.meter.reset();
      this.line.pause();
      this.chunks.pause();
    } else if (this.canPause(entry)) {
      entry.paused = true;
      this.chunks.pause((one) => one === entry);
      this.batches.pause(entry);
      if (entry.state === "waiting") this.change(entry, "paused");
      this.pump();
    }
  }

  /** @param {Entry} [entry] */
  resume(entry) {
    if (!entry) this.line.resume();
    else if (entry.paused) {
      entry.paused = false;
      if (entry.state === "paused") this.change(entry, "waiting");
      this.batches.resume(entry);
      this.pump();
    }
  }

  /** @param {Entry} entry */
  canPause(entry) {
    return entry.state === "waiting" || (entry.state === "sending" && this.chunks.takes(entry));
  }

  /** Cancels all that is not stored yet. */
  cancelAll() {
    for (const [file, entry] of this.entries) if (isOpen(entry)) this.cancel(file);
    if (this.line.paused) this.resume();
  }

  /** Takes out of the list all that is not under way. */
  clear() {
    const closed = [...this.entries.values()].filter((entry) => !isOpen(entry));
    this.dropzone.removeFiles(closed.map(({ file }) => file));
  }

  /**
   * Deletes on the server what the files of this list were stored as.
   *
   * @param {object} [options]
   * @param {(done: number) => void} [options.progress]
   * @param {AbortSignal} [options.signal] leaves the rest where it is
   */
  undo({ progress = () => {}, signal } = {}) {
    const stored = [...this.entries.values()].filter(({ state }) => state === "stored");
    return this.deletions.each(stored, progress, signal);
  }

  /**
   * Takes note that somebody deleted a stored file from another list of this page.
   *
   * @param {string} id of the file
   */
  deletedElsewhere(id) {
    for (const entry of this.entries.values()) if (entry.stored?.id === id) this.gone(entry);
  }

  /** @param {Entry} entry what it was stored as is no longer there */
  gone(entry) {
    const { stored: file } = entry;
    entry.stored = null;
    this.change(entry, "deleted");
    this.element.dispatchEvent(new CustomEvent("batchuploader:deleted", { bubbles: true, detail: { file } }));
  }

  // Counting

  /**
   * @param {Entry} entry
   * @param {import("./types.js").State} state
   * @param {string} [said]
   */
  change(entry, state, said = "") {
    this.tally.change(entry, () => {
      entry.state = state;
      entry.sentence = said;
    });
    this.view.changed(entry);
    this.view.counted();
    this.finishSoon();
  }

  /**
   * @param {Entry} entry
   * @param {number} fraction
   */
  advance(entry, fraction) {
    if (!isOpen(entry)) return;
    entry.current = fraction;
    if (fraction > entry.progress) this.tally.change(entry, () => (entry.progress = fraction));
    this.view.progressed(entry);
    const { file } = entry;
    file.upload.progress = entry.progress * 100;
    file.upload.bytesSent = Math.round(entry.progress * entry.size);
    this.dropzone.emit("uploadprogress", file, file.upload.progress, file.upload.bytesSent);
  }

  /** More bytes have left: tells how far all of it is. */
  progressed() {
    const { total, sent } = this.tally.bytes;
    this.dropzone.emit("totaluploadprogress", total > 0 ? (100 * sent) / total : 0, total, sent);
    this.view.counted();
  }

  finishSoon() {
    if (this.counts.open > 0 || this.finished) return;
    setTimeout(() => {
      // A request that holds only cancelled files has yet to tell which of them are to be deleted.
      const working = this.counts.open + this.walks + this.requests.size + this.deletions.underWay.size > 0;
      if (working || this.finished) return;
      this.finished = true;
      // Wanted after all, it has to be asked for under the same uuid.
      if (this.counts.failed + this.untold.size === 0) this.memory.forget();
      this.meter.reset();
      // For what comes later somebody may have made room.
      if (this.line.reason === "disk_full") this.line.tryNow();
      this.dropzone.emit("totaluploadprogress", 100, this.tally.bytes.total, this.tally.bytes.sent);
      this.dropzone.emit("queuecomplete");
      this.view.done();
      this.element.dispatchEvent(
        new CustomEvent("batchuploader:done", { bubbles: true, detail: { ...this.counts } }),
      );
    }, 0);
  }

  // On the way out

  /** @param {Entry} entry */
  enqueue(entry) {
    entry.file.status = "queued";
    this.enqueued += 1;
    this.precheck.add(entry);
    this.whenQuiet();
  }

  /** @param {Entry} entry */
  again(entry) {
    this.finished = false;
    entry.code = "";
    entry.current = 0;
    entry.file.previewElement?.classList.remove("dz-error", "dz-complete", "dz-processing");
    this.waits(entry);
    this.enqueue(entry);
  }

  /** @param {Entry} entry */
  waits(entry) {
    entry.file.status = "queued";
    this.change(entry, entry.paused ? "paused" : "waiting");
  }

  /** Lets what waits go on once nothing was added for a while. */
  whenQuiet() {
    if (this.quiet !== undefined) return;
    const before = this.enqueued;
    this.quiet = setTimeout(() => {
      this.quiet = undefined;
      if (this.enqueued !== before) return this.whenQuiet();
      this.precheck.close();
    }, QUIET_MS);
  }

  /**
   * @param {Entry} entry
   * @param {import("./precheck.js").State | undefined} state
   */
  announced(entry, state) {
    this.untold.delete(entry.uuid);
    const deletion = this.deletions.underWay.get(entry.uuid);
    // The answer is from before it was cancelled and wanted again: what was deleted after it was sent would be lost.
    if (deletion) deletion.then(() => ["waiting", "paused"].includes(entry.state) && this.again(entry));
    else if (state?.state === "stored") this.settle(entry, { state: "stored", file: state.file });
    // For now only, and others may be given up before its turn comes.
    else if (state?.status === 429) this.announced(entry, undefined);
    else if (state?.state === "refused") this.refusedBefore(entry, state);
    else if (state?.state === "receiving" && isWhole(state, entry)) this.againLater(entry);
    else if (this.chunks.takes(entry)) this.chunks.put(entry, state);
    else this.batches.put(entry);
  }

  /**
   * The server knows the file, and will not have it. What befell it on its way then need not befall it again.
   *
   * @param {Entry} entry
   * @param {import("./precheck.js").State} state
   */
  refusedBefore(entry, { error = "", status = 0, code = "" }) {
    if (code === "upload_cancelled") {
      this.rename(entry);
      this.again(entry);
      return;
    }
    const part = { key: "", uuid: entry.uuid, name: entry.name };
    const [verdict] = verdicts(textAnswer(status, code, error), [part], this.options);
    if (verdict.state === "failed" && this.chunks.takes(entry)) this.chunks.beginAnew(entry);
    else this.settle(entry, { state: "refused", sentence: error });
  }

  /**
   * The server is just storing it, from a request whose answer was lost.
   *
   * @param {Entry} entry
   */
  againLater(entry) {
    this.waits(entry);
    setTimeout(() => ["waiting", "paused"].includes(entry.state) && this.again(entry), BUSY_FILE_MS);
  }

  /** Sends what is ready, as many requests at once as are allowed. */
  pump = () => {
    while (this.running < this.parallel && this.line.open) {
      const send = this.next();
      if (send === null) return;
      this.running += 1;
      send().finally(() => {
        this.running -= 1;
        this.view.line();
        this.finishSoon();
        this.pump();
      });
    }
  };

  /**
   * Requests with many files and chunks of large ones leave by turns, so that neither waits for the end of the others.
   *
   * @returns {(() => Promise<void>) | null}
   */
  next() {
    const { batches, chunks } = this;
    return chunks.running * 2 < this.running ? (chunks.take() ?? batches.take()) : (batches.take() ?? chunks.take());
  }

  /** @param {Entry} entry */
  leaves(entry) {
    entry.left = entry.sent = true;
    entry.file.status = "uploading";
    this.change(entry, "sending");
    this.dropzone.emit("processing", entry.file);
  }

  /**
   * Adds to what is said of files what the host has to say, and then the files: the server reads a part while it arrives.
   *
   * @param {XMLHttpRequest} xhr
   * @param {FormData} body
   * @param {{entry: Entry, key: string, content: Blob}[]} parts
   */
  complete(xhr, body, parts) {
    for (const { entry } of parts) {
      entry.file.xhr = xhr;
      this.dropzone.emit("sending", entry.file, xhr, body);
    }
    this.dropzone._addFormElementData(body);
    for (const { entry, key, content } of parts) body.append(key, content, entry.file.upload.filename);
    return body;
  }

  // Verdicts

  /**
   * @param {Entry} entry
   * @param {Verdict} verdict
   */
  settle(entry, verdict) {
    const { dropzone } = this;
    const { file } = entry;
    this.chunks.drop(entry);
    if (verdict.state === "stored") {
      file.status = "success";
      this.change(entry, "stored");
      if (verdict.file) this.known(entry, verdict.file);
      else this.receipts.find(entry.uuid).then((found) => found && this.known(entry, found));
      dropzone.emit("success", file, { success: true, files: verdict.file ? [verdict.file] : [] });
    } else {
      file.status = "error";
      this.change(entry, verdict.state, verdict.sentence);
      dropzone.emit("error", file, verdict.sentence, file.xhr);
    }
    dropzone.emit("complete", file);
  }

  /**
   * @param {Entry} entry
   * @param {import("./types.js").StoredFile} stored
   */
  known(entry, stored) {
    if (entry.state !== "stored") return;
    entry.stored = stored;
    this.view.changed(entry);
    this.element.dispatchEvent(
      new CustomEvent("batchuploader:stored", { bubbles: true, detail: { file: stored } }),
    );
  }
}

/** @type {View} */
const SILENT = {
  added() {},
  changed() {},
  progressed() {},
  removed() {},
  counted() {},
  line() {},
  told() {},
  done() {},
};

/**
 * What a person can do about a file that is not stored: send the same again, send it although it is in the list,
 * send it as a new one; "" where nothing helps.
 *
 * @param {Entry} entry
 * @returns {"" | "retry" | "anyway" | "again"}
 */
export function cureOf({ state, code }) {
  if (state === "failed") return "retry";
  if (state === "cancelled") return "again";
  return state === "refused" && code === "added_before" ? "anyway" : "";
}

/** @param {Entry} entry */
function likeness({ file, path, name, size }) {
  return JSON.stringify([path, name, size, file.lastModified]);
}

/**
 * @param {import("./precheck.js").State} state
 * @param {Entry} entry
 */
function isWhole({ ranges = [] }, { size }) {
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0) >= size;
}

/**
 * An answer that came with another one.
 *
 * @param {number} status
 * @param {string} code
 * @param {string} text
 * @returns {Answer}
 */
function textAnswer(status, code, text) {
  const said = { kind: /** @type {const} */ ("answer"), status, code, text, type: "text/plain" };
  return { ...said, codes: "", retryAfter: "", perPart: false, redirected: false };
}
