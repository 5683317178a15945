import { Begun } from "./begun.js";
import { ChunkLane } from "./chunklane.js";
import { CsrfToken } from "./csrf.js";
import { sha256 } from "./digests.js";
import { Line } from "./line.js";
import { sentence } from "./messages.js";
import { Memory } from "./memory.js";
import { Meter } from "./meter.js";
import { Packer } from "./packer.js";
import { retryAfter } from "./patience.js";
import { Precheck } from "./precheck.js";
import { Receipts } from "./receipts.js";
import { PackedRequest } from "./request.js";
import { refusal } from "./rules.js";
import { isOpen, Tally } from "./tally.js";
import { Transport } from "./transport.js";
import { courseOf, verdicts } from "./verdicts.js";
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
const MOST_PARTS = 50;
const MOST_BYTES = 16_000_000;
/** What a body may hold beside its files. */
const OVERHEAD = 1_000_000;
/** Requests with a file may be lost so often while the server is there; the last one holds nothing else. */
const MOST_LOST = 3;
/** Another request with the same file is just being stored; the server needs no longer for it. */
const BUSY_FILE_MS = 2000;
const DELETES_AT_ONCE = 4;

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
    /** Deletions under way that belong to what people were told. */
    this.cleaning = 0;
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
    this.chunks = new ChunkLane(this);
    this.memory = new Memory(JSON.stringify([options.url, options.owner ?? ""]));
    addEventListener("storage", () => this.memory.keep());
    this.begun = new Begun(options, this.transport);
    this.line = new Line({
      ask: () => this.token.renew(),
      changed: () => this.view.line(),
      freed: () => this.pump(),
    });
    this.packer = /** @type {Packer<Entry>} */ (new Packer(limitsOfRequest(options)));
    this.precheck = new Precheck({
      few: MOST_PARTS,
      most: options.maxFiles ?? undefined,
      ask: (entries) => this.ask(entries),
      tell: (entry, state) => this.announced(entry, state),
      passed: () => {
        this.packer.close();
        this.pump();
      },
    });
    /** @type {View} */
    this.view = SILENT;
    this.dropzone = createWidget(Dropzone, element, this.widgetOptions(), this);
    this.dropzone.on("drop", () => (this.walks += 1));
    this.dropzone.on("addedfiles", (/** @type {unknown} */ list) => this.dropEnded(list));
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
    file.upload.uuid = entry.uuid = this.memory.uuidOf(likeness(entry), file.upload.uuid);
    entry.left = this.memory.resumed;
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
    if (entry?.state !== "waiting") return;
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
    this.held.delete(entry);
    this.precheck.remove(entry);
    this.packer.remove(entry);
    file.status = "canceled";
    this.change(entry, "cancelled");
    this.dropzone.emit("canceled", file);
    // Its neighbours travel on; where the server stores it with them, it is deleted when the answer comes.
    if (this.chunks.takes(entry)) this.chunks.cancel(entry);
    else if (this.requests.get(entry)?.leave()) this.clean(entry);
  };

  /** @param {DropzoneFile} file */
  removed = (file) => {
    const entry = this.entries.get(file);
    if (!entry) return;
    this.cancel(file);
    this.entries.delete(file);
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
   * Sends a file again. One that failed keeps its id, so that nothing is stored twice; one that was cancelled,
   * or was in the list before, is a new one.
   *
   * @param {Entry} entry
   */
  retry(entry) {
    const cure = cureOf(entry);
    if (cure === "") return;
    if (cure !== "retry") {
      entry.file.upload.uuid = entry.uuid = crypto.randomUUID?.() ?? this.dropzone.constructor.uuidv4();
      entry.left = entry.paused = false;
      this.alike.set(likeness(entry), entry);
    }
    entry.lost = 0;
    this.again(entry);
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
   * @param {Entry} [entry] this one alone, which can be a file in chunks only; else all
   */
  pause(entry) {
    if (!entry) {
      this.meter.reset();
      this.line.pause();
      this.chunks.pause();
    } else if (this.canPause(entry)) {
      entry.paused = true;
      this.chunks.pause((one) => one === entry);
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
      this.pump();
    }
  }

  /** @param {Entry} entry */
  canPause(entry) {
    return ["waiting", "sending"].includes(entry.state) && this.chunks.takes(entry);
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
   * Deletes on the server what the files of this list were stored as, a few at a time.
   *
   * @param {object} [options]
   * @param {(done: number) => void} [options.progress]
   * @param {AbortSignal} [options.signal] leaves the rest where it is
   * @returns {Promise<{deleted: number, kept: number, sentence: string}>} `sentence` says why some were kept
   */
  async undo({ progress = () => {}, signal } = {}) {
    const stored = [...this.entries.values()].filter(({ state }) => state === "stored");
    const told = { deleted: 0, kept: 0, sentence: "" };
    const work = async () => {
      for (let entry = stored.pop(); entry && !signal?.aborted; entry = stored.pop()) {
        const problem = await this.delete(entry);
        if (problem === "") {
          told.deleted += 1;
          this.change(entry, "deleted");
          this.element.dispatchEvent(
            new CustomEvent("batchuploader:deleted", { bubbles: true, detail: { file: entry.stored } }),
          );
          entry.stored = null;
          this.view.changed(entry);
        } else {
          told.kept += 1;
          told.sentence = problem;
        }
        progress(told.deleted + told.kept);
      }
    };
    await Promise.all(Array.from({ length: DELETES_AT_ONCE }, work));
    return told;
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

  finishSoon() {
    if (this.counts.open > 0 || this.finished) return;
    setTimeout(() => {
      // A request that holds only cancelled files has yet to tell which of them are to be deleted.
      const working = this.counts.open + this.walks + this.requests.size + this.cleaning > 0;
      if (working || this.finished) return;
      this.finished = true;
      if (this.counts.failed === 0) this.memory.forget();
      this.meter.reset();
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

  /**
   * Puts files back that nobody has read, as they are.
   *
   * @param {Entry[]} entries
   */
  putBack(entries) {
    for (const entry of entries) {
      entry.current = 0;
      this.waits(entry);
      this.packer.add(entry);
    }
    this.packer.close();
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
   * Asks what would become of files. Where there is no answer they are sent, and the upload itself tells.
   *
   * @param {Entry[]} entries
   * @returns {Promise<Record<string, import("./precheck.js").State>>}
   */
  async ask(entries) {
    const { checkUrl, digests } = this.options;
    await this.line.whenOpen();
    if (!checkUrl) return this.askEach(entries);
    /** @type {Record<string, string>} */
    const sums = digests ? await digestsOf(entries) : {};
    const files = entries.map(({ uuid, file, size, path }) => ({
      uuid,
      filename: file.upload.filename,
      size,
      path: path || undefined,
      sha256: sums[uuid],
    }));
    const answer = await this.transport.request({
      method: "POST",
      url: checkUrl,
      type: "application/json",
      build: () => JSON.stringify({ files }),
      timeout: 10_000,
    });
    // Without this view of ours nobody need be asked again.
    if (answer.status === 404 || answer.status === 405) this.options.checkUrl = undefined;
    try {
      return (answer.status === 200 && JSON.parse(answer.text).uploads) || {};
    } catch {
      return {};
    }
  }

  /**
   * A view of the host's own tells nothing before it is sent a file; of one that was begun in chunks, ours does.
   *
   * @param {Entry[]} entries
   */
  async askEach(entries) {
    /** @type {Record<string, import("./precheck.js").State>} */
    const states = {};
    for (const { uuid } of entries.filter((entry) => entry.left && this.chunks.takes(entry))) {
      const state = await this.begun.stateOf(uuid);
      if (state) states[uuid] = state;
    }
    return states;
  }

  /**
   * @param {Entry} entry
   * @param {import("./precheck.js").State | undefined} state
   */
  announced(entry, state) {
    if (state?.state === "stored") this.settle(entry, { state: "stored", file: state.file });
    else if (state?.state === "refused") this.refusedBefore(entry, state);
    else if (state?.state === "receiving" && isWhole(state, entry)) this.againLater(entry);
    else if (this.chunks.takes(entry)) this.chunks.put(entry, state);
    else {
      // What broke a request twice is not given others to take along.
      if (entry.lost >= MOST_LOST - 1) this.packer.alone(entry);
      else this.packer.add(entry);
      this.pump();
    }
  }

  /**
   * The server knows the file, and will not have it. What befell it on its way then need not befall it again.
   *
   * @param {Entry} entry
   * @param {import("./precheck.js").State} state
   */
  refusedBefore(entry, { error = "", status = 0, code = "" }) {
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
    const chunk = () => this.chunks.take();
    const batch = () => {
      const entries = this.packer.take();
      return entries && (() => this.send(entries));
    };
    return this.chunks.running * 2 < this.running ? (chunk() ?? batch()) : (batch() ?? chunk());
  }

  /**
   * The way some files are sent: all in one request. A file that is sent otherwise needs a Sender of its own.
   *
   * @param {Entry[]} entries
   */
  senderOf(entries) {
    return new PackedRequest(entries, this.transport, (xhr) => this.body(xhr, entries), {
      advanced: (entry, fraction) => this.advance(entry, fraction),
      progressed: () => this.view.counted(),
      moved: (bytes) => this.meter.add(bytes),
      sent: () => {
        for (const entry of entries) {
          this.advance(entry, 1);
          if (isOpen(entry)) this.change(entry, "checking");
        }
      },
    });
  }

  /** @param {Entry[]} entries */
  async send(entries) {
    const request = this.senderOf(entries);
    for (const entry of entries) {
      this.requests.set(entry, request);
      this.leaves(entry);
    }
    const answer = await request.send();
    for (const entry of entries) this.requests.delete(entry);
    if (answer.kind !== "aborted") await this.answered(entries, answer);
  }

  /** @param {Entry} entry */
  leaves(entry) {
    entry.left = true;
    entry.file.status = "uploading";
    this.change(entry, "sending");
    this.dropzone.emit("processing", entry.file);
  }

  /**
   * @param {Entry[]} entries of one request
   * @param {Answer} answer
   */
  async answered(entries, answer) {
    const open = entries.filter(isOpen);
    const course = courseOf(answer, entries.length);
    if (course === "lost" || course === "session") return this.lost(entries, answer, course);
    this.line.went();
    if (course === "halve") {
      this.packer.halve(entries, ["too_many_parts", "too_many_fields"].includes(answer.code) || isSmall(entries));
      this.putBack(open);
      return;
    }
    if (entries.length === 1 && isOpen(entries[0]) && this.chunks.takesOver(entries[0], answer)) return;
    if (course === "busy") this.line.busy(retryAfter(answer.retryAfter));
    if (course === "full") this.line.full();
    this.deal(entries, answer, course === "busy");
  }

  /**
   * Nobody knows what became of a request, or somebody else has answered it.
   *
   * @param {Entry[]} entries
   * @param {Answer} answer
   * @param {"lost" | "session"} course
   */
  async lost(entries, answer, course) {
    const readable = answer.kind === "network" ? await this.dropUnreadable(entries) : entries;
    const open = readable.filter(isOpen);
    // A broken file breaks its request; the others go again at once.
    const pause = readable.length === entries.length && course === "lost";
    const reached = pause || course === "session" ? await this.line.lost(pause) : "ok";
    // Only requests that were lost for themselves count: a server that is away takes all with it.
    if (reached === "ok" && (pause || course === "session")) {
      for (const entry of open) entry.lost += 1;
    }
    const given = open.filter(({ lost }) => lost >= MOST_LOST);
    const foreign = course === "session" && reached === "ok" && answer.status >= 200 && !answer.redirected && answer.status < 300;
    const failed = foreign ? open : given;
    for (const entry of open) if (!failed.includes(entry)) this.again(entry);
    if (failed.length > 0) this.deal(failed, answer, false);
  }

  /**
   * Gives each file its verdict.
   *
   * @param {Entry[]} entries
   * @param {Answer} answer
   * @param {boolean} busy those that the server had no time for go again
   */
  deal(entries, answer, busy) {
    const parts = entries.map(({ uuid, name }, index) => ({ key: this.keyOf(index), uuid, name }));
    /** @type {Entry[]} */
    const back = [];
    verdicts(answer, parts, this.options).forEach((verdict, index) => {
      const entry = entries[index];
      // A person may have cancelled it on the way.
      if (!isOpen(entry)) {
        if (verdict.state === "stored") this.clean(entry);
      } else if (busy && verdict.state === "failed") back.push(entry);
      else if (verdict.busy && (entry.lost += 1) < MOST_LOST) this.againLater(entry);
      else if (verdict.altered) this.chunks.startsOver(entry) || this.judgeAltered(entry, verdict);
      else this.settle(entry, verdict);
    });
    this.putBack(back);
  }

  /**
   * A file that was changed or removed since it was chosen breaks the request just as a lost connection does.
   *
   * @param {Entry[]} entries of a request that broke
   * @returns {Promise<Entry[]>} those that can be read
   */
  async dropUnreadable(entries) {
    const read = await Promise.allSettled(entries.map(({ file }) => file.slice(0, 1).arrayBuffer()));
    return entries.filter((entry, index) => {
      const result = read[index];
      if (result.status === "fulfilled") return true;
      const code = result.reason?.name === "NotFoundError" ? "vanished" : "unreadable";
      if (isOpen(entry)) this.settle(entry, { state: "refused", sentence: sentence(this.options, code) });
      return false;
    });
  }

  /**
   * Either somebody on the way has altered a file, and it may pass another time, or it is another on the disk by now:
   * a browser may send what it finds there, whatever it has said of it before.
   *
   * @param {Entry} entry
   * @param {Verdict} verdict
   */
  async judgeAltered(entry, verdict) {
    const changed = (await lengthOf(entry.file)) !== entry.size;
    if (!isOpen(entry)) return;
    const said = sentence(this.options, "unreadable");
    this.settle(entry, changed ? { state: "refused", sentence: said } : verdict);
  }

  /** @param {number} index */
  keyOf(index) {
    return `${this.field}[${index}]`;
  }

  /**
   * @param {XMLHttpRequest} xhr
   * @param {Entry[]} entries
   */
  body(xhr, entries) {
    const body = new FormData();
    entries.forEach((entry, index) => {
      body.append(`uuid[${index}]`, entry.uuid);
      body.append(`size[${index}]`, String(entry.size));
      if (entry.path) body.append(`path[${index}]`, entry.path);
    });
    return this.complete(xhr, body, entries.map((entry, index) => ({ entry, key: this.keyOf(index), content: entry.file })));
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

  /**
   * Deletes what was stored of a file although somebody had cancelled it.
   *
   * @param {Entry} entry
   */
  async clean(entry) {
    const { uuid } = entry;
    const problem = await this.forget(uuid);
    if (problem !== "" && entry.uuid === uuid && this.entries.has(entry.file)) {
      // It is there: nobody may be told otherwise.
      this.finished = false;
      this.settle(entry, { state: "stored" });
    }
  }

  /**
   * Deletes what the server has under a uuid; until then the zone has not finished.
   *
   * @param {string} uuid
   * @returns {Promise<string>} as `delete`
   */
  async forget(uuid) {
    this.cleaning += 1;
    const problem = await this.delete({ uuid });
    this.cleaning -= 1;
    this.finishSoon();
    return problem;
  }

  /**
   * @param {{uuid: string}} entry
   * @returns {Promise<string>} why it could not be deleted, or ""
   */
  async delete({ uuid }) {
    this.begun.forget(uuid);
    const { uploadsUrl } = this.options;
    // Whoever made the zone has not said where; the server sweeps it away in time.
    if (!uploadsUrl) return "";
    const url = `${uploadsUrl}/${encodeURIComponent(uuid)}`;
    for (let tries = 1; ; tries += 1) {
      const answer = await this.transport.request({ method: "DELETE", url, timeout: 30_000 });
      // Gone already is what was wanted.
      if (answer.status === 204 || answer.status === 404) return "";
      const later = answer.kind !== "answer" || [409, 429, 503].includes(answer.status);
      if (!later || tries === 3) return verdicts(answer, [{ key: "", uuid, name: "" }], this.options)[0].sentence ?? "";
      await new Promise((resolve) => setTimeout(resolve, retryAfter(answer.retryAfter) ?? 1000 * tries));
    }
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

/**
 * @param {File} file
 * @returns {Promise<number | null>} its bytes, counted; null where it cannot be read
 */
async function lengthOf(file) {
  let length = 0;
  try {
    const reader = file.stream().getReader();
    for (let round = await reader.read(); !round.done; round = await reader.read()) length += round.value.length;
    return length;
  } catch {
    return null;
  }
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

/** So few bytes are too many for nobody: it was their number. @param {Entry[]} entries */
function isSmall(entries) {
  return entries.reduce((sum, { size }) => sum + size, 0) < 100_000;
}

/** Larger files are sent sooner than they are read twice. */
const LARGEST_DIGEST = 64_000_000;

/**
 * SHA-256 of files, one after the other; of those that cannot be read, none.
 *
 * @param {Entry[]} entries
 * @returns {Promise<Record<string, string>>}
 */
async function digestsOf(entries) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const { file, size, uuid } of entries) {
    const sum = size > LARGEST_DIGEST ? null : await sha256(file).catch(() => null);
    if (sum !== null) found[uuid] = sum;
  }
  return found;
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
