import { BatchUploader } from "./batchuploader.js";
import { Dropzone } from "./dropzone.js";
import { gateOf } from "./gate.js";

/** @type {BatchUploader[]} */
const uploaders = [];

/**
 * Brings one zone of `uploads.zone()` to life.
 *
 * @param {HTMLElement} element
 */
function start(element) {
  if (!Dropzone?.isBrowserSupported()) {
    // Not served, blocked, or of no use here: the plain form does the work then.
    element.dataset.uploadsPlain = "";
    return;
  }
  /** @type {import("./types.js").ZoneOptions} */
  const options = JSON.parse(element.dataset.uploadsZone ?? "{}");
  options.accept ??= element.querySelector("input[type=file]")?.getAttribute("accept") ?? "";
  const uploader = new BatchUploader(element, options);
  uploaders.push(uploader);
  meetHost(uploader);
}

/**
 * Ties the zone to what the host has beside it: a button that sends, a form that waits, a page to go to.
 *
 * @param {BatchUploader} uploader
 */
function meetHost(uploader) {
  const { options, element, root } = uploader;
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

for (const element of document.querySelectorAll("[data-uploads-zone]")) {
  start(/** @type {HTMLElement} */ (element));
}

// For scripts of the host's that are no modules.
Object.assign(window, { BatchUploader });
