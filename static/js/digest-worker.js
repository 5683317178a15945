/**
 * A module worker that hashes: `{id, file}` and `{id, slice}` are answered with `{id, sum}`; `{id}` alone stops it.
 */
import { sha256 } from "./digests.js";

/** Bytes of a file that are in memory at a time. */
const PIECE = 2_000_000;

const page = /** @type {any} */ (self);
/** @type {Set<number>} */
const wanted = new Set();
/** One file after the other: several at once would only wait for one another's disk. @type {Promise<unknown>} */
let work = Promise.resolve();

page.onmessage = (/** @type {MessageEvent<{id: number, file?: File, slice?: Blob}>} */ { data: { id, file, slice } }) => {
  if (!file && !slice) {
    wanted.delete(id);
    return;
  }
  wanted.add(id);
  const answer = async (/** @type {Promise<string | null>} */ sum) => {
    page.postMessage({ id, sum: await sum.catch(() => null) });
    wanted.delete(id);
  };
  if (slice) answer(sha256(slice));
  else if (file) work = work.then(() => answer(digestOf(file, id)));
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
  for (let at = 0; at < file.size; at += PIECE) {
    if (!wanted.has(id)) return null;
    hasher.update(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
  }
  return hasher.digest();
}
