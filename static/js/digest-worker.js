/**
 * A module worker that hashes files: `{id, file}` is answered with `{id, sum}`, `{id}` alone stops it.
 */

const page = /** @type {any} */ (self);
/** @type {Set<number>} */
const wanted = new Set();
/** One file after the other: several at once would only wait for one another's disk. @type {Promise<unknown>} */
let work = Promise.resolve();

page.onmessage = (/** @type {MessageEvent<{id: number, file?: File}>} */ { data: { id, file } }) => {
  if (!file) {
    wanted.delete(id);
    return;
  }
  wanted.add(id);
  work = work.then(async () => {
    const sum = await digestOf(file, id).catch(() => null);
    wanted.delete(id);
    page.postMessage({ id, sum });
  });
};

/**
 * @param {File} file
 * @param {number} id
 * @returns {Promise<string | null>} null where nobody wants it any more
 */
async function digestOf(file, id) {
  await import(new URL("../vendor/hash-wasm/sha256.umd.min.js", import.meta.url).href);
  const hasher = await page.hashwasm.createSHA256();
  hasher.init();
  const reader = file.stream().getReader();
  for (let round = await reader.read(); !round.done; round = await reader.read()) {
    if (!wanted.has(id)) return null;
    hasher.update(round.value);
  }
  return hasher.digest();
}
