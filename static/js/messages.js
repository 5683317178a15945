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
  drop_full: "only {limit} files are taken at a time; add this one in another drop.",
  empty_name: "the file has no usable name; rename it and send it again.",
  network: "The connection broke. Retry; nothing is stored twice.",
  timeout: "The server took too long to answer. Retry; nothing is stored twice.",
  unreadable: "The file could not be read: it was changed, moved or removed. Choose it again.",
  redirected:
    "The server sent another page instead of an answer, as it does when a session has ended. " +
    "Sign in again, then retry.",
  foreign: "The answer did not come from the upload service, so the file counts as not stored. Retry.",
  unconfirmed: "The server did not confirm this file. Retry; nothing is stored twice.",
  signed_out: "You are signed out. Sign in again, then retry.",
  forbidden: "The server does not let you upload here.",
  body_too_large: "A server on the way refused this as too large. Ask its administrator for the limit.",
  busy: "The server is busy. Retry in a moment.",
  server: "The server failed (error {status}). Retry in a moment.",
  refused: "The server refused this (error {status}) without saying why.",
};

/**
 * The sentence for a code, in the server's words where it gave some.
 *
 * @param {Record<string, string> | undefined} own
 * @param {string} code
 * @param {Record<string, string | number>} [values]
 */
export function sentence(own, code, values = {}) {
  return capital(fill(own?.[code] ?? SENTENCES[code] ?? SENTENCES.refused, values));
}
