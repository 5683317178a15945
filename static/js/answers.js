import { sentence } from "./messages.js";
import { retryAfter } from "./patience.js";
import { isOpen } from "./tally.js";
import { courseOf, verdicts } from "./verdicts.js";

/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").Verdict} Verdict
 * @typedef {import("./types.js").Answer} Answer
 */

/** Requests with a file may be lost so often while the server is there; the last one holds nothing else. */
export const MOST_LOST = 3;

/** What the answer to a request, or that there is none, means for each of its files, and for what comes after. */
export class Answers {
  /** @param {import("./queue.js").Queue} queue */
  constructor(queue) {
    this.queue = queue;
  }

  /**
   * @param {Entry[]} entries of one request
   * @param {Answer} answer
   */
  async take(entries, answer) {
    const { batches, chunks, line } = this.queue;
    const open = entries.filter(isOpen);
    const course = courseOf(answer, entries.length);
    if (course === "lost" || course === "session") return this.lost(entries, answer, course);
    if (course !== "busy") line.went();
    if (course === "halve") {
      batches.packer.halve(entries, ["too_many_parts", "too_many_fields"].includes(answer.code) || isSmall(entries));
      batches.putBack(open);
      return;
    }
    if (entries.length === 1 && isOpen(entries[0]) && chunks.takesOver(entries[0], answer)) return;
    if (course === "busy") line.busy(retryAfter(answer.retryAfter));
    if (course === "full") line.full();
    this.deal(entries, answer, course === "busy");
  }

  /**
   * Nobody knows what became of a request, or somebody else has answered it.
   *
   * @param {Entry[]} entries
   * @param {Answer} answer
   * @param {"lost" | "session"} course
   */
  async lost(entries, answer, course) {
    const cancelled = entries.filter(({ state }) => state === "cancelled");
    const readable = answer.kind === "network" ? await this.dropUnreadable(entries) : entries;
    // A broken file breaks its request; the others go again at once.
    const pause = readable.length === entries.length && course === "lost";
    const reached = pause || course === "session" ? await this.queue.line.lost(pause) : "ok";
    // It may have come to its end all the same.
    for (const entry of cancelled) this.queue.deletions.clean(entry);
    const open = readable.filter(isOpen);
    // Only requests that were lost for themselves count: a server that is away takes all with it.
    if (reached === "ok" && (pause || course === "session")) {
      for (const entry of open) entry.lost += 1;
    }
    const given = open.filter(({ lost }) => lost >= MOST_LOST);
    const foreign = course === "session" && reached === "ok" && answer.status >= 200 && !answer.redirected && answer.status < 300;
    const failed = foreign ? open : given;
    for (const entry of open) if (!failed.includes(entry)) this.queue.again(entry);
    if (failed.length > 0) this.deal(failed, answer, false);
  }

  /**
   * Gives each file its verdict.
   *
   * @param {Entry[]} entries
   * @param {Answer} answer
   * @param {boolean} busy those that the server had no time for go again, and a few times those that it could not look at
   */
  deal(entries, answer, busy) {
    const { queue } = this;
    const parts = entries.map(({ uuid, name }, index) => ({ key: queue.batches.keyOf(index), uuid, name }));
    /** @type {Entry[]} */
    const back = [];
    verdicts(answer, parts, queue.options).forEach((verdict, index) => {
      const entry = entries[index];
      // A person may have cancelled it on the way.
      if (!isOpen(entry)) {
        if (verdict.state === "stored") queue.deletions.clean(entry);
      } else if (busy && verdict.state === "failed" && !(verdict.later && (entry.lost += 1) >= MOST_LOST)) back.push(entry);
      else if (verdict.busy && (entry.lost += 1) < MOST_LOST) queue.againLater(entry);
      else if (verdict.altered) queue.chunks.startsOver(entry) || this.judgeAltered(entry, verdict);
      else queue.settle(entry, verdict);
    });
    queue.batches.putBack(back);
  }

  /**
   * A file that was changed or removed since it was chosen breaks the request just as a lost connection does.
   *
   * @param {Entry[]} entries of a request that broke
   * @returns {Promise<Entry[]>} those that can be read
   */
  async dropUnreadable(entries) {
    // A slice of an empty file is not looked for on the disk.
    const read = await Promise.allSettled(entries.map(({ file, size }) => (size ? file.slice(0, 1) : file).arrayBuffer()));
    return entries.filter((entry, index) => {
      const result = read[index];
      if (result.status === "fulfilled") return true;
      const code = result.reason?.name === "NotFoundError" ? "vanished" : "unreadable";
      if (isOpen(entry)) this.queue.settle(entry, { state: "refused", sentence: sentence(this.queue.options, code) });
      return false;
    });
  }

  /**
   * Either somebody on the way has altered a file, and it may pass another time, or it is another on the disk by now:
   * a browser may send what it finds there, whatever it has said of it before.
   *
   * @param {Entry} entry
   * @param {Verdict} verdict
   */
  async judgeAltered(entry, verdict) {
    const changed = (await lengthOf(entry.file)) !== entry.size;
    if (!isOpen(entry)) return;
    const said = sentence(this.queue.options, "unreadable");
    this.queue.settle(entry, changed ? { state: "refused", sentence: said } : verdict);
  }
}

/**
 * @param {File} file
 * @returns {Promise<number | null>} its bytes, counted; null where it cannot be read
 */
async function lengthOf(file) {
  let length = 0;
  try {
    const reader = file.stream().getReader();
    for (let round = await reader.read(); !round.done; round = await reader.read()) length += round.value.length;
    return length;
  } catch {
    return null;
  }
}

/** So few bytes are too many for nobody: it was their number. @param {Entry[]} entries */
function isSmall(entries) {
  return entries.reduce((sum, { size }) => sum + size, 0) < 100_000;
}
