import { CsrfToken } from "./csrf.js";
import { sentence } from "./messages.js";
import { Packer } from "./packer.js";
import { Receipts } from "./receipts.js";
import { refusal } from "./rules.js";
import { Transport } from "./transport.js";
import { verdicts } from "./verdicts.js";
import { createWidget } from "./widget.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").DropzoneFile} DropzoneFile
 * @typedef {import("./types.js").Verdict} Verdict
 *
 * @typedef {{entries: Entry[], controller: AbortController, current: number}} Request
 *
 * @typedef {object} View what draws; it is told of every change and asks nothing
 * @property {(entry: Entry) => void} added
 * @property {(entry: Entry) => void} changed state, sentence or stored file
 * @property {(entry: Entry) => void} progressed
 * @property {(entry: Entry) => void} removed
 * @property {() => void} counted the counters changed
 * @property {() => void} done nothing is open any more
 */

/** @typedef {"stored" | "refused" | "failed" | "cancelled"} Closed */

const OPEN = new Set(["waiting", "sending", "checking"]);
const QUIET_MS = 50;
const MOST_PARTS = 50;
const MOST_BYTES = 16_000_000;
/** What a body may hold beside its files. */
const OVERHEAD = 1_000_000;
/** A file weighs in the total progress at least this much: empty files are work, too. */
const LEAST_WEIGHT = 20_000;

/** The queue of one zone: takes files from Dropzone, packs them into requests, deals out the verdicts. */
export class BatchUploader {
  /**
   * @param {HTMLElement} element the zone
   * @param {import("./types.js").ZoneOptions} options
   * @param {any} Dropzone
   * @param {(uploader: BatchUploader) => View} createView
   */
  constructor(element, options, Dropzone, createView) {
    this.element = element;
    this.options = options;
    /** @type {import("./types.js").Counts} */
    this.counts = { files: 0, stored: 0, refused: 0, failed: 0, cancelled: 0, open: 0 };
    /** Bytes, each file with at least a little: what the bar is drawn from. */
    this.weights = { total: 0, stored: 0, lost: 0, sent: 0 };
    /** Bytes of the files that are or may yet be stored. */
    this.bytes = { total: 0, sent: 0 };

    /** @type {WeakMap<File, Entry>} */
    this.entries = new WeakMap();
    this.packer = /** @type {Packer<Entry>} */ (new Packer(limitsOfRequest(options)));
    /** Whether files wait until somebody calls sendAll(). */
    this.holding = options.onClick ?? false;
    /** @type {Set<Entry>} */
    this.held = new Set();
    /** @type {Set<Entry>} */
    this.failed = new Set();
    this.parallel = Math.max(1, options.parallelRequests ?? 3);
    this.running = 0;
    this.walks = 0;
    this.inDrop = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.quiet = undefined;
    this.enqueued = 0;
    this.finished = true;
    /** @type {Map<Entry, Request>} */
    this.requests = new Map();

    this.token = new CsrfToken({
      token: options.csrfToken ?? "",
      url: options.csrfUrl,
      header: options.csrfHeader,
      lifetime: options.csrfLifetime,
    });
    this.transport = new Transport({
      url: options.url,
      token: this.token,
      timeout: options.dropzone?.timeout ?? 0,
      headers: options.dropzone?.headers,
    });
    this.receipts = new Receipts(options.filesUrl);
    this.view = createView(this);
    this.dropzone = createWidget(Dropzone, element, this.widgetOptions(), this);
    this.dropzone.on("drop", () => (this.walks += 1));
    this.dropzone.on("addedfiles", (/** @type {unknown} */ list) => this.dropEnded(list));
  }

  widgetOptions() {
    const { options } = this;
    return {
      ...options.dropzone,
      url: options.url,
      paramName: options.field,
      acceptedFiles: options.accept || null,
      maxFiles: options.maxFiles ?? null,
      maxFilesize: null,
      clickable: this.element.querySelector(".dz-message") ?? true,
    };
  }

  // What Dropzone hands over

  /** @param {DropzoneFile} file */
  added = (file) => {
    const whole = file.fullPath || file.webkitRelativePath || "";
    /** @type {Entry} */
    const entry = {
      file,
      uuid: file.upload.uuid,
      name: file.name,
      path: whole.slice(0, Math.max(0, whole.lastIndexOf("/"))),
      size: file.size,
      state: "waiting",
      progress: 0,
      sentence: "",
      stored: null,
    };
    this.finished = false;
    this.entries.set(file, entry);
    this.counts.files += 1;
    this.count(entry, 1);
    this.view.added(entry);
    this.view.counted();
  };

  /** @param {DropzoneFile} file */
  check = (file) => refusal(file, this.options, this.holding ? this.held.size : this.inDrop);

  /**
   * @param {DropzoneFile} file
   * @param {string | null} sentence
   */
  decided = (file, sentence) => {
    const entry = this.entries.get(file);
    if (entry?.state !== "waiting") return;
    if (sentence !== null) {
      this.change(entry, "refused", sentence);
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
    if (!entry || !OPEN.has(entry.state)) return;
    this.held.delete(entry);
    this.packer.remove(entry);
    const request = this.requests.get(entry);
    if (request) {
      for (const other of request.entries) this.requests.delete(other);
      request.controller.abort();
      // The others of the same request go again under the same ids; the server knows those it has.
      for (const other of request.entries) if (other !== entry) this.again(other);
    }
    file.status = "canceled";
    this.change(entry, "cancelled");
    this.dropzone.emit("canceled", file);
  };

  /** @param {DropzoneFile} file */
  removed = (file) => {
    const entry = this.entries.get(file);
    if (!entry) return;
    this.cancel(file);
    this.entries.delete(file);
    this.count(entry, -1);
    this.counts.files -= 1;
    this.view.removed(entry);
    this.view.counted();
  };

  /** @param {unknown} list what was added by one drop or one choice */
  dropEnded(list) {
    if (!(list instanceof FileList)) this.walks = Math.max(0, this.walks - 1);
    if (this.walks === 0) this.inDrop = 0;
    this.finishSoon();
  }

  /**
   * Takes files that come from a picker of ours, with their folder path where they have one.
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
   * Sends a failed file again, as the same file: its id stays, so that nothing is stored twice.
   *
   * @param {Entry} entry
   */
  retry(entry) {
    if (entry.state === "failed") this.again(entry);
  }

  /** Sends all that was held back. */
  sendAll() {
    const held = [...this.held];
    this.held.clear();
    for (const entry of held) this.enqueue(entry);
    this.packer.close();
    this.pump();
  }

  /** Sends again all that failed for another reason than the file itself. */
  retryAll() {
    for (const entry of [...this.failed]) this.retry(entry);
  }

  // Counting: always by differences, never by walking the list

  /**
   * @param {Entry} entry
   * @param {1 | -1} sign
   */
  count(entry, sign) {
    if (entry.state === "failed") this.failed[sign > 0 ? "add" : "delete"](entry);
    this.counts[OPEN.has(entry.state) ? "open" : /** @type {Closed} */ (entry.state)] += sign;
    const { weights, bytes } = this;
    weights.total += sign * weight(entry);
    if (entry.state === "stored") {
      weights.stored += sign * weight(entry);
      bytes.sent += sign * entry.size;
    } else if (OPEN.has(entry.state)) {
      weights.sent += sign * weight(entry) * entry.progress;
      bytes.sent += sign * entry.size * entry.progress;
    } else {
      weights.lost += sign * weight(entry);
      return;
    }
    bytes.total += sign * entry.size;
  }

  /**
   * @param {Entry} entry
   * @param {import("./types.js").State} state
   * @param {string} [sentence]
   */
  change(entry, state, sentence = "") {
    this.count(entry, -1);
    entry.state = state;
    entry.sentence = sentence;
    if (state === "waiting") entry.progress = 0;
    this.count(entry, 1);
    this.view.changed(entry);
    this.view.counted();
    this.finishSoon();
  }

  /**
   * @param {Entry} entry
   * @param {number} progress
   */
  advance(entry, progress) {
    if (progress <= entry.progress) return;
    this.count(entry, -1);
    entry.progress = progress;
    this.count(entry, 1);
    this.view.progressed(entry);
    const { file } = entry;
    file.upload.progress = progress * 100;
    file.upload.bytesSent = Math.round(progress * entry.size);
    this.dropzone.emit("uploadprogress", file, file.upload.progress, file.upload.bytesSent);
  }

  finishSoon() {
    if (this.counts.open > 0 || this.finished) return;
    setTimeout(() => {
      if (this.counts.open > 0 || this.walks > 0 || this.finished) return;
      this.finished = true;
      this.dropzone.emit("totaluploadprogress", 100, this.bytes.total, this.bytes.sent);
      this.dropzone.emit("queuecomplete");
      this.view.done();
      this.element.dispatchEvent(
        new CustomEvent("batchuploader:done", { bubbles: true, detail: { ...this.counts } }),
      );
    }, 0);
  }

  // Sending

  /** @param {Entry} entry */
  enqueue(entry) {
    entry.file.status = "queued";
    this.enqueued += 1;
    this.packer.add(entry);
    this.pump();
    this.whenQuiet();
  }

  /** @param {Entry} entry */
  again(entry) {
    this.finished = false;
    entry.file.previewElement?.classList.remove("dz-error", "dz-complete", "dz-processing");
    this.change(entry, "waiting");
    this.enqueue(entry);
  }

  /** Lets the request that is being filled go once nothing was added for a while. */
  whenQuiet() {
    if (this.quiet !== undefined) return;
    const before = this.enqueued;
    this.quiet = setTimeout(() => {
      this.quiet = undefined;
      if (this.enqueued !== before) return this.whenQuiet();
      this.packer.close();
      this.pump();
    }, QUIET_MS);
  }

  /** Sends what is ready, as many requests at once as are allowed. */
  pump = () => {
    while (this.running < this.parallel) {
      const batch = this.packer.take();
      if (batch === null) return;
      this.running += 1;
      this.send(batch).finally(() => {
        this.running -= 1;
        this.pump();
      });
    }
  };

  /** @param {Entry[]} entries */
  async send(entries) {
    /** @type {Request} */
    const request = { entries, controller: new AbortController(), current: 0 };
    const keys = entries.map((_, index) => `${this.options.field}[${index}]`);
    for (const entry of entries) {
      this.requests.set(entry, request);
      entry.file.status = "uploading";
      this.change(entry, "sending");
      this.dropzone.emit("processing", entry.file);
    }

    const answer = await this.transport.post((xhr) => this.body(xhr, entries, keys), {
      signal: request.controller.signal,
      progress: (loaded, total) => this.progress(request, loaded / total),
      sent: () => this.sent(request),
    });
    if (request.controller.signal.aborted) return;
    for (const entry of entries) this.requests.delete(entry);

    if (answer.status === 413 && !answer.perPart && entries.length > 1) {
      for (const entry of entries) {
        this.change(entry, "waiting");
        this.packer.alone(entry);
      }
      return;
    }
    if (answer.kind === "network" && (await this.dropUnreadable(entries))) return;
    const parts = entries.map(({ uuid, name }, index) => ({ key: keys[index], uuid, name }));
    verdicts(answer, parts, this.options).forEach((verdict, index) =>
      this.settle(entries[index], verdict),
    );
  }

  /**
   * A file that was changed or removed since it was chosen breaks the request just as a lost connection does.
   *
   * @param {Entry[]} entries of a request that broke
   * @returns {Promise<boolean>} whether that was the reason; then the others go again
   */
  async dropUnreadable(entries) {
    const read = await Promise.allSettled(entries.map(({ file }) => file.slice(0, 1).arrayBuffer()));
    if (read.every(({ status }) => status === "fulfilled")) return false;
    const gone = sentence(this.options, "unreadable");
    read.forEach(({ status }, index) => {
      const entry = entries[index];
      if (status === "rejected") this.settle(entry, { state: "refused", sentence: gone });
      else if (OPEN.has(entry.state)) this.again(entry);
    });
    return true;
  }

  /**
   * @param {XMLHttpRequest} xhr
   * @param {Entry[]} entries
   * @param {string[]} keys
   */
  body(xhr, entries, keys) {
    const body = new FormData();
    entries.forEach((entry, index) => {
      body.append(`uuid[${index}]`, entry.uuid);
      body.append(`size[${index}]`, String(entry.size));
      if (entry.path) body.append(`path[${index}]`, entry.path);
      entry.file.xhr = xhr;
      this.dropzone.emit("sending", entry.file, xhr, body);
    });
    this.dropzone._addFormElementData(body);
    // The server reads a part while it arrives, so what is said about it has to come first.
    entries.forEach((entry, index) => body.append(keys[index], entry.file, entry.file.upload.filename));
    return body;
  }

  /**
   * Deals what has left out to the files, which lie in the body one behind the other.
   *
   * @param {Request} request
   * @param {number} fraction
   */
  progress(request, fraction) {
    const { entries } = request;
    let left = fraction * entries.reduce((sum, entry) => sum + weight(entry), 0);
    for (const entry of entries.slice(0, request.current)) left -= weight(entry);
    while (request.current < entries.length) {
      const entry = entries[request.current];
      this.advance(entry, Math.min(1, Math.max(0, left / weight(entry))));
      if (left < weight(entry)) break;
      left -= weight(entry);
      request.current += 1;
    }
    this.view.counted();
  }

  /** @param {Request} request */
  sent(request) {
    if (request.controller.signal.aborted) return;
    for (const entry of request.entries) {
      this.advance(entry, 1);
      this.change(entry, "checking");
    }
  }

  /**
   * @param {Entry} entry
   * @param {Verdict} verdict
   */
  settle(entry, verdict) {
    // A person may have cancelled it while the answer was read.
    if (!OPEN.has(entry.state)) return;
    const { dropzone } = this;
    const { file } = entry;
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
    entry.stored = stored;
    this.view.changed(entry);
    this.element.dispatchEvent(
      new CustomEvent("batchuploader:stored", { bubbles: true, detail: { file: stored } }),
    );
  }
}

/**
 * How files are laid into requests: as the host wants them, else as it is quick.
 *
 * @param {import("./types.js").ZoneOptions} options
 */
function limitsOfRequest({ partsPerRequest, maxParts, maxFiles, maxTotalSize, maxContentLength }) {
  const allowed = Math.min(maxParts ?? Infinity, maxFiles ?? Infinity);
  const [total, body] = [maxTotalSize ?? Infinity, maxContentLength ?? Infinity];
  if (partsPerRequest != null) {
    const maxBytes = Math.min(total, Math.max(body / 2, body - OVERHEAD));
    return { maxParts: Math.min(partsPerRequest, allowed), maxBytes, big: maxBytes };
  }
  return { maxParts: Math.min(MOST_PARTS, allowed), maxBytes: Math.min(MOST_BYTES, total, body / 2) };
}

/**
 * What a file counts in the bar: its bytes, but one that is not stored only what every file counts, because
 * nothing has to be sent for it any more.
 *
 * @param {Entry} entry
 */
function weight({ state, size }) {
  return OPEN.has(state) || state === "stored" ? Math.max(size, LEAST_WEIGHT) : LEAST_WEIGHT;
}
