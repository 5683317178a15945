import assert from "node:assert/strict";
import { test } from "node:test";
import { courseOf, verdicts } from "../../static/js/verdicts.js";

const PARTS = ["a.png", "b.png", "c.png"].map((name, index) => ({
  key: `file[${index}]`,
  uuid: `u${index}`,
  name,
}));

const answer = (given) => ({
  kind: "answer",
  status: 201,
  text: "",
  type: "text/plain; charset=utf-8",
  code: "",
  codes: "",
  perPart: false,
  redirected: false,
  ...given,
});
const json = (body, given = {}) => answer({ type: "application/json", text: JSON.stringify(body), ...given });
const states = (given, parts = PARTS) => verdicts(given, parts).map(({ state }) => state);
const perPart = (lines, given = {}) =>
  answer({ status: 422, perPart: true, text: lines.join("\n") + "\n", ...given });

test("stored is only what the answer names by its uuid", () => {
  const files = [{ uuid: "u2" }, { uuid: "u0" }];
  const found = verdicts(json({ success: true, files }), PARTS);
  assert.deepEqual(
    found.map(({ state }) => state),
    ["stored", "failed", "stored"],
  );
  assert.deepEqual(found[0].file, { uuid: "u0" });
  assert.match(found[1].sentence, /did not confirm/);
});

test("nothing else with a 2xx is ever stored", () => {
  const good = { success: true, files: PARTS.map(({ uuid }) => ({ uuid })) };
  for (const given of [
    answer({ status: 200 }),
    answer({ status: 204 }),
    answer({ status: 200, type: "text/html", text: JSON.stringify(good) }),
    json({ error: "no" }, { status: 200 }),
    json({ success: "yes", files: good.files }),
    json({ success: true }),
    json(null),
    json([]),
    json(good, { redirected: true }),
    json(good, { text: JSON.stringify(good).slice(0, -3) }),
  ]) {
    assert.deepEqual(states(given), ["failed", "failed", "failed"], JSON.stringify(given));
  }
});

test("in a per-part text a part whose key opens no line was stored", () => {
  const found = verdicts(
    perPart(['file[1] "b.png": the file is 12.1 MB; the limit is 10 MB.', "The other 2 files were stored."]),
    PARTS,
  );
  assert.deepEqual(found, [
    { state: "stored" },
    { state: "refused", sentence: "The file is 12.1 MB; the limit is 10 MB." },
    { state: "stored" },
  ]);
});

test("keys are told apart to the last digit", () => {
  const parts = Array.from({ length: 12 }, (_, index) => ({
    key: `file[${index}]`,
    uuid: `u${index}`,
    name: "n",
  }));
  const found = states(perPart(['file[11] "n": no.', "The other 11 files were stored."]), parts);
  assert.equal(found.filter((state) => state === "stored").length, 11);
  assert.equal(found[11], "refused");
  assert.equal(found[1], "stored");
});

test("names with quotes and colons, and shortened ones, leave the sentence whole", () => {
  const parts = [
    { key: "file[0]", uuid: "x", name: 'a": b.png' },
    { key: "file[1]", uuid: "y", name: "l".repeat(90) },
  ];
  const found = verdicts(
    perPart([
      'file[0] "a": b.png": too "big": no.',
      `file[1] "${"l".repeat(59)}…": no.`,
      "No file was stored.",
    ]),
    parts,
  );
  assert.equal(found[0].sentence, 'Too "big": no.');
  assert.equal(found[1].sentence, "No.");
});

test("the closing line may be in any language, but without it the text was cut off", () => {
  const line = 'file[0] "a.png": nein.';
  assert.deepEqual(states(perPart([line, "Die anderen 2 Dateien sind gespeichert."])), [
    "refused",
    "stored",
    "stored",
  ]);
  assert.deepEqual(states(perPart([line])), ["failed", "failed", "failed"]);
});

test("without the header a text refuses the whole request, whatever it looks like", () => {
  const given = perPart(['file[1] "b.png": no.', "The other 2 files were stored."], { perPart: false });
  assert.deepEqual(states(given), ["refused", "refused", "refused"]);
});

test("a part alone in its request was refused by any text, also with the header", () => {
  const [found] = verdicts(perPart(["PNG only!"]), PARTS.slice(0, 1));
  assert.deepEqual(found, { state: "refused", sentence: "PNG only!" });
});

test("what time or a sign-in can cure is no refusal of the file", () => {
  for (const status of [401, 408, 429, 500, 502, 503, 504, 507]) {
    assert.deepEqual(
      new Set(states(answer({ status, text: "Later." }))),
      new Set(["failed"]),
      String(status),
    );
  }
  assert.deepEqual(new Set(states(answer({ status: 400, code: "csrf_session" }))), new Set(["failed"]));
  for (const status of [400, 403, 404, 409, 413, 415, 422]) {
    assert.deepEqual(new Set(states(answer({ status, text: "No." }))), new Set(["refused"]), String(status));
  }
  for (const kind of ["network", "timeout"]) {
    assert.deepEqual(new Set(states(answer({ kind, status: 0 }))), new Set(["failed"]));
  }
});

test("nobody is shown the source of a page, and nobody is left without a sentence", () => {
  for (const given of [
    answer({ status: 413, type: "text/html", text: "<html><h1>413</h1></html>" }),
    answer({ status: 413, type: "text/plain", text: "<html><h1>413</h1></html>" }),
    answer({ status: 413, text: "  " }),
    answer({ status: 418, type: "", text: "" }),
    answer({ status: 502, type: "text/html", text: "<html>" }),
  ]) {
    for (const { sentence } of verdicts(given, PARTS)) {
      assert.ok(sentence && !sentence.includes("<") && !sentence.includes("{"), JSON.stringify(given));
    }
  }
});

test("what to do about an answer as a whole", () => {
  const course = (given, parts = 3) => courseOf(answer(given), parts);
  for (const [expected, given] of [
    ["lost", { kind: "network", status: 0 }],
    ["lost", { kind: "timeout", status: 0 }],
    ["lost", { status: 502, type: "text/html" }],
    ["lost", { status: 504 }],
    ["session", { status: 401 }],
    ["session", { status: 200, type: "text/html; charset=utf-8" }],
    ["session", { status: 200, type: "application/json", redirected: true }],
    ["busy", { status: 429 }],
    ["busy", { status: 503, perPart: true }],
    ["full", { status: 507 }],
    ["halve", { status: 413, type: "text/html" }],
    ["settle", { status: 413, perPart: true }],
    ["settle", { status: 201, type: "application/json" }],
    ["settle", { status: 200, type: "" }],
    ["settle", { status: 500 }],
    ["settle", { status: 422, perPart: true }],
    ["settle", { status: 403 }],
  ]) {
    assert.equal(course(given), expected, JSON.stringify(given));
  }
  assert.equal(course({ status: 413 }, 1), "settle", "one file alone cannot be made smaller");
});

test("a file that another request is just storing is neither refused nor told, and one cut on its way may come again", () => {
  const given = perPart(
    [
      'file[0] "a.png": 此文件正由另一个请求保存；请几秒后再试。',
      'file[1] "b.png": 1 KB arrived, but 2 KB should have; send the file again.',
      'file[2] "c.png": another file was already stored under this upload\'s uuid; drop the file again.',
      "No file was stored.",
    ],
    { status: 409, codes: "uuid_busy=(0), size_differs=(1), uuid_taken=(2)" },
  );
  const found = verdicts(given, PARTS);
  assert.deepEqual(
    found.map(({ state, busy = false, altered = false }) => [state, busy, altered]),
    [
      ["failed", true, false],
      ["failed", false, true],
      ["refused", false, false],
    ],
  );
});

test("a file that could not be scanned just now may come again, also beside one that was refused for good", () => {
  const given = perPart(
    [
      'file[0] "a.png": the file could not be scanned for viruses at the moment, and was not stored; try again later.',
      'file[1] "b.exe": .exe files are not accepted here. Accepted: PNG.',
      "The other file was stored.",
    ],
    { status: 422, codes: "extension=(1), not_scanned=(0)" },
  );
  assert.deepEqual(
    verdicts(given, PARTS).map(({ state }) => state),
    ["failed", "refused", "stored"],
  );
});

test("a row refuses the parts that are named with it, to the last digit, and what cannot be read tells nothing", () => {
  const parts = Array.from({ length: 12 }, (_, index) => ({ key: `file[${index}]`, uuid: `u${index}`, name: "n" }));
  const lines = parts.map(({ key }) => `${key} "n": no.`);
  const busy = (codes) =>
    verdicts(perPart([...lines, "No file was stored."], { status: 409, codes }), parts)
      .map(({ busy }, index) => (busy ? index : -1))
      .filter((index) => index >= 0);
  assert.deepEqual(busy("extension=(0 2 3), uuid_busy=(1 11)"), [1, 11]);
  for (const odd of ["", "uuid_busy", "uuid_busy=(", "uuid_busy=1", "=(1)", "uuid_busy=()", "(((((("]) assert.deepEqual(busy(odd), []);
});

test("a part alone, whatever its key, has the row of the first", () => {
  const part = { key: "", uuid: "x", name: "n" };
  const given = answer({ status: 409, text: "稍后再试。", codes: "uuid_busy=(0)" });
  assert.equal(verdicts(given, [part])[0].busy, true);
  assert.equal(verdicts(given, [{ ...part, key: "photo[0]" }])[0].busy, true);
});

test("who has sent as much as they may waits, and with one part those that were refused for its sake", () => {
  const lines = [
    'file[0] "a.png": you may send 1 MB in 1 hour, and this file would be more; send it again in 9 minutes.',
    'file[1] "b.exe": .exe files are not accepted here. Accepted: PNG.',
    "The other file was stored.",
  ];
  const some = perPart(lines, { codes: "extension=(1), window_full=(0)" });
  assert.equal(courseOf(some, 3), "busy");
  assert.deepEqual(states(some), ["failed", "refused", "stored"]);
  const together = perPart(
    [lines[0], 'file[1] "b.png": not stored, because another file of this batch was refused.', "No file was stored."],
    { codes: "batch_refused=(1), window_full=(0)" },
  );
  const found = verdicts(together, PARTS.slice(0, 2)).map(({ state, later = false }) => [state, later]);
  assert.deepEqual(found, [["failed", false], ["failed", true]]);
  const other = perPart([lines[1], "The other file was stored."], { codes: "extension=(1), batch_refused=(0)" });
  assert.equal(courseOf(other, 2), "settle");
});
