/** @typedef {import("./queue.js").Queue} Queue */

const CHANNEL = "dropzone_app";

/** @type {Set<Queue>} */
const queues = new Set();
let title = "";
let drawn = "";

/**
 * What a page does for all of its zones: warns before it is left with work open, shows the progress in its title,
 * and notices what happens beside it: the network comes back, the person looks here again or signs in elsewhere.
 *
 * @param {Queue} queue
 */
export function attend(queue) {
  queues.add(queue);
  if (queues.size > 1) return;
  title = document.title;
  window.addEventListener("beforeunload", (event) => working() && event.preventDefault());
  const look = () => {
    for (const { line } of queues) if (line.reason === "signed_out") line.tryNow();
  };
  window.addEventListener("online", () => {
    for (const { line } of queues) if (["broken", "offline"].includes(line.reason)) line.tryNow();
  });
  document.addEventListener("visibilitychange", () => !document.hidden && look());
  window.addEventListener("focus", look);
  if (typeof BroadcastChannel === "function") {
    const channel = new BroadcastChannel(CHANNEL);
    channel.onmessage = look;
    // A page that opens may be the one after signing in.
    channel.postMessage("opened");
  }
  setInterval(drawTitle, 1000);
}

function working() {
  return [...queues].some(({ counts }) => counts.open > 0);
}

/** The share that is stored or decided, of all zones, while anything is open. */
function drawTitle() {
  // Somebody else has given the page another name.
  if (document.title !== drawn) title = document.title;
  drawn = title;
  if (working()) {
    let [done, total] = [0, 0];
    for (const { tally, counts } of queues) {
      if (counts.open === 0) continue;
      const { stored, sent, lost } = tally.shares();
      done += (stored + sent + lost) * tally.weights.total;
      total += tally.weights.total;
    }
    drawn = `${Math.min(99, Math.floor((100 * done) / total))} % · ${title}`;
  }
  if (document.title !== drawn) document.title = drawn;
}
