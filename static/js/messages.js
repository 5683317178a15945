import { capital, fill } from "./format.js";

/**
 * Sentences for what only the browser can see. Those for refusals of a file come from the server's table,
 * in the zone's options, and win over these.
 *
 * @type {Record<string, string>}
 */
const SENTENCES = {
  extension: ".{extension} files are not accepted here. Accepted: {accepted}.",
  no_extension: "files without an extension are not accepted here. Accepted: {accepted}.",
  too_large: "the file is {size}; the limit is {limit}.",
  drop_full: "only {limit} can be taken at a time; add this one in another drop.",
  empty_name: "the file has no usable name; rename it and send it again.",
  network: "The connection broke. Retry; nothing is stored twice.",
  timeout: "The server took too long to answer. Retry; nothing is stored twice.",
  unreadable: "The file could not be read: it was changed, moved or removed. Choose it again.",
  redirected:
    "The server sent another page instead of an answer, as it does when a session has ended. " +
    "Sign in again, then retry.",
  foreign: "The answer did not come from the upload service, so the file counts as not stored. Retry.",
  form_kept:
    "The form was not sent, because not every file was stored. " +
    "Sending it again retries what failed and leaves out what was refused.",
  unconfirmed: "The server did not confirm this file. Retry; nothing is stored twice.",
  signed_out: "You are signed out. Sign in again, then retry.",
  forbidden: "The server does not let you upload here.",
  body_too_large: "A server on the way refused this as too large. Ask its administrator for the limit.",
  busy: "The server is busy. Retry in a moment.",
  server: "The server failed (error {status}). Retry in a moment.",
  refused: "The server refused this (error {status}) without saying why.",
};

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
  return capital(fill(messages?.[code] ?? SENTENCES[code] ?? SENTENCES.refused, values));
}
