import { extensionOf } from "./rules.js";

/** @type {[string, Set<string>][]} */
const KINDS = [
  ["image", new Set("jpg jpeg jpe png gif webp avif bmp tif tiff heic heif svg ico".split(" "))],
  ["video", new Set("mp4 m4v mov webm mkv avi mpg mpeg ogv 3gp wmv".split(" "))],
  ["audio", new Set("mp3 m4a aac wav flac ogg oga opus wma aiff mid".split(" "))],
  ["table", new Set("csv tsv xls xlsx ods gnumeric json xml yaml yml toml ini plist parquet sql".split(" "))],
  ["archive", new Set("zip tar gz tgz bz2 xz txz 7z rar zst".split(" "))],
  ["document", new Set("txt md rst log rtf doc docx odt odf abw pdf ppt pptx odp epub tex".split(" "))],
];

/**
 * Which drawing stands for a file without a picture.
 *
 * @param {string} name
 */
export function iconFor(name) {
  const extension = extensionOf(name);
  return KINDS.find(([, extensions]) => extensions.has(extension))?.[0] ?? "file";
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
