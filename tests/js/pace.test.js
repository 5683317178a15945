import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { paced } from "../../static/js/pace.js";

/** @type {(() => void)[]} */
let frames = [];

beforeEach(() => {
  frames = [];
  globalThis.requestAnimationFrame = (act) => frames.push(() => act(0));
});

const frame = () => frames.splice(0).forEach((act) => act());

test("what is asked for often is drawn once, with the next frame", () => {
  let drawn = 0;
  const draw = paced(() => (drawn += 1));
  for (let times = 0; times < 9; times += 1) draw();
  assert.equal(drawn, 0);
  frame();
  assert.equal(drawn, 1);
});

test("then it is not drawn again for a while, but what was asked for last is drawn", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let [now, drawn] = [1000, 0];
  const draw = paced(() => (drawn += 1), () => now);
  draw();
  frame();
  now += 20;
  draw();
  frame();
  assert.equal(drawn, 1);
  mock.timers.tick(79);
  assert.equal(frames.length, 0);
  mock.timers.tick(1);
  frame();
  assert.equal(drawn, 2);
  mock.timers.reset();
});
