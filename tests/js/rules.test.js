import assert from "node:assert/strict";
import { test } from "node:test";
import { iconFor, learnIcons } from "../../static/js/icons.js";
import { extensionOf, refusal } from "../../static/js/rules.js";

const OPTIONS = { extensions: ["png", "txt"], accepted: "PNG, text", maxFileSize: 2_000_000 };
const file = (name, size = 1) => ({ name, size });

test("the last extension decides, in any case; a leading dot begins a name", () => {
  assert.equal(extensionOf("a.tar.GZ"), "gz");
  assert.equal(extensionOf(".bashrc"), "");
  assert.equal(extensionOf("ends."), "");
  assert.equal(extensionOf("photo.PNG. "), "png");
  assert.equal(extensionOf("none"), "");
});

test("good files pass", () => {
  assert.equal(refusal(file("a.PNG", 2_000_000), OPTIONS), null);
  assert.equal(refusal(file("any.thing", 9e12), { extensions: null, maxFileSize: null }), null);
});

test("each refusal has its own sentence, in the words of the server where it gave some", () => {
  assert.equal(refusal(file("a.exe"), OPTIONS), ".exe files are not accepted here. Accepted: PNG, text.");
  assert.equal(refusal(file("a.txt", 12_100_000), OPTIONS), "The file is 12.1 MB; the limit is 2 MB.");
  assert.equal(
    refusal(file("a.txt", 2_000_001), OPTIONS),
    "The file is 2,000,001 bytes; the limit is 2,000,000 bytes.",
  );
  assert.match(refusal(file("none"), OPTIONS), /without an extension/);
  assert.match(refusal(file("  "), OPTIONS), /no usable name/);
  const messages = { extension: "nichts mit .{extension}!" };
  assert.equal(refusal(file("a.exe"), { ...OPTIONS, messages }), "Nichts mit .exe!");
});

test("the smallest of the limits counts", () => {
  const options = { maxFileSize: 3000, maxTotalSize: 2000, maxContentLength: 4000 };
  assert.match(refusal(file("a.txt", 2500), options), /the limit is 2 KB/);
});

test("of one drop only so many files are taken as the set allows", () => {
  const options = { ...OPTIONS, maxFiles: 2 };
  assert.equal(refusal(file("a.png"), options, 1), null);
  assert.match(refusal(file("a.png"), options, 2), /Only 2 can be taken/);
});

test("a kind has the icon that the server tells of", () => {
  learnIcons({ image: "jpg png", table: "csv" });
  const drawn = ["a.JPG", "a.csv", "a.xyz", "a.constructor", "none"].map((name) => iconFor(name));
  assert.deepEqual(drawn, ["image", "table", "file", "file", "file"]);
  assert.equal(iconFor("a.wmv", "video/x-ms-wmv"), "video");
  assert.equal(iconFor("a.csv", "image/png"), "table");
});
