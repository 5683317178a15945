/**
 * Where files come from besides a drop and Dropzone's own input: a folder, the camera, the clipboard.
 *
 * @typedef {{addFiles: (files: Iterable<File>) => void, dropzone: any}} Taker whose Dropzone a script may disable
 * @typedef {Taker & {told: (fact: string, path: string) => void}} FolderTaker
 */

const PICTURE = /^(jpe?g|png|heic|heif|webp)$/;

/**
 * Dropzone's own input cannot choose folders; a second one can, where the browser knows how. What is left out of a
 * folder that is dropped is left out here, too.
 *
 * @param {HTMLElement} root
 * @param {FolderTaker} taker
 */
export function offerFolders(root, taker) {
  if (!("webkitdirectory" in HTMLInputElement.prototype)) return;
  const addFiles = (/** @type {Iterable<File>} */ files) =>
    taker.addFiles([...files].filter((file) => !leftOut(file, taker)));
  offer(root, root.querySelector("[data-uploads-folder]"), { addFiles, dropzone: taker.dropzone }, (input) => (input.webkitdirectory = true));
}

/**
 * @param {File} file
 * @param {FolderTaker} taker
 */
function leftOut({ name, webkitRelativePath }, { dropzone, told }) {
  const hidden = dropzone.options.ignoreHiddenFiles && name.startsWith(".");
  if (hidden) told("hidden_file", webkitRelativePath);
  return hidden;
}

/**
 * A photograph taken now, where a finger is the pointer and the set takes pictures.
 *
 * @param {HTMLElement} root
 * @param {Taker} taker
 * @param {string[] | null} [extensions] of the set; none given takes all
 */
export function offerCamera(root, taker, extensions) {
  if (!matchMedia("(pointer: coarse)").matches) return;
  if (extensions && !extensions.some((extension) => PICTURE.test(extension))) return;
  offer(root, root.querySelector("[data-uploads-camera]"), taker, (input) => {
    input.accept = "image/*";
    input.setAttribute("capture", "environment");
  });
}

/**
 * @param {HTMLElement} root
 * @param {Element | null} button
 * @param {Taker} taker
 * @param {(input: HTMLInputElement) => void} prepare
 */
function offer(root, button, taker, prepare) {
  if (!(button instanceof HTMLButtonElement)) return;
  const input = document.createElement("input");
  input.type = "file";
  input.className = "uploads-second-input";
  input.tabIndex = -1;
  input.hidden = true;
  prepare(input);
  root.append(input);
  button.hidden = false;
  button.addEventListener("click", (event) => {
    // The button lies in the area that opens the chooser of files.
    event.stopPropagation();
    if (!taker.dropzone.disabled) input.click();
  });
  input.addEventListener("change", () => {
    taker.addFiles(input.files ?? []);
    input.value = "";
  });
}

/** All zones of the page that take what is pasted. @type {{root: HTMLElement, taker: Taker}[]} */
const zones = [];

/**
 * Takes files from the clipboard: those pasted in the zone, and those pasted nowhere in particular where it is
 * the page's only one.
 *
 * @param {HTMLElement} root
 * @param {Taker} taker
 */
export function takePasted(root, taker) {
  if (zones.push({ root, taker }) > 1) return;
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files;
    const target = /** @type {HTMLElement} */ (event.target);
    const zone = zones.find(({ root }) => root.contains(target)) ?? (zones.length === 1 ? zones[0] : null);
    // Words may come with a picture of themselves; where one can write, they are what is meant.
    if (!zone || zone.taker.dropzone.disabled) return;
    if (!files || files.length === 0 || event.defaultPrevented || writable(target)) return;
    event.preventDefault();
    zone.taker.addFiles(files);
  });
}

/** @param {HTMLElement} element */
function writable(element) {
  return element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
}
