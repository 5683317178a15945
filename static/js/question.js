import { sha256 } from "./digests.js";
import { SPOILED } from "./verdicts.js";

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
    const { line, options, transport } = this.queue;
    const { checkUrl, digests, ownView } = options;
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
    const answer = await transport.request({
      method: "POST",
      url: checkUrl,
      type: "application/json",
      build: () => JSON.stringify({ files }),
      timeout: 10_000,
    });
    // Without this view of ours nobody need be asked again.
    if (answer.status === 404 || answer.status === 405) options.checkUrl = undefined;
    const states = statesIn(answer);
    if (!ownView) return states;
    const told = Object.entries(states).filter(([, { state, code = "" }]) => state !== "refused" || SPOILED.includes(code));
    return Object.fromEntries(told);
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
