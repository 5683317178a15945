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
  assert.deepEqual(packed([10, 90, 20]), [[90], [10, 20]]);
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

test("empty files are work too", () => {
  assert.deepEqual(packed([0, 0]), [[0, 0]]);
});
