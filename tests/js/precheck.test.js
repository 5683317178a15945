import assert from "node:assert/strict";
import { test } from "node:test";
import { Precheck } from "../../static/js/precheck.js";

const settled = () => new Promise((resolve) => setImmediate(resolve));

function checked({ few = 50, most, answer = () => ({}) } = {}) {
  const seen = { asked: [], told: [], passed: 0 };
  const precheck = new Precheck({
    few,
    most,
    ask: async (entries) => {
      seen.asked.push(entries.map(({ uuid }) => uuid));
      await settled();
      return answer(entries);
    },
    tell: (entry, state) => seen.told.push([entry.uuid, state?.state]),
    passed: () => (seen.passed += 1),
  });
  return { precheck, seen };
}

const entry = (uuid, size = 10, left = false) => ({ uuid: String(uuid), size, left });
async function finish(precheck) {
  precheck.close();
  for (let n = 0; n < 50; n += 1) await settled();
}

test("a few small files are not asked about: their request is the question", async () => {
  const { precheck, seen } = checked();
  for (let n = 0; n < 50; n += 1) precheck.add(entry(n));
  assert.deepEqual(seen.told, [], "they wait until nothing more comes");
  await finish(precheck);
  assert.deepEqual(seen.asked, []);
  assert.equal(seen.told.length, 50);
  assert.equal(seen.passed, 1);
});

test("more than one request holds are asked about in slices, each before anything of it goes on", async () => {
  const { precheck, seen } = checked();
  for (let n = 0; n < 2500; n += 1) precheck.add(entry(n));
  assert.deepEqual(seen.told, []);
  await finish(precheck);
  assert.deepEqual(
    seen.asked.map(({ length }) => length),
    [51, 1000, 1000, 449],
  );
  assert.equal(seen.told.length, 2500);
});

test("what is large, or may be there already, is asked about alone", async () => {
  for (const one of [entry("large", 2_000_000), entry("again", 1, true)]) {
    const { precheck, seen } = checked({ answer: () => ({ [one.uuid]: { state: "stored" } }) });
    precheck.add(one);
    await finish(precheck);
    assert.deepEqual(seen.asked, [[one.uuid]]);
    assert.deepEqual(seen.told, [[one.uuid, "stored"]]);
  }
});

test("what is taken out while the question is under way hears nothing of it", async () => {
  const { precheck, seen } = checked({ few: 1 });
  const [one, two, three] = [entry(1), entry(2), entry(3)];
  precheck.add(one);
  precheck.add(two);
  precheck.remove(two);
  precheck.add(three);
  await finish(precheck);
  assert.deepEqual(seen.told, [
    ["1", undefined],
    ["3", undefined],
  ]);
});

test("no question names more files than one drop may have", async () => {
  const { precheck, seen } = checked({ few: 2, most: 3 });
  for (let n = 0; n < 7; n += 1) precheck.add(entry(n));
  await finish(precheck);
  assert.ok(seen.asked.every(({ length }) => length <= 3));
  assert.equal(seen.told.length, 7);
});
