import { capital, sentence } from "./messages.js";

/**
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./types.js").Part} Part
 * @typedef {import("./types.js").Verdict} Verdict
 */

const LONGEST_SENTENCE = 1000;

/** Statuses of a server on the way that has lost the one behind it, and of requests that came too late. */
const LOST = new Set([408, 425, 502, 504]);

/** Refusals of a file that arrived as another than it was announced. */
const ALTERED = ["size_differs", "digest_differs"];

/** A person has sent as much as they may in a while: other parts of the same request may be stored, or refused for good. */
const WAITS = "window_full";

/** What the server could not look at just now: other parts of the same request may have been refused for good. */
const LATER = ["not_scanned", "not_decoded"];

/** Refusals of what came under one uuid, and not of the file: sent from its first byte under another it may pass. */
export const SPOILED = ["chunk_differs", "damaged", "upload_cancelled"];

/** Refusals of what befell the bytes on their way, cut off say or altered, or what had come of them before. */
const ON_THE_WAY = ["malformed", "no_file", "chunk_length", "chunk_digest", "chunk_overlaps", "upload_gone"];

/**
 * What to do about an answer as a whole, before each part gets its verdict:
 *
 * - `settle`: the verdicts hold;
 * - `halve`: too much for one request, each file may fit;
 * - `busy`: wait as long as the server says; `full`: wait until somebody has made room;
 * - `lost`: nobody knows; the same ids may be sent again once the server is there;
 * - `session`: somebody else answered, as it happens when a session has ended.
 *
 * @param {Answer} answer
 * @param {number} parts
 * @returns {"settle" | "halve" | "busy" | "full" | "lost" | "session"}
 */
export function courseOf(answer, parts) {
  const { kind, status, type } = answer;
  if (kind !== "answer" || LOST.has(status)) return "lost";
  if (answer.redirected || status === 401) return "session";
  if (status >= 200 && status < 300) return type.startsWith("text/html") ? "session" : "settle";
  if (status === 429 || status === 503 || waits(answer)) return "busy";
  if (status === 507) return "full";
  return status === 413 && !answer.perPart && parts > 1 ? "halve" : "settle";
}

/** @param {Answer} answer */
function waits({ codes }) {
  return [...codesOf(codes).values()].includes(WAITS);
}

/**
 * Whether the server could not look at the one file of this answer just now.
 *
 * @param {Answer} answer
 */
export function isLater({ code }) {
  return LATER.includes(code);
}

/**
 * What became of each part of a request. A file counts as stored only where the server said so in its own
 * form: JSON that names the file's uuid, or the per-part text in which no line begins with its key.
 *
 * @param {Answer} answer
 * @param {Part[]} parts
 * @param {Parameters<typeof sentence>[0]} [words] the host's and the server's sentences
 * @returns {Verdict[]} one for each part, in their order
 */
export function verdicts(answer, parts, words = {}) {
  const status = { status: answer.status, statusCode: answer.status };
  const say = (/** @type {string} */ code) => sentence(words, code, status);
  /** @type {(state: "refused" | "failed", text: string) => Verdict[]} */
  const all = (state, text) => parts.map(() => ({ state, sentence: text }));

  if (answer.kind !== "answer") return all("failed", say(answer.kind === "timeout" ? "timeout" : "network"));
  if (answer.redirected) return all("failed", say("redirected"));
  if (answer.status >= 200 && answer.status < 300) return confirmed(answer, parts, say);

  const text = plainText(answer);
  const codes = codesOf(answer.codes);
  /** @type {(part: Part, said: string) => Verdict} */
  const judge = ({ key }, said) => {
    const code = codes.get(indexOf(key)) ?? answer.code;
    if (code === "uuid_busy") return { state: "failed", sentence: said, busy: true };
    if (ALTERED.includes(code)) return { state: "failed", sentence: said, altered: true };
    if (code === WAITS) return { state: "failed", sentence: said };
    // It was refused for the sake of one that waits, and may pass with it; for ever it is not tried.
    if (code === "batch_refused" && waits(answer)) return { state: "failed", sentence: said, later: true };
    if (LATER.includes(code)) return { state: "failed", sentence: said, later: true };
    return { state: curable(answer) || SPOILED.includes(code) ? "failed" : "refused", sentence: said };
  };
  if (answer.perPart && parts.length > 1 && text !== "") return byLine(text, judge, parts, say);
  return parts.map((part) => judge(part, text || say(codeFor(answer.status))));
}

/**
 * Whether a chunk is there now, and others of its file are missing.
 *
 * @param {Answer} answer
 */
export function isKept(answer) {
  return answer.kind === "answer" && answer.status === 202 && !answer.redirected && filesOf(answer)?.length === 0;
}

/**
 * @param {Answer} answer
 * @param {Part[]} parts
 * @param {(code: string) => string} say
 * @returns {Verdict[]}
 */
function confirmed(answer, parts, say) {
  const files = filesOf(answer);
  if (files === null) return parts.map(() => ({ state: "failed", sentence: say("foreign") }));
  const byUuid = new Map(files.map((file) => [file.uuid, file]));
  return parts.map((part) => {
    const file = byUuid.get(part.uuid);
    return file ? { state: "stored", file } : { state: "failed", sentence: say("unconfirmed") };
  });
}

/**
 * @param {Answer} answer
 * @returns {import("./types.js").StoredFile[] | null}
 */
function filesOf(answer) {
  if (!answer.type.includes("json")) return null;
  try {
    const body = JSON.parse(answer.text);
    return body?.success === true && Array.isArray(body.files) ? body.files : null;
  } catch {
    return null;
  }
}

/**
 * Which row of the server's table refused which part, by its index: `extension=(1 4), uuid_busy=(7)`, a dictionary of
 * RFC 9651. The text says the same in the reader's language.
 *
 * @param {string} header
 */
function codesOf(header) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const [, code, indexes] of header.matchAll(/([a-z]\w*)=\(([\d ]*)\)/g)) {
    for (const index of indexes.split(" ")) found.set(index, code);
  }
  return found;
}

/** @param {string} key `file[7]`; one without an index is the first */
function indexOf(key) {
  return /\[(\d+)\]$/.exec(key)?.[1] ?? "0";
}

/**
 * @param {string} text
 * @param {(part: Part, sentence: string) => Verdict} judge
 * @param {Part[]} parts
 * @param {(code: string) => string} say
 * @returns {Verdict[]}
 */
function byLine(text, judge, parts, say) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  const keys = new Set(parts.map((part) => part.key));
  /** @type {Map<string, string>} */
  const refused = new Map();
  let closed = false;
  for (const line of lines) {
    const key = line.slice(0, line.indexOf(" "));
    closed = !keys.has(key);
    if (!closed) refused.set(key, line.slice(key.length + 1));
  }
  // Without its closing line the text was cut off, and a missing line would prove nothing.
  if (!closed) return parts.map(() => ({ state: "failed", sentence: say("unconfirmed") }));
  return parts.map((part) => {
    const rest = refused.get(part.key);
    if (rest === undefined) return { state: "stored" };
    return judge(part, withoutName(rest, part.name));
  });
}

/**
 * The sentence behind `"name": `; the server shortens long names, so the part's own need not be found.
 *
 * @param {string} rest
 * @param {string} name
 */
function withoutName(rest, name) {
  const own = `"${name}": `;
  if (rest.startsWith(own)) return capital(rest.slice(own.length));
  const end = rest.startsWith('"') ? rest.indexOf('": ') : -1;
  return capital(end < 0 ? rest : rest.slice(end + 3));
}

/**
 * The body where it can be read by people: never the source of a page, never empty space.
 *
 * @param {Answer} answer
 */
function plainText(answer) {
  if (!answer.type.startsWith("text/plain")) return "";
  const text = answer.text.trim();
  if (answer.perPart) return text;
  return text.startsWith("<") ? "" : text.slice(0, LONGEST_SENTENCE);
}

/** @param {Answer} answer */
function curable(answer) {
  return (
    answer.status >= 500 ||
    [0, 401, 408, 425, 429].includes(answer.status) ||
    answer.code.startsWith("csrf_") ||
    ON_THE_WAY.includes(answer.code)
  );
}

/** @param {number} status */
function codeFor(status) {
  if (status === 401) return "signed_out";
  if (status === 403) return "forbidden";
  if (status === 413) return "body_too_large";
  if (status === 429 || status === 503) return "busy";
  if (status === 507) return "disk_full";
  return status >= 500 ? "server" : "refused";
}
