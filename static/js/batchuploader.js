import { attend } from "./attention.js";
import { Banner } from "./banner.js";
import { watchDragging } from "./dragging.js";
import { Dropzone } from "./dropzone.js";
import { learnIcons } from "./icons.js";
import { List } from "./list.js";
import { word } from "./messages.js";
import { Notes } from "./notes.js";
import { buildPanel, buildPrompt } from "./panel.js";
import { paced } from "./pace.js";
import { Queue } from "./queue.js";
import { offerCamera, offerFolders, takePasted } from "./sources.js";
import { Summary } from "./summary.js";
import { Unfinished } from "./unfinished.js";

/** @typedef {import("./types.js").ZoneOptions} ZoneOptions */

/**
 * A drop zone that sends batches: `new BatchUploader(element, { url: "/upload/photos" })`.
 *
 * The element gets the class `dropzone` and carries the uploader as `.batchUploader` and Dropzone's own instance as
 * `.dropzone`. `counts` tells `{files, stored, refused, failed, cancelled, deleted, open}`, kept as they change.
 * Events of the element, which bubble: `batchuploader:stored` and `batchuploader:deleted` with `detail.file`,
 * `batchuploader:done` with the counts as `detail` when `open` reaches 0.
 *
 * `addFiles()`, `sendAll()`, `pause()`, `resume()`, `cancelAll()`, `retry(entry)`, `retryAll()`, `undo()` and
 * `clear()` do what the buttons do.
 */
export class BatchUploader extends Queue {
  /**
   * @param {HTMLElement | string} element or what `document.querySelector` finds it by
   * @param {ZoneOptions} options
   * @throws {Error} where there is no such element, or no Dropzone
   */
  constructor(element, options) {
    const zone = typeof element === "string" ? document.querySelector(element) : element;
    if (!(zone instanceof HTMLElement)) throw new Error(`BatchUploader: there is no element ${element}`);
    if (!Dropzone?.isBrowserSupported()) throw new Error("BatchUploader: Dropzone was not served, or this browser cannot run it");
    learnIcons(options.icons ?? {});
    const root = rootOf(zone);
    super(zone, { ...options, csrfToken: options.csrfToken ?? tokenOfPage() }, Dropzone);
    this.root = root;
    this.view = this.createView();
    Object.assign(zone, { batchUploader: this });

    const page = /** @type {HTMLElement | null} */ (root.closest("[data-uploads-page]"));
    watchDragging(page ?? root, page ? window : root, this.dropzone);
    offerFolders(root, this);
    offerCamera(root, this, options.extensions);
    takePasted(root, this);
    document.addEventListener("uploads:deleted", (event) => {
      this.deletedElsewhere(/** @type {CustomEvent<{id: string}>} */ (event).detail.id);
    });
    attend(this);
    zone.dataset.uploadsReady = "";
  }

  /** @returns {import("./queue.js").View} */
  createView() {
    const { root, options } = this;
    const find = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (root.querySelector(`[data-uploads-${name}]`));
    const list = new List(find("list"), {
      retry: (entry) => this.retry(entry),
      canPause: (entry) => this.canPause(entry),
      pause: (entry) => (entry.paused ? this.resume(entry) : this.pause(entry)),
      cancel: (entry) => this.askedToCancel(entry),
      remove: (entry) => this.dropzone.removeFile(entry.file),
      words: {
        cancel: options.dropzone?.dictCancelUpload ?? word("cancel_upload"),
        remove: options.dropzone?.dictRemoveFile ?? word("remove_file"),
      },
    });
    const summary = new Summary(root, this, list);
    const banner = new Banner(find("banner"), this);
    const notes = new Notes(find("notes"), find("noted"));
    const unfinished = new Unfinished(find("unfinished"), this);
    unfinished.refresh();
    const draw = paced(() => {
      banner.draw();
      summary.draw();
    });
    return {
      added: (entry) => list.add(entry),
      changed: (entry) => {
        list.update(entry);
        unfinished.taken(entry);
      },
      progressed: (entry) => list.progress(entry),
      removed: (entry) => {
        list.remove(entry);
        if (this.counts.files === 0) notes.clear();
        if (entry.state === "failed" && this.chunks.takes(entry)) unfinished.refresh();
      },
      counted: draw,
      line: draw,
      told: (fact, path) => notes.add(fact, path),
      done: () => summary.done(),
    };
  }

  /**
   * Asks before an upload that runs is cancelled, where the host has a question for it.
   *
   * @param {import("./types.js").Entry} entry
   */
  askedToCancel(entry) {
    const question = this.options.dropzone?.dictCancelUploadConfirmation;
    const cancel = () => this.dropzone.cancelUpload(entry.file);
    if (question && ["sending", "checking"].includes(entry.state)) {
      this.dropzone.constructor.confirm(question, cancel);
    } else cancel();
  }
}

/**
 * The box around a zone and all that belongs to it; made where a script brings nothing but the zone.
 *
 * @param {HTMLElement} zone
 */
function rootOf(zone) {
  let root = /** @type {HTMLElement | null} */ (zone.closest("[data-uploads-drop]"));
  if (root === null) {
    root = document.createElement("div");
    root.className = "uploads-drop";
    root.dataset.uploadsDrop = "";
    zone.replaceWith(root);
    root.append(zone);
  }
  zone.classList.add("dropzone", "uploads-zone");
  if (!zone.querySelector(".dz-message")) buildPrompt(zone);
  buildPanel(root);
  return root;
}

function tokenOfPage() {
  return document.querySelector("meta[name=csrf-token]")?.getAttribute("content") ?? "";
}
