import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ChunkedFile, missingChunks } from "../../static/js/chunkedfile.js";
import { Digests, sha256 } from "../../static/js/digests.js";

const settled = () => new Promise((resolve) => setImmediate(resolve));
const KEPT = { kind: "answer", status: 202 };

/** A file of ten bytes in chunks of three, and what of it has left. */
function chunked({ sum = async () => "s", digest = async () => "whole" } = {}) {
  const sent = [];
  const seen = { moved: 0, sent: 0, ready: 0 };
  const file = new ChunkedFile({ size: 10, file: new Blob(["0123456789"]) }, 3, {
    digest,
    sum,
    post: (chunk, sums, hooks) =>
      new Promise((resolve) => {
        hooks.signal.addEventListener("abort", () => resolve({ kind: "aborted" }));
        sent.push({ ...chunk, sums, hooks, answer: resolve });
      }),
    report: {
      advanced() {},
      moved: (bytes) => (seen.moved += bytes),
      sent: () => (seen.sent += 1),
      ready: () => (seen.ready += 1),
    },
  });
  return { file, sent, seen };
}

async function send(file, sent) {
  const done = file.send();
  await settled();
  const { index, answer } = sent.at(-1);
  answer(KEPT);
  await done;
  file.keep(index);
}

test("what is missing are the chunks of which not every byte is there", () => {
  const missing = (ranges, size = 10, chunk = 3) => missingChunks(size, chunk, ranges);
  assert.deepEqual(missing([]), [0, 1, 2, 3]);
  assert.deepEqual(missing([[0, 10]]), []);
  assert.deepEqual(missing([[0, 3]]), [1, 2, 3]);
  assert.deepEqual(missing([[3, 9]]), [0, 3]);
  assert.deepEqual(missing([[0, 3], [9, 10]]), [1, 2]);
  // Begun by another client, with chunks of another size.
  assert.deepEqual(missing([[0, 4]]), [1, 2, 3]);
  assert.deepEqual(missing([[1, 8]]), [0, 2, 3]);
  assert.deepEqual(missing([[0, 5_000_000_000]], 5_000_000_321, 16_777_216), [298]);
  assert.deepEqual(missing([], 0), []);
});

test("the first chunk goes alone, the others beside one another, and the last when all are there", async () => {
  const { file, sent } = chunked();
  assert.equal(file.next(), 0);
  const first = file.send();
  await settled();
  assert.equal(file.next(), null, "nobody knows yet whether the file is taken");
  sent[0].answer(KEPT);
  file.keep((await first).index);
  const others = [file.send(), file.send()];
  await settled();
  assert.deepEqual(sent.map(({ index }) => index), [0, 1, 2]);
  assert.equal(file.next(), null, "the last brings the digest of a file that is there");
  sent[1].answer(KEPT);
  sent[2].answer(KEPT);
  for (const { index } of await Promise.all(others)) file.keep(index);
  assert.equal(file.next(), 3);
  await send(file, sent);
  assert.deepEqual([sent[3].start, sent[3].end], [9, 10]);
  assert.deepEqual(sent[3].sums, { chunk: "s", file: "whole" });
  assert.equal(file.next(), null);
  assert.equal(file.fraction, 1);
});

test("where another request settles what becomes of the file, all go beside one another", async () => {
  const { file, sent } = chunked({ digest: () => new Promise(() => {}) });
  file.unordered = true;
  const all = [];
  while (file.next() !== null) all.push(file.send());
  await settled();
  assert.deepEqual(sent.map(({ index }) => index), [0, 1, 2, 3]);
  for (const { answer } of sent) answer(KEPT);
  for (const { index } of await Promise.all(all)) file.keep(index);
  assert.equal(file.missing.size, 0);
});

test("the last chunk waits for the digest of the whole file", async () => {
  let tell;
  const { file, seen } = chunked({ digest: () => new Promise((resolve) => (tell = resolve)) });
  file.learn({ ranges: [[0, 9]] });
  assert.equal(file.next(), null);
  tell(null);
  await settled();
  assert.equal(seen.ready, 1);
  assert.equal(file.next(), 3, "where nobody can tell it goes without");
});

test("what the server has is not sent again, whatever the size of its chunks", async () => {
  const { file, sent } = chunked();
  file.learn({ ranges: [[0, 4], [8, 10]], chunk_size: 4 });
  assert.equal(file.resumed, true);
  assert.equal(file.fraction, 0.6);
  await file.hash();
  await send(file, sent);
  assert.deepEqual([sent[0].index, sent[0].start, sent[0].end], [1, 4, 8]);
  assert.equal(file.next(), null);
});

test("nothing of a file leaves before its digest has told whether it is the right one, where that is in doubt", async () => {
  const { file } = chunked();
  file.entry.doubted = true;
  file.learn({ ranges: [[3, 6]] });
  assert.equal(file.next(), null);
  await settled();
  assert.equal(file.next(), 0);
});

test("what is stopped on its way is missing again, and its answer counts no more", async () => {
  const { file, sent, seen } = chunked();
  file.learn({ ranges: [[0, 3]] });
  const under = [file.send(), file.send()];
  await settled();
  sent[0].hooks.progress(50, 100);
  assert.equal(file.fraction, 0.45);
  file.stop();
  assert.deepEqual((await Promise.all(under)).map(({ answer }) => answer.kind), ["aborted", "aborted"]);
  sent[0].hooks.progress(90, 100);
  assert.equal(file.fraction, 0.3);
  assert.equal(seen.moved, 1.5);
  assert.equal(file.next(), 1);
});

test("one or two chunks go without digests, unless an earlier page has sent a part of them", async () => {
  const short = () => {
    const { file, sent } = chunked();
    file.learn({ chunk_size: 5 });
    return { file, sent };
  };
  const fresh = short();
  await send(fresh.file, fresh.sent);
  assert.deepEqual(fresh.sent[0].sums, { chunk: null, file: null });
  const resumed = short();
  resumed.file.learn({ ranges: [[0, 5]] });
  await resumed.file.hash();
  await send(resumed.file, resumed.sent);
  assert.deepEqual(resumed.sent[0].sums, { chunk: "s", file: "whole" });
});

test("a chunk that is refused for its way goes again so often, each for itself", () => {
  const { file } = chunked();
  assert.deepEqual([1, 2, 3].map(() => file.mayRepeat(1, 3)), [true, true, false]);
  assert.equal(file.mayRepeat(2, 3), true);
});

function worker() {
  const sent = [];
  return { sent, postMessage: (message) => sent.push(message), terminate: () => sent.push("gone") };
}

test("the browser's own digest is SHA-256", async () => {
  const expected = (text) => createHash("sha256").update(text).digest("hex");
  assert.equal(await sha256(new Blob(["abc"])), expected("abc"));
  assert.equal(await sha256(new Blob([])), expected(""));
});

test("one worker hashes for all, and is let go when nobody has asked for a while", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const hired = [];
  const digests = new Digests(() => hired[hired.push(worker()) - 1]);
  const { signal } = new AbortController();
  const stopped = new AbortController();
  const [file, slice] = [{ size: 5e9 }, new Blob(["abc"])];
  const sums = [digests.ofFile(file, signal), digests.ofChunk(slice, signal), digests.ofFile(file, stopped.signal)];
  stopped.abort();
  assert.equal(await sums[2], null);
  assert.deepEqual(hired[0].sent, [{ id: 1, file }, { id: 2, slice }, { id: 3, file }, { id: 3 }]);
  hired[0].onmessage({ data: { id: 2, sum: "def" } });
  hired[0].onmessage({ data: { id: 1, sum: "abc" } });
  assert.deepEqual(await Promise.all(sums), ["abc", "def", null]);
  t.mock.timers.tick(4000);
  const last = digests.ofChunk(slice, signal);
  t.mock.timers.tick(60_000);
  assert.equal(hired[0].sent.at(-1).id, 4, "it was let go while somebody waited");
  hired[0].onmessage({ data: { id: 4, sum: "123" } });
  assert.equal(await last, "123");
  t.mock.timers.tick(60_000);
  assert.equal(hired[0].sent.at(-1), "gone");
  digests.ofChunk(slice, signal);
  assert.equal(hired.length, 2);
});

test("where the page may have no worker, files go without digests", async () => {
  const { signal } = new AbortController();
  const forbidden = new Digests(() => {
    throw new DOMException("forbidden", "SecurityError");
  });
  assert.equal(await forbidden.ofFile({ size: 5e9 }, signal), null);
  let hired = 0;
  const broken = new Digests(() => {
    hired += 1;
    return worker();
  });
  for (let times = 0; times < 3; times += 1) {
    const sum = broken.ofFile({ size: 5e9 }, signal);
    broken.worker.onerror();
    assert.equal(await sum, null);
  }
  assert.equal(await broken.ofFile({ size: 5e9 }, signal), null);
  assert.equal(hired, 3);
  clearTimeout(broken.idle);
});

test("a worker that could not be fetched is fetched again, and what it tells lets its failures be forgotten", async () => {
  const { signal } = new AbortController();
  const digests = new Digests(worker);
  for (let round = 0; round < 4; round += 1) {
    const lost = digests.ofChunk(new Blob(["abc"]), signal);
    digests.worker.onerror();
    assert.equal(await lost, null);
    const sum = digests.ofChunk(new Blob(["abc"]), signal);
    digests.worker.onmessage({ data: { id: digests.asked, sum: "abc" } });
    assert.equal(await sum, "abc");
  }
  clearTimeout(digests.idle);
});
