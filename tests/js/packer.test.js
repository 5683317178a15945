import assert from "node:assert/strict";
import { test } from "node:test";
import { Packer } from "../../static/js/packer.js";

const LIMITS = { maxParts: 3, maxBytes: 100 };

/** All requests, as lists of sizes. */
function drain(packer) {
  const requests = [];
  packer.close();
  for (let batch = packer.take(); batch; batch = packer.take()) requests.push(batch.map(({ size }) => size));
  return requests;
}

function packed(sizes, limits = LIMITS) {
  const packer = new Packer(limits);
  for (const size of sizes) packer.add({ size });
  return drain(packer);
}

test("small files share a request up to the limit of parts", () => {
  assert.deepEqual(packed([1, 2, 3, 4, 5, 6, 7]), [[1, 2, 3], [4, 5, 6], [7]]);
});

test("a request never holds more bytes than the limit, unless one file alone does", () => {
  assert.deepEqual(packed([40, 40, 40]), [[40, 40], [40]]);
  assert.deepEqual(packed([500]), [[500]]);
});

test("a big file goes alone and does not hold up the small ones", () => {
  assert.deepEqual(packed([10, 90, 20]), [[10, 20], [90]]);
  assert.deepEqual(packed([90, 10, 20]), [[90], [10, 20]]);
});

test("a full request can leave before the rest is known, a part-filled one waits until it is closed", () => {
  const packer = new Packer(LIMITS);
  for (const size of [1, 2, 3, 4]) packer.add({ size });
  assert.equal(packer.take()?.length, 3);
  assert.equal(packer.take(), null);
  packer.close();
  assert.deepEqual(packer.take(), [{ size: 4 }]);
});

test("every file leaves exactly once, in any mixture", () => {
  const sizes = Array.from({ length: 2000 }, (_, index) => (index * 7919) % 130);
  const requests = packed(sizes, { maxParts: 50, maxBytes: 1000 });
  assert.deepEqual(
    requests.flat().sort((a, b) => a - b),
    [...sizes].sort((a, b) => a - b),
  );
  for (const request of requests) {
    assert.ok(request.length <= 50);
    assert.ok(request.length === 1 || request.reduce((sum, size) => sum + size, 0) <= 1000);
  }
});

test("one that is taken back does not leave", () => {
  const packer = new Packer(LIMITS);
  const items = [1, 2, 3, 4].map((size) => ({ size }));
  for (const item of items) packer.add(item);
  assert.equal(packer.remove(items[1]), true);
  assert.equal(packer.remove(items[3]), true);
  assert.equal(packer.remove(items[3]), false);
  assert.deepEqual(drain(packer), [[1, 3]]);
});

test("a request that was too large halves those that come, also of what waits already", () => {
  const packer = new Packer({ maxParts: 50, maxBytes: 16_000_000 });
  for (let n = 0; n < 12; n += 1) packer.add({ size: 4_000_000 });
  const refused = packer.take();
  assert.equal(refused.length, 4);
  packer.halve(refused, false);
  for (const item of refused) packer.add(item);
  assert.deepEqual(drain(packer), Array(6).fill([4_000_000, 4_000_000]));
});

test("it halves the number where the number was too large, and ends at one", () => {
  const packer = new Packer({ maxParts: 50, maxBytes: 1e9 });
  const items = Array.from({ length: 5 }, () => ({ size: 1 }));
  for (const left of [2, 1, 1]) {
    packer.halve(items.slice(0, Math.min(items.length, packer.maxParts)), true);
    assert.equal(packer.maxParts, left);
  }
});

test("what comes after the end was told waits for the next end, or for a full request", () => {
  const packer = new Packer(LIMITS);
  packer.add({ size: 1 });
  packer.close();
  packer.add({ size: 2 });
  assert.equal(packer.take(), null);
  packer.close();
  assert.deepEqual(packer.take(), [{ size: 1 }, { size: 2 }]);
});

test("ten thousand files are packed in a moment", () => {
  const packer = new Packer({ maxParts: 50, maxBytes: 16_000_000 });
  const began = performance.now();
  for (let n = 0; n < 10_000; n += 1) packer.add({ size: n % 9 === 0 ? 9_000_000 : 1000 });
  let files = 0;
  for (const batch of takeAll(packer)) files += batch.length;
  assert.equal(files, 10_000);
  assert.ok(performance.now() - began < 5000, "it walks the list for every request");
});

function* takeAll(packer) {
  packer.close();
  for (let batch = packer.take(); batch; batch = packer.take()) yield batch;
}

test("empty files are work too", () => {
  assert.deepEqual(packed([0, 0]), [[0, 0]]);
});
