import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Transport } from "../../static/js/transport.js";

const MINUTE = 60_000;

/** The line: the test says what moves on it, and when. The clock is the test's too. */
class Line {
  static last;
  upload = {};
  responseURL = "";
  responseText = "";
  aborted = false;
  constructor() {
    Line.last = this;
  }
  open() {}
  setRequestHeader() {}
  getResponseHeader() {
    return null;
  }
  send() {}
  abort() {
    this.aborted = true;
    this.onabort();
  }
  moves(loaded) {
    this.upload.onprogress({ loaded, total: 100 });
  }
  sent() {
    this.upload.onload();
  }
  answers(status) {
    this.status = status;
    this.onload();
  }
}

const page = { XMLHttpRequest: Line, document: { baseURI: "http://here/" }, location: { origin: "http://here" } };

beforeEach(() => {
  Object.assign(globalThis, page);
  mock.timers.enable({ apis: ["setTimeout"] });
});

afterEach(() => {
  mock.timers.reset();
  for (const name of Object.keys(page)) delete globalThis[name];
});

/** A request under way; `told` is what came back of it, once something did. */
async function begin(hooks) {
  const token = { header: "X-CSRFToken", value: "t", fresh: async () => "t" };
  const transport = new Transport({ url: "/upload", token });
  const request = { line: null, told: null };
  request.done = transport.post(() => null, hooks).then((answer) => (request.told = answer.kind));
  await settled();
  request.line = Line.last;
  return request;
}

/** Lets what was promised come true; no time passes. */
async function settled() {
  for (let round = 0; round < 10; round += 1) await Promise.resolve();
}

async function passes(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

test("a line on which nothing ever moved is given up after a minute, and let go of", async () => {
  const request = await begin();
  await passes(MINUTE - 1);
  assert.deepEqual([request.told, request.line.aborted], [null, false]);
  await passes(1);
  assert.deepEqual([request.told, request.line.aborted], ["timeout", true]);
});

test("a slow line is never given up while bytes move, however long it takes", async () => {
  const request = await begin();
  for (let sent = 1; sent <= 100; sent += 1) {
    await passes(MINUTE - 1);
    request.line.moves(sent);
  }
  assert.equal(request.told, null);
  await passes(MINUTE);
  assert.equal(request.told, "timeout");
});

test("the server has five minutes to answer once it has every byte, not one", async () => {
  const request = await begin();
  request.line.moves(100);
  request.line.sent();
  await passes(5 * MINUTE - 1);
  assert.equal(request.told, null);
  await passes(1);
  assert.deepEqual([request.told, request.line.aborted], ["timeout", true]);
});

test("an answer that comes late, but in time, is the answer, and no clock runs on", async () => {
  const request = await begin();
  request.line.sent();
  await passes(5 * MINUTE - 1);
  request.line.answers(201);
  await settled();
  await passes(10 * MINUTE);
  assert.deepEqual([request.told, request.line.aborted], ["answer", false]);
});

test("what a person has cancelled is no timeout, then or later", async () => {
  const controller = new AbortController();
  const request = await begin({ signal: controller.signal });
  request.line.moves(1);
  controller.abort();
  await settled();
  await passes(10 * MINUTE);
  assert.equal(request.told, "aborted");
});
