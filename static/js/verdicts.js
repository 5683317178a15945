import { capital } from "./format.js";
import { sentence } from "./messages.js";

/**
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./types.js").Part} Part
 * @typedef {import("./types.js").Verdict} Verdict
 */

const LONGEST_SENTENCE = 1000;

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
  if (answer.perPart && parts.length > 1 && text !== "") return byLine(text, answer, parts, say);
  return all(curable(answer) ? "failed" : "refused", text || say(codeFor(answer.status)));
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
 * @param {string} text
 * @param {Answer} answer
 * @param {Part[]} parts
 * @param {(code: string) => string} say
 * @returns {Verdict[]}
 */
function byLine(text, answer, parts, say) {
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
    return { state: answer.status >= 500 ? "failed" : "refused", sentence: withoutName(rest, part.name) };
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
    answer.status >= 500 || [0, 401, 408, 425, 429].includes(answer.status) || answer.code.startsWith("csrf_")
  );
}

/** @param {number} status */
function codeFor(status) {
  if (status === 401) return "signed_out";
  if (status === 403) return "forbidden";
  if (status === 413) return "body_too_large";
  if (status === 429 || status === 503) return "busy";
  return status >= 500 ? "server" : "refused";
}
