import { toldApart } from "./format.js";
import { sentence } from "./messages.js";

/**
 * The extension that decides: what follows the last dot, in lower case; "" where there is none. As on the
 * server, dots and spaces at the end do not count.
 *
 * @param {string} name
 */
export function extensionOf(name) {
  const kept = name.replace(/[. ]+$/, "");
  const dot = kept.lastIndexOf(".");
  return dot > 0 ? kept.slice(dot + 1).toLowerCase() : "";
}

/**
 * What can be refused before a byte is sent. The server checks all of it again.
 *
 * @param {{name: string, size: number}} file
 * @param {import("./types.js").ZoneOptions} options
 * @param {number} before how many files of this drop were taken already
 * @returns {string | null} the sentence of the refusal
 */
export function refusal(file, options, before = 0) {
  const say = (/** @type {string} */ code, /** @type {Record<string, string | number>} */ values = {}) =>
    sentence(options, code, { accepted: options.accepted ?? "", name: file.name, ...values });

  if (file.name.trim() === "") return say("empty_name");
  if (options.extensions) {
    const extension = extensionOf(file.name);
    if (extension === "") return say("no_extension");
    if (!options.extensions.includes(extension)) return say("extension", { extension });
  }
  const limit = Math.min(
    options.maxFileSize ?? Infinity,
    options.maxTotalSize ?? Infinity,
    (options.chunkSize ? null : options.maxContentLength) ?? Infinity,
  );
  if (file.size > limit) {
    const [size, most] = toldApart(file.size, limit);
    const sizes = { filesize: mebibytes(file.size), maxFilesize: mebibytes(limit, 3) };
    return say("too_large", { size, limit: most, ...sizes });
  }
  if (options.maxFiles != null && before >= options.maxFiles) {
    return say("drop_full", { limit: options.maxFiles, maxFiles: options.maxFiles });
  }
  return null;
}

/**
 * The number in Dropzone's own sentences: units of 1024 × 1024 bytes.
 *
 * @param {number} bytes
 * @param {number} [digits] behind the point
 */
function mebibytes(bytes, digits = 2) {
  return Number((bytes / 1024 ** 2).toFixed(digits));
}
