import { retryAfter } from "./patience.js";
import { verdicts } from "./verdicts.js";

/** @typedef {import("./types.js").Entry} Entry */

/** A browser sends no more to one server. */
const AT_ONCE = 6;
const MOST_TRIES = 3;

/** What the server is to have no longer: what was cancelled on its way, discarded, or stored by a drop that is undone. */
export class Deletions {
  /** @param {import("./queue.js").Queue} queue */
  constructor(queue) {
    this.queue = queue;
    /** Those that belong to what people were told, by uuid. @type {Map<string, Promise<string>>} */
    this.underWay = new Map();
  }

  /**
   * Deletes what files were stored as, a few at a time.
   *
   * @param {Entry[]} entries
   * @param {(done: number) => void} progress
   * @param {AbortSignal} [signal] leaves the rest where it is
   * @returns {Promise<{deleted: number, kept: number, sentence: string}>} `sentence` says why some were kept
   */
  async each(entries, progress, signal) {
    const left = [...entries];
    const told = { deleted: 0, kept: 0, sentence: "" };
    const work = async () => {
      for (let entry = left.pop(); entry && !signal?.aborted; entry = left.pop()) {
        const problem = await this.now(entry.uuid);
        if (problem === "") {
          told.deleted += 1;
          this.queue.gone(entry);
        } else {
          told.kept += 1;
          told.sentence = problem;
        }
        progress(told.deleted + told.kept);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return told;
  }

  /**
   * Deletes what was stored of a file although somebody had cancelled it.
   *
   * @param {Entry} entry
   */
  async clean({ file, uuid }) {
    const { queue } = this;
    const entry = queue.entries.get(file);
    // By now it is wanted after all, under the same uuid.
    if (entry?.uuid === uuid && entry.state !== "cancelled") return;
    const problem = await this.surely(uuid);
    if (problem !== "" && entry?.uuid === uuid && queue.entries.has(file)) {
      // It is there: nobody may be told otherwise.
      queue.finished = false;
      queue.settle(entry, { state: "stored" });
    }
  }

  /**
   * Deletes what the server has under a uuid, as soon as it can be reached; until then the zone has not finished.
   *
   * @param {string} uuid
   * @returns {Promise<string>} as `now`
   */
  surely(uuid) {
    const deletion = this.untilReached(uuid).finally(() => {
      this.underWay.delete(uuid);
      this.queue.memory.deleted(uuid);
      this.queue.finishSoon();
    });
    this.underWay.set(uuid, deletion);
    return deletion;
  }

  /** @param {string} uuid */
  async untilReached(uuid) {
    const { line } = this.queue;
    for (;;) {
      const problem = await this.now(uuid);
      if (problem === "" || (await line.lost(false)) === "ok") return problem;
      await line.whenOpen();
    }
  }

  /**
   * @param {string} uuid
   * @returns {Promise<string>} why it could not be deleted, or ""
   */
  async now(uuid) {
    const { begun, memory, options } = this.queue;
    begun.forget(uuid);
    // Whoever made the zone has not said where; the server sweeps it away in time.
    if (!options.uploadsUrl) return "";
    memory.deletes(uuid);
    const problem = await this.ask(uuid);
    if (!this.underWay.has(uuid)) memory.deleted(uuid);
    return problem;
  }

  /** @param {string} uuid */
  async ask(uuid) {
    const { options, transport } = this.queue;
    const url = `${options.uploadsUrl}/${encodeURIComponent(uuid)}`;
    for (let tries = 1; ; tries += 1) {
      const answer = await transport.request({ method: "DELETE", url, timeout: 30_000 });
      // Gone already is what was wanted.
      if (answer.status === 204 || answer.status === 404) return "";
      // Also a proxy that has just lost its server.
      const later = answer.kind !== "answer" || answer.status >= 500 || [409, 429].includes(answer.status);
      if (!later || tries === MOST_TRIES) return verdicts(answer, [{ key: "", uuid, name: "" }], options)[0].sentence ?? "";
      await new Promise((resolve) => setTimeout(resolve, retryAfter(answer.retryAfter) ?? 1000 * tries));
    }
  }
}
