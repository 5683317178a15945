import { languageTag, number, word } from "./messages.js";

const UNITS = ["KB", "MB", "GB", "TB", "PB"];

/**
 * A size for people, in powers of 1000, the same words as the server's: "999 bytes", "1.5 KB", "10 MB".
 *
 * @param {number} bytes
 */
export function humanSize(bytes) {
  if (bytes < 1000) return inBytes(bytes);
  let value = bytes;
  let unit = "";
  for (unit of UNITS) {
    value /= 1000;
    // Rounding comes first: 999,999 bytes are 1 MB, not 1000 KB.
    if (value < 100 || Number(fixed(value, 0)) < 1000) break;
  }
  return `${value >= 99.95 ? fixed(value, 0) : fixed(value, 1).replace(/\.0$/, "")} ${unit}`;
}

/**
 * Two sizes for one sentence, in bytes where they differ and would read the same ("10 MB; the limit is 10 MB").
 *
 * @param {number} one
 * @param {number} other
 */
export function toldApart(one, other) {
  const [said, limit] = [humanSize(one), humanSize(other)];
  if (one === other || said !== limit) return [said, limit];
  return [one, other].map(inBytes);
}

/** @param {number} bytes */
function inBytes(bytes) {
  return word(bytes === 1 ? "byte" : "bytes", { n: number(bytes) });
}

/**
 * Python's rounding, of which toFixed() differs only in exact ties: 1.25 is 1.2 there and 1.3 here.
 *
 * @param {number} value
 * @param {0 | 1} digits
 */
function fixed(value, digits) {
  const ten = 10 ** digits;
  const tie = Number.isInteger(value * 4) && (value * ten) % 1 === 0.5;
  if (!tie) return value.toFixed(digits);
  const below = Math.floor(value * ten);
  return ((below % 2 === 0 ? below : below + 1) / ten).toFixed(digits);
}

const SHORT = 12;
const TAIL = 8;

/**
 * A name in two pieces, of which the second (the ending with the extension) is always shown.
 *
 * @param {string} name
 * @returns {[string, string]}
 */
export function splitName(name) {
  const letters = Array.from(name);
  if (letters.length <= SHORT) return [name, ""];
  return [letters.slice(0, -TAIL).join(""), letters.slice(-TAIL).join("")];
}

/**
 * A time to come, as roughly as it is known: "20 s", "3 minutes", "2 hours".
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 60) return word("seconds", { n: Math.round(seconds) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return word(minutes === 1 ? "minute" : "minutes", { n: minutes });
  const hours = Math.round(seconds / 3600);
  return word(hours === 1 ? "hour" : "hours", { n: hours });
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const SPANS = [
  ["minute", 60],
  ["hour", 3600],
  ["day", 86400],
  ["month", 2592000],
  ["year", 31536000],
];

/**
 * "just now", "2 minutes ago", "yesterday".
 *
 * @param {Date} then
 * @param {Date} now
 */
export function relativeTime(then, now) {
  const seconds = Math.max(0, (now.getTime() - then.getTime()) / 1000);
  if (seconds < 45) return word("just_now");
  let [unit, length] = SPANS[0];
  for (const span of SPANS) if (seconds >= span[1]) [unit, length] = span;
  const words = new Intl.RelativeTimeFormat(languageTag, { numeric: "auto" });
  return words.format(-Math.max(1, Math.floor(seconds / length)), unit);
}
