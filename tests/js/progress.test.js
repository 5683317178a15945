import assert from "node:assert/strict";
import { test } from "node:test";
import { Meter } from "../../static/js/meter.js";
import { Tally } from "../../static/js/tally.js";

const entryOf = (size) => ({ size, state: "waiting", progress: 0 });

function tallied(...sizes) {
  const tally = new Tally();
  const entries = sizes.map(entryOf);
  for (const entry of entries) tally.add(entry);
  const change = (index, given) => tally.change(entries[index], () => Object.assign(entries[index], given));
  const whole = () => Object.values(tally.shares()).reduce((sum, share) => sum + share, 0);
  return { tally, entries, change, whole };
}

test("counters are kept as files change", () => {
  const { tally, entries, change } = tallied(10, 20, 30);
  change(0, { state: "stored", progress: 1 });
  change(1, { state: "failed", progress: 0.5 });
  assert.deepEqual(tally.counts, {
    files: 3,
    stored: 1,
    refused: 0,
    failed: 1,
    cancelled: 0,
    deleted: 0,
    open: 1,
  });
  assert.deepEqual([...tally.failed], [entries[1]]);
  assert.deepEqual(tally.bytes, { total: 50, sent: 20, stored: 10 });
  tally.remove(entries[1]);
  assert.equal(tally.counts.files, 2);
  assert.equal(tally.failed.size, 0);
  change(0, { state: "deleted" });
  assert.equal(tally.counts.deleted, 1);
  assert.equal(tally.bytes.stored, 0);
});

test("neither bar nor bytes ever go back while files are sent, refused, lost and sent again", () => {
  const sizes = [0, 5, 1_000_000, 30_000_000, 200_000, 7_000_000];
  const { tally, change, whole } = tallied(...sizes);
  let [share, sent] = [0, 0];
  // A walk that meets every change a file can have, always the same.
  const steps = [
    (n) => change(n, { state: "sending" }),
    (n) => change(n, { progress: 0.4 }),
    (n) => change(n, { state: "waiting" }),
    (n) => change(n, { state: "sending", progress: 0.9 }),
    (n) => change(n, { state: "checking", progress: 1 }),
    (n) => change(n, { state: n % 3 === 0 ? "refused" : "failed" }),
    (n) => n % 3 !== 0 && change(n, { state: "waiting" }),
    (n) => n % 3 !== 0 && change(n, { state: "stored", progress: 1 }),
  ];
  for (const step of steps) {
    for (let n = 0; n < sizes.length; n += 1) {
      step(n);
      assert.ok(whole() >= share - 1e-9, `the bar fell from ${share} to ${whole()}`);
      assert.ok(tally.bytes.sent >= sent - 1e-6, `the bytes fell from ${sent} to ${tally.bytes.sent}`);
      [share, sent] = [whole(), tally.bytes.sent];
    }
  }
  assert.ok(Math.abs(share - 1) < 1e-9);
  assert.equal(tally.bytes.stored, 5 + 1_000_000 + 200_000 + 7_000_000 - 0);
});

test("a file that was refused unsent is no mountain in the bar", () => {
  const { tally, change } = tallied(5_000_000_000, 100_000);
  change(0, { state: "refused" });
  change(1, { state: "stored", progress: 1 });
  assert.ok(tally.shares().stored > 0.8);
});

test("speed is that of the last seconds, and unknown at first", () => {
  let now = 0;
  const meter = new Meter(() => now);
  assert.equal(meter.speed(), null);
  for (; now <= 10_000; now += 100) meter.add(100_000);
  assert.ok(Math.abs(meter.speed() - 1_000_000) < 50_000, String(meter.speed()));
  assert.ok(Math.abs(meter.left(20_000_000) - 20) < 1);
  // The line gets ten times slower; after the window nothing of the old speed is left.
  for (const end = now + 9000; now <= end; now += 100) meter.add(10_000);
  assert.ok(Math.abs(meter.speed() - 100_000) < 10_000, String(meter.speed()));
  now += 8100;
  assert.equal(meter.speed(), 0);
  assert.equal(meter.left(1), null);
  meter.reset();
  assert.equal(meter.speed(), null);
});
