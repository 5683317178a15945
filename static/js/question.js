import { MOST_LOST } from "./answers.js";
import { sha256 } from "./digests.js";
import { retryAfter } from "./patience.js";
import { courseOf, SPOILED } from "./verdicts.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./precheck.js").State} State
 */

/** Larger files are sent sooner than they are read twice. */
const LARGEST_DIGEST = 64_000_000;

/** Asks the server about files that have not left yet. */
export class Question {
  /** @param {import("./queue.js").Queue} queue */
  constructor(queue) {
    this.queue = queue;
  }

  /**
   * Asks what would become of files. Where there is no answer they are sent, and the upload itself tells.
   *
   * @param {Entry[]} entries
   * @returns {Promise<Record<string, State>>}
   */
  async ask(entries) {
    const { line, options } = this.queue;
    const { checkUrl, digests, ownView } = options;
    // What is being cancelled is known to be so afterwards.
    await Promise.all(entries.map(({ uuid }) => this.queue.deletions.underWay.get(uuid)));
    await line.whenOpen();
    if (!checkUrl) return this.askEach(entries);
    const asked = ownView ? entries.filter(({ left }) => left) : entries;
    if (asked.length === 0) return {};
    /** @type {Record<string, string>} */
    const sums = digests && !ownView ? await digestsOf(asked) : {};
    const files = asked.map(({ uuid, file, size, path }) => ({
      uuid,
      filename: file.upload.filename,
      size,
      path: path || undefined,
      sha256: sums[uuid],
    }));
    const answer = await this.answerTo(checkUrl, JSON.stringify({ files }));
    // Without this view of ours nobody need be asked again.
    if (answer.status === 404 || answer.status === 405) options.checkUrl = undefined;
    const states = statesIn(answer);
    if (!ownView) return states;
    const told = Object.entries(states).filter(([, { state, code = "" }]) => state !== "refused" || SPOILED.includes(code));
    return Object.fromEntries(told);
  }

  /**
   * Asks when requests may leave, and again where the answer told that they may not now: what no question was
   * answered about would only meet the same.
   *
   * @param {string} url
   * @param {string} body
   */
  async answerTo(url, body) {
    const { line, transport } = this.queue;
    for (let lost = 0; ; ) {
      await line.whenOpen();
      const answer = await transport.request({
        method: "POST",
        url,
        type: "application/json",
        build: () => body,
        timeout: 10_000,
      });
      const course = courseOf(answer, 1);
      if (course === "busy") line.busy(retryAfter(answer.retryAfter));
      else if (!["lost", "session"].includes(course) || answer.kind === "timeout") return answer;
      else if ((lost += 1) === MOST_LOST) return answer;
      else await line.lost(course === "lost");
    }
  }

  /**
   * Where a script has not said whom to ask, what came of a file that was begun in chunks is still told.
   *
   * @param {Entry[]} entries
   */
  async askEach(entries) {
    /** @type {Record<string, State>} */
    const states = {};
    for (const { uuid } of entries.filter((entry) => entry.left && this.queue.chunks.takes(entry))) {
      const state = await this.queue.begun.stateOf(uuid);
      if (state) states[uuid] = state;
    }
    return states;
  }
}

/**
 * @param {import("./types.js").Answer} answer
 * @returns {Record<string, State>}
 */
function statesIn({ status, text }) {
  try {
    return (status === 200 && JSON.parse(text).uploads) || {};
  } catch {
    return {};
  }
}

/**
 * SHA-256 of files, one after the other; of those that cannot be read, none.
 *
 * @param {Entry[]} entries
 * @returns {Promise<Record<string, string>>}
 */
async function digestsOf(entries) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const { file, size, uuid } of entries) {
    const sum = size > LARGEST_DIGEST ? null : await sha256(file).catch(() => null);
    if (sum !== null) found[uuid] = sum;
  }
  return found;
}
