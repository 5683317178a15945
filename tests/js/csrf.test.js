import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { CsrfToken } from "../../static/js/csrf.js";

let asked = 0;
beforeEach(() => {
  asked = 0;
  mock.timers.reset();
  globalThis.fetch = async () => {
    asked += 1;
    return { ok: true, status: 200, json: async () => ({ csrf_token: `new ${asked}` }) };
  };
});

test("a young token is used as it is", async () => {
  const token = new CsrfToken({ token: "first", url: "/csrf-token", lifetime: 3600 });
  assert.equal(await token.fresh(), "first");
  assert.equal(asked, 0);
});

test("past half its life a token is renewed, and by the clock: a sleeping machine runs no timers", async () => {
  mock.timers.enable({ apis: ["Date"], now: 0 });
  const token = new CsrfToken({ token: "first", url: "/csrf-token", lifetime: 3600 });
  mock.timers.setTime(1_801_000);
  assert.equal(await token.fresh(), "new 1");
  assert.equal(await token.fresh(), "new 1");
});

test("a token without a lifetime never grows old", async () => {
  mock.timers.enable({ apis: ["Date"], now: 0 });
  const token = new CsrfToken({ token: "first", url: "/csrf-token", lifetime: null });
  mock.timers.setTime(1e12);
  assert.equal(await token.fresh(), "first");
});

test("many who ask at once cause one request", async () => {
  const token = new CsrfToken({ token: "", url: "/csrf-token" });
  assert.deepEqual(await Promise.all([token.fresh(), token.fresh(), token.fresh()]), [
    "new 1",
    "new 1",
    "new 1",
  ]);
  assert.equal(asked, 1);
});

test("where no new token is to be had the old one stays, and it is told why", async () => {
  const page = async () => {
    throw new SyntaxError("<!doctype html>");
  };
  for (const [reached, broken] of [
    ["unreachable", async () => Promise.reject(new TypeError("offline"))],
    ["unreachable", async () => ({ ok: false, status: 502 })],
    ["signed_out", async () => ({ ok: false, status: 401 })],
    ["signed_out", async () => ({ ok: true, status: 200, json: page })],
    ["ok", async () => ({ ok: false, status: 404 })],
  ]) {
    globalThis.fetch = broken;
    const token = new CsrfToken({ token: "old", url: "/csrf-token" });
    assert.equal(await token.renew(), reached);
    assert.equal(token.value, "old");
  }
});
