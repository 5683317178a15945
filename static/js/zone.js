import { watchDragging } from "./dragging.js";
import { List } from "./list.js";
import { Summary } from "./summary.js";
import { BatchUploader } from "./uploader.js";

/**
 * Brings one zone to life.
 *
 * @param {HTMLElement} element
 */
function start(element) {
  const Dropzone = /** @type {any} */ (window).Dropzone;
  if (!Dropzone) {
    // Not served, or blocked: the plain form does the work then.
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
      cancel: (entry) => work.dropzone.cancelUpload(entry.file),
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

  const page = /** @type {HTMLElement | null} */ (root.closest("[data-uploads-page]"));
  watchDragging(page ?? root, page ? window : root, (event) => uploader.dropzone.drop(event));
  offerFolders(root, uploader);
  window.addEventListener("beforeunload", (event) => uploader.counts.open > 0 && event.preventDefault());
  element.dataset.uploadsReady = "";
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

for (const element of document.querySelectorAll("[data-uploads-zone]")) {
  start(/** @type {HTMLElement} */ (element));
}
