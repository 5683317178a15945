import assert from "node:assert/strict";
import { test } from "node:test";
import { Memory, uuidFrom } from "../../static/js/memory.js";

class Store {
  constructor() {
    this.items = new Map();
  }
  getItem = (key) => this.items.get(key) ?? null;
  setItem = (key, value) => this.items.set(key, value);
  removeItem = (key) => this.items.delete(key);
}

test("the same file has the same uuid after a reload, until its drop is done", () => {
  const store = new Store();
  const first = new Memory("zone", store);
  const uuid = first.uuidOf("a.txt");
  assert.match(uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.notEqual(first.uuidOf("b.txt"), uuid);
  assert.equal(first.resumed, false);

  const second = new Memory("zone", store);
  assert.equal(second.uuidOf("a.txt"), uuid);
  assert.equal(second.resumed, true);
  second.forget();
  assert.equal(store.items.size, 0);
  assert.notEqual(second.uuidOf("a.txt"), uuid);
  assert.equal(second.resumed, false);
});

test("a file that begins anew has other uuids, and the same ones after a reload", () => {
  const store = new Store();
  const [first, second] = [new Memory("zone", store), new Memory("zone", store)];
  const uuids = [first.uuidOf("a.txt"), first.uuidOf("a.txt"), first.uuidOf("a.txt"), first.uuidOf("b.txt")];
  assert.equal(new Set(uuids).size, 4);
  assert.deepEqual([1, 2, 3].map(() => second.uuidOf("a.txt")).concat(second.uuidOf("b.txt")), uuids);
});

test("a uuid under which nothing was sent is given once more", () => {
  const memory = new Memory("zone", new Store());
  const uuid = memory.uuidOf("a.txt");
  assert.ok(memory.knows(uuid));
  memory.release(uuid);
  assert.equal(memory.uuidOf("a.txt"), uuid);
  memory.forget();
  assert.ok(!memory.knows(uuid));
});

test("another zone or another person knows nothing of it", () => {
  const store = new Store();
  const uuid = new Memory("zone one", store).uuidOf("a.txt");
  const stranger = new Memory("zone two", store);
  assert.notEqual(stranger.uuidOf("a.txt"), uuid);
  assert.equal(stranger.resumed, false);
});

test("nothing about files is written down", () => {
  const store = new Store();
  const memory = new Memory("zone", store);
  for (let n = 0; n < 1000; n += 1) memory.uuidOf(`secret plans ${n}.txt`);
  const [text] = store.items.values();
  assert.ok(text.length < 100 && !text.includes("plans"));
});

test("after a day it is forgotten, and what is going on is no day old", () => {
  const store = new Store();
  let clock = 0;
  const now = () => clock;
  const memory = new Memory("zone", store, now);
  const uuid = memory.uuidOf("a.txt");
  clock += 80_000_000;
  memory.uuidOf("b.txt");
  clock += 80_000_000;
  assert.equal(new Memory("zone", store, now).uuidOf("a.txt"), uuid);
  clock += 90_000_000;
  assert.notEqual(new Memory("zone", store, now).uuidOf("a.txt"), uuid);
});

test("what another page is done with is kept where this one is not", () => {
  const store = new Store();
  const one = new Memory("zone", store);
  const two = new Memory("zone", store);
  const uuid = one.uuidOf("a.txt");
  two.uuidOf("b.txt");
  two.forget();
  one.keep();
  two.keep();
  assert.equal(new Memory("zone", store).uuidOf("a.txt"), uuid);
  two.forget();
  assert.equal(store.items.size, 1, "it belongs to the other one");
});

test("a browser that keeps nothing, or something strange, is none the worse", () => {
  const full = { ...new Store(), getItem: () => "{", setItem() { throw new DOMException("full", "QuotaExceededError"); } };
  for (const store of [null, full]) {
    const memory = new Memory("zone", store);
    assert.notEqual(memory.uuidOf("a"), memory.uuidOf("b"));
    memory.forget();
  }
});

test("names that differ little have uuids that differ", () => {
  const seen = new Set();
  for (let n = 0; n < 20_000; n += 1) seen.add(uuidFrom(`secret["","IMG_${n}.JPG",${n % 7},17]`));
  assert.equal(seen.size, 20_000);
  const parts = [...seen].map((uuid) => uuid.replaceAll("-", ""));
  for (let at = 0; at < 32; at += 8) {
    assert.ok(new Set(parts.map((digits) => digits.slice(at, at + 8))).size > 19_900, `digits ${at}`);
  }
});

test("what is just being deleted has another uuid after a reload, until the deletion is answered", () => {
  const store = new Store();
  const first = new Memory("zone", store);
  const uuids = [first.uuidOf("a.txt"), first.uuidOf("b.txt")];
  for (const uuid of uuids) first.deletes(uuid);
  first.deleted(uuids[1]);

  const second = new Memory("zone", store);
  assert.deepEqual(second.left(), [uuids[0]]);
  second.deletes(uuids[0]);
  assert.notEqual(second.uuidOf("a.txt"), uuids[0]);
  assert.equal(second.uuidOf("b.txt"), uuids[1]);
  assert.deepEqual(new Memory("zone", store).left(), [uuids[0]]);
  second.deleted(uuids[0]);
  assert.deepEqual(new Memory("zone", store).left(), []);
});

test("deletions of long ago, and what somebody else has written, are no deletions", () => {
  const store = new Store();
  let now = 1e12;
  const first = new Memory("zone", store, () => now);
  first.deletes(first.uuidOf("a.txt"));
  now += 86_400_000;
  assert.deepEqual(new Memory("zone", store, () => now).left(), []);
  store.setItem("dropzone_app:zone", JSON.stringify({ secret: "s", at: now, deleting: "x" }));
  assert.deepEqual(new Memory("zone", store, () => now).left(), []);
});
