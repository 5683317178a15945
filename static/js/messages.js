import en from "./languages/en.js";

/**
 * One language: a file of `languages/`, which the server reads too, so its object is plain JSON.
 *
 * @typedef {object} Language
 * @property {string} language its tag (BCP 47)
 * @property {Record<string, string>} sentences what only the browser can see; those for refusals of a file come from
 *   the server's table, in the zone's options, and win over these
 * @property {Record<string, string>} words of the page; `{n}` counts what the word stands for
 */

/** @type {Language} */
const english = en;
const spoken = await readers();

/** The reader's language, as the server says, which speaks it too. @returns {Promise<Language>} */
async function readers() {
  const page = typeof document === "undefined" ? null : document.querySelector("[data-uploads-language]");
  const tag = page?.getAttribute("data-uploads-language") ?? english.language;
  if (tag === english.language || !/^[a-z]{2,3}$/.test(tag)) return english;
  // Not served, or blocked: words of another language are better than none.
  return import(`./languages/${tag}.js`).then((module) => module.default, () => english);
}

/** For numbers and dates (BCP 47). */
export const languageTag = spoken.language;

/**
 * What Dropzone has options for: a host that set one wants these words, as they stand.
 *
 * @type {Record<string, string>}
 */
const OPTIONS = {
  extension: "dictInvalidFileType",
  no_extension: "dictInvalidFileType",
  too_large: "dictFileTooBig",
  drop_full: "dictMaxFilesExceeded",
  forbidden: "dictResponseError",
  body_too_large: "dictResponseError",
  busy: "dictResponseError",
  server: "dictResponseError",
  refused: "dictResponseError",
};

/**
 * The sentence for a code: in the host's words where it gave some, else in the server's, else in ours.
 *
 * @param {Pick<import("./types.js").ZoneOptions, "messages" | "dropzone">} given
 * @param {string} code
 * @param {Record<string, string | number>} [values]
 */
export function sentence({ messages, dropzone }, code, values = {}) {
  const host = dropzone?.[OPTIONS[code]];
  if (typeof host === "string") return fill(host, values, /\{\{(\w+)\}\}/g);
  return capital(fill(messages?.[code] ?? spoken.sentences[code] ?? english.sentences[code] ?? spoken.sentences.refused, values));
}

/**
 * A word of the page.
 *
 * @param {string} code
 * @param {Record<string, string | number>} [values]
 */
export function word(code, values = {}) {
  return fill(spoken.words[code] ?? english.words[code], values);
}

/** Made once: a number written by `toLocaleString()` makes it each time. */
const numbers = new Intl.NumberFormat(languageTag);

/** @param {number} value */
export function number(value) {
  return numbers.format(value);
}

/**
 * "1 file", "688 files".
 *
 * @param {number} count
 */
export function files(count) {
  return word(count === 1 ? "file" : "files", { n: number(count) });
}

/**
 * Why this many files wait.
 *
 * @param {string} reason
 * @param {number} count
 */
export function waiting(reason, count) {
  return word(count === 1 ? `${reason}_one` : reason, { files: files(count) });
}

/**
 * "7 stored, 3 refused": the outcome in one breath.
 *
 * @param {Omit<import("./types.js").Counts, "files" | "open">} counts
 */
export function outcome(counts) {
  return joined([word("n_stored", { n: number(counts.stored) }), ...notStored(counts)]);
}

/**
 * The same while it goes on: "312 of 1,000 stored, 4 refused".
 *
 * @param {import("./types.js").Counts} counts
 */
export function soFar({ files, stored, refused, failed }) {
  const said = word("n_of_stored", { n: number(stored), files: number(files) });
  return joined([said, ...notStored({ refused, failed })]);
}

/** @param {Partial<import("./types.js").Counts>} counts */
function notStored(counts) {
  const kinds = /** @type {const} */ (["refused", "failed", "cancelled", "deleted"]);
  return kinds.filter((kind) => counts[kind]).map((kind) => word(`n_${kind}`, { n: number(counts[kind] ?? 0) }));
}

/** @param {string[]} words */
function joined(words) {
  return words.join(word("separator"));
}

/**
 * Fills `{placeholders}`; one that has no value stays as it is, so that a mistake is seen.
 *
 * @param {string} sentence
 * @param {Record<string, string | number>} values
 * @param {RegExp} [placeholder]
 */
export function fill(sentence, values, placeholder = /\{(\w+)\}/g) {
  return sentence.replace(placeholder, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * A sentence as it stands alone: the server's table begins in lower case where a name may come before.
 *
 * @param {string} text
 */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
