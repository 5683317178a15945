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
  unreadable: "The file cannot be read: it was changed since it was chosen, or access to it was taken away. Choose it again.",
  vanished: "The file is no longer there: it was moved, renamed or removed. Choose it again.",
  added_before: "The same file was added before, so it is not sent twice. Send it anyway if you mean it.",
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
  disk_full: "The server has no room left. Retry when its owner has made room.",
  server: "The server failed (error {status}). Retry in a moment.",
  refused: "The server refused this (error {status}) without saying why.",
};

/**
 * Words of the page itself; `{n}` counts what the word stands for.
 *
 * @type {Record<string, string>}
 */
const WORDS = {
  pause: "Pause",
  resume: "Resume",
  cancel_all: "Cancel",
  retry_all: "Retry {n} that can succeed",
  show_refused: "Show {n} refused",
  show_not_stored: "Show {n} not stored",
  show_all: "Show all",
  undo: "Undo this drop",
  clear: "Clear",
  retry: "Retry",
  send_anyway: "Send anyway",
  send_again: "Send again",
  invitation: "Drop files or folders here",
  on_touch: "Choose what to upload",
  while_dragging: "Drop to upload",
  choose_files: "Choose files",
  choose_folder: "Choose folder",
  take_photo: "Take a photo",
  bar: "This drop",
  list: "Files of this drop",
  actions: "What to do with this drop",
  broken: "The connection to the server is broken. {files} wait and will go on by themselves.",
  broken_one: "The connection to the server is broken. 1 file waits and will go on by itself.",
  offline: "You are offline. {files} wait and will go on by themselves.",
  offline_one: "You are offline. 1 file waits and will go on by itself.",
  busy: "The server is busy. {files} wait and will go on by themselves.",
  busy_one: "The server is busy. 1 file waits and will go on by itself.",
  signed_out: "You are signed out. {files} wait and will go on by themselves once you sign in again.",
  signed_out_one: "You are signed out. 1 file waits and will go on by itself once you sign in again.",
  disk_full: "The server has no room left. {files} wait until somebody has made room.",
  disk_full_one: "The server has no room left. 1 file waits until somebody has made room.",
  going_on: "Going on in {time}.",
  asking: "Trying now.",
  try_now: "Try now",
  go_on: "Try again",
  sign_in: "Sign in",
  paused: "Paused.",
  paused_one: "Paused. 1 file already on its way will still finish.",
  paused_some: "Paused. {files} already on their way will still finish.",
  file: "1 file",
  files: "{n} files",
  undo_question: "Delete the {files} that this drop stored?",
  undo_yes: "Delete",
  undo_no: "Keep",
  undone: "{files} deleted again.",
  undo_failed: "{files} could not be deleted. {why}",
  empty_folder: 'The folder "{path}" is empty.',
  empty_folders: '{n} folders are empty, "{path}" among them.',
  unreadable_folder: 'The folder "{path}" could not be read, or not wholly. Drop it again, or choose its files.',
  unreadable_folders:
    '{n} folders could not be read, or not wholly, "{path}" among them. Drop them again, or choose their files.',
  unreadable_entry: '"{path}" could not be read from the disk, so it was not added.',
  unreadable_entries: '{n} files could not be read from the disk, so they were not added; "{path}" among them.',
  hidden_file: 'One file was left out because its name begins with a dot: "{path}".',
  hidden_files: '{n} files were left out because their names begin with a dot, "{path}" among them.',
  per_second: "{size}/s",
  seconds_left: "a few seconds left",
  about_left: "about {time} left",
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

/**
 * Whether `said` is the server's sentence for `code`, whatever stands for its values.
 *
 * @param {Pick<import("./types.js").ZoneOptions, "messages">} given
 * @param {string} code
 * @param {string} said
 */
export function says({ messages }, code, said) {
  const template = messages?.[code];
  if (!template || said === "") return false;
  const [first, ...rest] = capital(template)
    .split(/\{\w+\}/)
    .map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${[first, ...rest].join(".*")}$`).test(said);
}

/**
 * A word of the page.
 *
 * @param {string} code
 * @param {Record<string, string | number>} [values]
 */
export function word(code, values = {}) {
  return fill(WORDS[code], values);
}

/**
 * "1 file", "688 files".
 *
 * @param {number} number
 */
export function files(number) {
  return word(number === 1 ? "file" : "files", { n: number.toLocaleString("en") });
}

/**
 * Why this many files wait.
 *
 * @param {string} reason
 * @param {number} number
 */
export function waiting(reason, number) {
  return word(number === 1 ? `${reason}_one` : reason, { files: files(number) });
}
