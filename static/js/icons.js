import { extensionOf } from "./rules.js";

/**
 * The server's table of kinds, as far as it draws them: what it has not told of is a plain file.
 *
 * @type {Map<string, string>}
 */
const drawings = new Map();

/** @param {Record<string, string>} icons drawing → the extensions that it stands for, with spaces between them */
export function learnIcons(icons) {
  for (const [name, extensions] of Object.entries(icons)) {
    for (const extension of extensions.split(" ")) drawings.set(extension, name);
  }
}

/**
 * Which drawing stands for a file without a picture.
 *
 * @param {string} name
 * @param {string} [type] its media type, for what the server has not told of
 */
export function iconFor(name, type = "") {
  return drawings.get(extensionOf(name)) ?? /^(image|video|audio)\//.exec(type)?.[1] ?? "file";
}

/**
 * A decorative icon; what it means stands beside it in words.
 *
 * @param {string} name
 */
export function icon(name) {
  const element = document.createElement("span");
  element.className = "uploads-icon";
  element.dataset.icon = name;
  element.setAttribute("aria-hidden", "true");
  return element;
}
