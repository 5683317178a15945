import assert from "node:assert/strict";
import { test } from "node:test";

import { Heights } from "../../static/js/heights.js";

/** @param {number[]} rows */
function heightsOf(rows) {
  const heights = new Heights(69);
  for (const row of rows) heights.push(row);
  return heights;
}

test("rows that nobody has measured are as high as is usual", () => {
  const heights = new Heights(69);
  for (let row = 0; row < 10_000; row += 1) heights.push();
  assert.equal(heights.before(0), 0);
  assert.equal(heights.before(10_000), 690_000);
  assert.equal(heights.at(69 * 1234), 1234);
  assert.equal(heights.at(69 * 1234 - 1), 1233);
});

test("sums and places agree with counting, whatever is pushed and set", () => {
  let seed = 7;
  const chance = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const rows = Array.from({ length: 300 }, () => 40 + Math.floor(chance() * 100));
  const heights = heightsOf(rows.slice(0, 200));
  for (let turn = 0; turn < 500; turn += 1) {
    if (heights.length < 300 && turn % 3 === 0) heights.push(rows[heights.length]);
    const index = Math.floor(chance() * heights.length);
    heights.set(index, (rows[index] = 40 + Math.floor(chance() * 100)));
  }
  let top = 0;
  rows.slice(0, heights.length).forEach((height, index) => {
    assert.equal(heights.before(index), top);
    assert.equal(heights.at(top), index);
    assert.equal(heights.at(top + height - 0.5), index);
    top += height;
  });
});

test("what lies above or below the list is its first or its last row", () => {
  const heights = heightsOf([50, 60, 70]);
  assert.equal(heights.at(-1000), 0);
  assert.equal(heights.at(1000), 2);
  assert.equal(new Heights(69).at(10), 0);
});
