import { watchDragging } from "./dragging.js";
import { gateOf } from "./gate.js";
import { List } from "./list.js";
import { Summary } from "./summary.js";
import { BatchUploader } from "./uploader.js";

/** @type {BatchUploader[]} */
const uploaders = [];

/**
 * Loads our own Dropzone, beside whichever the host has on its page. Its file names itself on `window`: what was
 * there comes back.
 *
 * @returns {Promise<any>} undefined where it is not served, or blocked
 */
async function loadDropzone() {
  const page = /** @type {any} */ (window);
  const { Dropzone: theirs } = page;
  try {
    await import(new URL("../vendor/dropzone/dropzone-min.js", import.meta.url).href);
  } catch {
    return undefined;
  }
  const { Dropzone: ours } = page;
  page.Dropzone = theirs ?? ours;
  return ours;
}

/**
 * Brings one zone to life.
 *
 * @param {HTMLElement} element
 * @param {any} Dropzone
 */
function start(element, Dropzone) {
  if (!Dropzone?.isBrowserSupported()) {
    // Not served, blocked, or of no use here: the plain form does the work then.
    element.dataset.uploadsPlain = "";
    return;
  }
  /** @type {import("./types.js").ZoneOptions} */
  const options = JSON.parse(element.dataset.uploadsZone ?? "{}");
  options.accept ??= element.querySelector("input[type=file]")?.getAttribute("accept") ?? "";

  const root = /** @type {HTMLElement} */ (element.closest("[data-uploads-drop]"));
  const uploader = new BatchUploader(element, options, Dropzone, (work) => {
    const list = new List(/** @type {HTMLElement} */ (root.querySelector("[data-uploads-list]")), {
      retry: (entry) => work.retry(entry),
      cancel: (entry) => askedToCancel(Dropzone, options, entry, () => work.dropzone.cancelUpload(entry.file)),
      remove: (entry) => work.dropzone.removeFile(entry.file),
      words: {
        cancel: options.dropzone?.dictCancelUpload ?? "Cancel upload",
        remove: options.dropzone?.dictRemoveFile ?? "Remove file",
      },
    });
    const summary = new Summary(root, work);
    return {
      added: (entry) => list.add(entry),
      changed: (entry) => list.update(entry),
      progressed: (entry) => list.progress(entry),
      removed: (entry) => list.remove(entry),
      counted: () => summary.update(),
      done: () => summary.done(),
    };
  });
  Object.assign(element, { batchUploader: uploader });
  uploaders.push(uploader);
  meetHost(root, uploader);

  const page = /** @type {HTMLElement | null} */ (root.closest("[data-uploads-page]"));
  watchDragging(page ?? root, page ? window : root, (event) => uploader.dropzone.drop(event));
  offerFolders(root, uploader);
  window.addEventListener("beforeunload", (event) => uploader.counts.open > 0 && event.preventDefault());
  element.dataset.uploadsReady = "";
}

/**
 * Asks before an upload that runs is cancelled, where the host has a question for it.
 *
 * @param {any} Dropzone
 * @param {import("./types.js").ZoneOptions} options
 * @param {import("./types.js").Entry} entry
 * @param {() => void} cancel
 */
function askedToCancel(Dropzone, options, entry, cancel) {
  const question = options.dropzone?.dictCancelUploadConfirmation;
  if (question && ["sending", "checking"].includes(entry.state)) Dropzone.confirm(question, cancel);
  else cancel();
}

/**
 * Ties the zone to what the host has beside it: a button that sends, a form that waits, a page to go to.
 *
 * @param {HTMLElement} root
 * @param {BatchUploader} uploader
 */
function meetHost(root, uploader) {
  const { options, element } = uploader;
  const form = options.inForm ? element.closest("form") : null;
  let button = options.onClick ? document.getElementById(options.button ?? "") : null;
  if (!button && options.onClick && !form) {
    // Without one of the host's, nothing could be sent.
    button = /** @type {HTMLElement} */ (root.querySelector("[data-uploads-send]"));
    button.hidden = false;
  }
  if (form) gateOf(form, button).add(uploader, root.querySelector("[data-uploads-note]"));
  else button?.addEventListener("click", () => uploader.sendAll());
  if (options.redirect && !form) {
    element.addEventListener("batchuploader:done", () => leave(options.redirect ?? ""));
  }
}

let storedBefore = 0;

/**
 * Goes to the host's page when all zones are done and something new is stored: never away from refusals alone.
 *
 * @param {string} url
 */
function leave(url) {
  const stored = uploaders.reduce((sum, { counts }) => sum + counts.stored, 0);
  if (stored <= storedBefore || uploaders.some(({ counts }) => counts.open > 0)) return;
  storedBefore = stored;
  location.assign(url);
}

/**
 * Dropzone's own input cannot choose folders; a second one can, where the browser knows how.
 *
 * @param {HTMLElement} root
 * @param {BatchUploader} uploader
 */
function offerFolders(root, uploader) {
  const button = /** @type {HTMLButtonElement | null} */ (root.querySelector("[data-uploads-folder]"));
  if (!button || !("webkitdirectory" in HTMLInputElement.prototype)) return;
  const input = document.createElement("input");
  input.type = "file";
  input.webkitdirectory = true;
  input.className = "uploads-folder-input";
  input.tabIndex = -1;
  input.hidden = true;
  root.append(input);
  button.hidden = false;
  button.addEventListener("click", (event) => {
    // The button lies in the area that opens the chooser of files.
    event.stopPropagation();
    input.click();
  });
  input.addEventListener("change", () => {
    uploader.addFiles(input.files ?? []);
    input.value = "";
  });
}

const zones = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-uploads-zone]")]);
for (const { id } of zones) {
  // Dropzone 5, where the host has it, takes every `.dropzone` of the page for its own once all is loaded.
  const { Dropzone: theirs } = /** @type {any} */ (window);
  if (theirs?.options) theirs.options[id.replace(/[-_](\w)/g, (_, letter) => letter.toUpperCase())] = false;
}
loadDropzone().then((Dropzone) => zones.forEach((element) => start(element, Dropzone)));
