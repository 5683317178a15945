import assert from "node:assert/strict";
import { test } from "node:test";
import { sentence, waiting } from "../../static/js/messages.js";
import { Packer } from "../../static/js/packer.js";
import { refusal } from "../../static/js/rules.js";
import { verdicts } from "../../static/js/verdicts.js";

const given = (dropzone) => ({ extensions: ["png"], maxFileSize: 524_288, maxFiles: 2, dropzone });

test("the host's words win over the server's, and stand as they were written", () => {
  const words = { dictInvalidFileType: 'nein zu "{extension}" $& {{unknown}}' };
  const messages = { extension: "the server says .{extension}." };
  assert.equal(refusal({ name: "a.exe", size: 1 }, { ...given(words), messages }), words.dictInvalidFileType);
  assert.equal(refusal({ name: "none", size: 1 }, given(words)), words.dictInvalidFileType);
  assert.equal(refusal({ name: "a.exe", size: 1 }, { ...given({}), messages }), "The server says .exe.");
});

test("numbers are filled in as Dropzone does, in units of 1024 times 1024 bytes", () => {
  const words = { dictFileTooBig: "{{filesize}} of {{maxFilesize}}", dictMaxFilesExceeded: "{{maxFiles}}" };
  assert.equal(refusal({ name: "a.png", size: 600_000 }, given(words)), "0.57 of 0.5");
  const small = { ...given(words), maxFileSize: 131_072 };
  assert.equal(refusal({ name: "a.png", size: 3 * 1024 ** 2 }, small), "3 of 0.125");
  assert.equal(refusal({ name: "a.png", size: 1 }, given(words), 2), "2");
});

test("the host's words for a server error are for answers without a sentence", () => {
  const parts = [{ key: "file[0]", uuid: "u", name: "a.png" }];
  const answer = { kind: "answer", code: "", codes: "", perPart: false, redirected: false };
  const words = { dropzone: { dictResponseError: "Fehler {{statusCode}}" } };
  const said = (more) => verdicts({ ...answer, ...more }, parts, words)[0].sentence;
  assert.equal(said({ status: 502, type: "text/html", text: "<h1>" }), "Fehler 502");
  assert.equal(said({ status: 413, type: "", text: "" }), "Fehler 413");
  assert.equal(said({ status: 415, type: "text/plain", text: "PNG only!" }), "PNG only!");
  // There was no server to speak of.
  assert.match(said({ kind: "network", status: 0, type: "", text: "" }), /connection broke/);
});

test("a code without words of the host's has ours", () => {
  assert.match(sentence({ dropzone: { dictFileTooBig: "x" } }, "form_kept"), /^The form was not sent/);
});

test("where the host counts the files of a request, big ones count as small ones do", () => {
  const packer = new Packer({ maxParts: 2, maxBytes: 100, big: 100 });
  for (const size of [45, 55, 60, 70, 101]) packer.add({ size });
  packer.close();
  const requests = [];
  for (let batch = packer.take(); batch; batch = packer.take()) requests.push(batch.map(({ size }) => size));
  assert.deepEqual(requests, [[45, 55], [60], [70], [101]]);
});

test("one file that waits is spoken of as one", () => {
  assert.equal(waiting("offline", 3), "You are offline. 3 files wait and will go on by themselves.");
  for (const reason of ["broken", "offline", "busy", "signed_out", "disk_full"]) {
    assert.match(waiting(reason, 1), /\. 1 file waits (and will go on by itself|until )/);
  }
});
