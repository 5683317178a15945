import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Line } from "../../static/js/line.js";
import { Backoff, retryAfter } from "../../static/js/patience.js";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["Date", "setTimeout"], now: 0 });
});

/** A line to a server that answers as `answers` says, one after the other, and "ok" at last. */
function lineTo(...answers) {
  const seen = { asked: 0, freed: 0, online: true };
  const line = new Line({
    ask: async () => {
      seen.asked += 1;
      return answers.shift() ?? "ok";
    },
    changed() {},
    freed: () => (seen.freed += 1),
    online: () => seen.online,
    random: () => 1,
  });
  return { line, seen };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
async function later(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

test("a wait is told in seconds or as a date, and nonsense is none", () => {
  assert.equal(retryAfter("20"), 20_000);
  assert.equal(retryAfter("Thu, 01 Jan 1970 00:01:00 GMT", 0), 60_000);
  assert.equal(retryAfter("soon"), null);
  assert.equal(retryAfter(""), null);
  assert.equal(retryAfter("99999999"), 3_600_000);
});

test("a wait that is over already is none: a busy server would be asked at once, again and again", () => {
  assert.equal(retryAfter("0"), null);
  assert.equal(retryAfter("Thu, 01 Jan 1970 00:00:00 GMT", 5000), null);
});

test("pauses grow up to a limit, and no two machines keep the same time", () => {
  const least = new Backoff(() => 0);
  const most = new Backoff(() => 1);
  const pauses = (backoff) => Array.from({ length: 7 }, () => backoff.next());
  assert.deepEqual(pauses(most), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.deepEqual(pauses(least).slice(0, 3), [500, 1000, 2000]);
  most.reset();
  assert.equal(most.next(), 1000);
});

test("a busy server is left alone as long as it says, by the longest of several answers", async () => {
  const { line, seen } = lineTo();
  line.busy(20_000);
  line.busy(5000);
  assert.equal(line.reason, "busy");
  assert.equal(line.until, 20_000);
  await later(19_999);
  assert.equal(line.open, false);
  await later(1);
  assert.equal(line.open, true);
  assert.equal(seen.asked, 0, "the time was agreed; there is nothing to ask");
});

test("a busy server that does not say how long is asked in growing pauses, once for several answers", async () => {
  const { line } = lineTo();
  const pauses = [];
  for (let round = 0; round < 4; round += 1) {
    line.busy(null);
    line.busy(null);
    pauses.push(line.until - Date.now());
    await later(pauses.at(-1));
    assert.equal(line.open, true);
  }
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000]);
});

test("a server that is gone is asked in growing pauses, and what waits goes on when it is there", async () => {
  const { line, seen } = lineTo("unreachable", "unreachable", "unreachable");
  assert.equal(await line.lost(true), "unreachable");
  assert.equal(line.reason, "broken");
  await later(1000);
  assert.equal(seen.asked, 2);
  await later(1999);
  assert.equal(seen.asked, 2);
  await later(1);
  assert.equal(seen.asked, 3);
  await later(4000);
  assert.equal(line.open, true);
  assert.equal(seen.freed, 1);
});

test("several requests that are lost together ask once and make one pause", async () => {
  const { line, seen } = lineTo("unreachable");
  const lost = [line.lost(true), line.lost(true)];
  assert.deepEqual(await Promise.all(lost), ["unreachable", "unreachable"]);
  assert.equal(await line.lost(true), "unreachable");
  assert.equal(seen.asked, 1);
  assert.equal(line.until, 1000);
});

test("where the network is off it says so, and still tries: the server may be on this machine", async () => {
  const { line, seen } = lineTo("unreachable");
  seen.online = false;
  await line.lost(true);
  assert.equal(line.reason, "offline");
  await later(1000);
  assert.equal(line.open, true);
});

test("a server that is there after all gets a pause, one that answered for another reason none", async () => {
  const { line } = lineTo();
  assert.equal(await line.lost(true), "ok");
  assert.equal(line.reason, "broken");
  await later(1000);
  assert.equal(line.open, true);
  assert.equal(await line.lost(false), "ok");
  assert.equal(line.open, true);
});

test("who is signed out is asked now and then, and when somebody says so", async () => {
  const { line, seen } = lineTo("signed_out", "signed_out");
  assert.equal(await line.lost(false), "signed_out");
  assert.equal(line.reason, "signed_out");
  await later(15_000);
  assert.equal(seen.asked, 2);
  line.tryNow();
  await settled();
  assert.equal(line.open, true);
});

test("a full disk waits for a person", async () => {
  const { line } = lineTo();
  line.full();
  line.busy(1000);
  await later(1e7);
  assert.equal(line.reason, "disk_full");
  line.tryNow();
  assert.equal(line.open, true);
});

test("a pause of the person's holds whatever the server does, and frees nothing it did not hold", async () => {
  const { line, seen } = lineTo();
  line.pause();
  line.busy(1000);
  await later(1000);
  assert.equal(line.open, false);
  assert.equal(seen.freed, 0);
  line.resume();
  assert.equal(seen.freed, 1);
  line.busy(1000);
  line.pause();
  line.resume();
  assert.equal(line.open, false, "the server is still busy");
});

test("who waits for the line goes on with it", async () => {
  const { line } = lineTo();
  line.busy(1000);
  let went = false;
  line.whenOpen().then(() => (went = true));
  await settled();
  assert.equal(went, false);
  await later(1000);
  assert.equal(went, true);
});

test("what came through makes the next pause short again", async () => {
  const { line } = lineTo();
  for (let n = 0; n < 4; n += 1) {
    line.busy(null);
    line.free();
  }
  line.went();
  line.busy(null);
  assert.equal(line.until - Date.now(), 1000);
});
