/** @typedef {import("./types.js").StoredFile} StoredFile */

const GATHER_MS = 20;
const MOST_PAGES = 10;

/**
 * Finds the records of files that are known to be stored but came back in a text that cannot carry them:
 * the refusal of their neighbours.
 */
export class Receipts {
  /** @param {string} url the list of the person's files, newest first; "" where there is none */
  constructor(url) {
    this.url = url;
    /** @type {Map<string, (file: StoredFile | null) => void>} */
    this.wanted = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /**
   * @param {string} uuid
   * @returns {Promise<StoredFile | null>} null when the list does not show it
   */
  find(uuid) {
    if (!this.url) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.wanted.set(uuid, resolve);
      this.timer ??= setTimeout(() => this.look(), GATHER_MS);
    });
  }

  async look() {
    this.timer = undefined;
    const wanted = this.wanted;
    this.wanted = new Map();
    /** @type {(() => void)[]} */
    const answers = [];
    let cursor = "";
    for (let page = 0; page < MOST_PAGES && wanted.size > 0; page += 1) {
      const found = await listFiles(this.url, cursor);
      for (const file of found.files) {
        const resolve = wanted.get(file.uuid);
        if (resolve && wanted.delete(file.uuid)) answers.push(() => resolve(file));
      }
      if (!found.next) break;
      cursor = found.next;
    }
    // Oldest first, the order in which they would have been told without a refused neighbour.
    for (const answer of answers.reverse()) answer();
    for (const resolve of wanted.values()) resolve(null);
  }
}

/**
 * One page of the person's files; an empty one where the server does not answer with a list.
 *
 * @param {string} url
 * @param {string} [cursor]
 * @returns {Promise<{files: StoredFile[], next: string | null, ok: boolean}>}
 */
export async function listFiles(url, cursor = "") {
  const address = new URL(url, document.baseURI);
  if (cursor) address.searchParams.set("cursor", cursor);
  try {
    const answer = await fetch(address, {
      headers: { Accept: "application/json", "X-Requested-With": "XMLHttpRequest" },
      credentials: "same-origin",
    });
    const body = answer.ok ? await answer.json() : null;
    if (Array.isArray(body?.files)) return { files: body.files, next: body.next ?? null, ok: true };
  } catch {
    // Answered below: no list is no list, whatever the reason.
  }
  return { files: [], next: null, ok: false };
}
