import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, humanSize, relativeTime, splitName } from "../../static/js/format.js";
import { fill, outcome } from "../../static/js/messages.js";

test("sizes are said as the server says them", () => {
  // Every value was printed by the server's own Size; the ties (1.25, 2.75, 100.5) round to even there.
  const said = {
    0: "0 bytes",
    1: "1 byte",
    999: "999 bytes",
    1000: "1 KB",
    1250: "1.2 KB",
    1350: "1.4 KB",
    1500: "1.5 KB",
    2750: "2.8 KB",
    99949: "99.9 KB",
    99950: "100 KB",
    100500: "100 KB",
    101500: "102 KB",
    999499: "999 KB",
    999500: "1 MB",
    999999: "1 MB",
    10_000_000: "10 MB",
    12_100_000: "12.1 MB",
    5_000_000_000: "5 GB",
    1_234_567_890_123: "1.2 TB",
  };
  for (const [bytes, words] of Object.entries(said)) assert.equal(humanSize(Number(bytes)), words, bytes);
});

test("placeholders are filled, and a missing value is seen", () => {
  assert.equal(fill("{size} of {limit}", { size: "2 MB" }), "2 MB of {limit}");
  assert.equal(fill("{name}", { name: "$& {size}" }), "$& {size}");
});

test("a name is split so that its ending stays, and nothing of it is lost", () => {
  for (const name of [
    "short.txt",
    "a very long name of a picture.jpeg",
    "👩‍👩‍👧 family at the sea.png",
    "x".repeat(99),
  ]) {
    assert.equal(splitName(name).join(""), name);
  }
  assert.equal(splitName("a very long name of a picture.jpeg")[1], "ure.jpeg");
});

test("times are told as people tell them", () => {
  const now = new Date("2026-11-20T12:00:00Z");
  const ago = (seconds) => relativeTime(new Date(now.getTime() - seconds * 1000), now);
  assert.equal(ago(5), "just now");
  assert.equal(ago(50), "1 minute ago");
  assert.equal(ago(130), "2 minutes ago");
  assert.equal(ago(3700), "1 hour ago");
  assert.equal(ago(90_000), "yesterday");
  assert.equal(ago(-60), "just now", "a clock that is a little behind");
});

test("the outcome names only what happened", () => {
  assert.equal(outcome({ stored: 7, refused: 3, failed: 0, cancelled: 0 }), "7 stored, 3 refused");
  assert.equal(
    outcome({ stored: 1000, refused: 0, failed: 2, cancelled: 1 }),
    "1,000 stored, 2 failed, 1 cancelled",
  );
});

test("times to come are told as roughly as they are known", () => {
  const said = { 4: "4 s", 59: "59 s", 61: "1 minute", 200: "3 minutes", 3599: "1 hour", 9000: "3 hours" };
  for (const [seconds, words] of Object.entries(said)) assert.equal(duration(Number(seconds)), words);
});
