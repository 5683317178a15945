// In every page before its own scripts: when things happened, in milliseconds of its clock.
(() => {
  if (window !== top) return;
  const probe = (window.__probe = {
    change: null, done: null, listed: null, seen: null, tasks: [], clicks: [], requests: 0, first: null, errors: [],
  });

  const keep = (entries) => {
    for (const { startTime, duration } of entries) probe.tasks.push([startTime, duration]);
  };
  const tasks = new PerformanceObserver((list) => keep(list.getEntries()));
  tasks.observe({ type: "longtask", buffered: true });
  probe.told = () => {
    // A page that is always busy has not been told of its last tasks.
    keep(tasks.takeRecords());
    return JSON.stringify(probe);
  };

  new PerformanceObserver((list) => {
    for (const { initiatorType, startTime } of list.getEntries()) {
      if (probe.change === null || !["xmlhttprequest", "fetch"].includes(initiatorType)) continue;
      probe.requests += 1;
      probe.first = Math.min(probe.first ?? Infinity, startTime);
    }
  }).observe({ type: "resource" });
  const chosen = ({ target }) => {
    if (target?.type === "file") probe.change ??= performance.now();
  };
  addEventListener("change", chosen, true);
  addEventListener("error", ({ message }) => probe.errors.push(String(message)));
  addEventListener("unhandledrejection", ({ reason }) => probe.errors.push(String(reason)));

  const afterFrame = (act) =>
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = act;
      channel.port2.postMessage(0);
    });

  // A button that the program clicks: answered when the frame after it is painted.
  probe.begin = () => {
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = -1;
    button.style.cssText = "position:fixed;right:0;bottom:0;width:40px;height:30px;z-index:2147483647";
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      afterFrame(() => probe.clicks.push([event.timeStamp, performance.now() - event.timeStamp]));
    });
    document.body.append(button);
  };

  // Whether each file whose row is on the screen has its picture; rows stand in the document as they are seen.
  const pictured = (rows, picture) => {
    let found = false;
    for (const row of document.querySelectorAll(rows)) {
      const { top, bottom } = row.getBoundingClientRect();
      if (bottom <= 0) continue;
      if (top >= innerHeight) break;
      const image = row.querySelector(picture);
      if (!image?.complete || image.naturalWidth === 0) return false;
      found = true;
    }
    return found;
  };

  probe.watch = (count, added, done, rows, picture) => {
    let listing = false;
    const looking = setInterval(() => {
      if (probe.change === null) return;
      if (!listing && added() >= count) {
        listing = true;
        afterFrame(() => (probe.listed = performance.now()));
      }
      if (!done(count)) return;
      probe.done = performance.now();
      clearInterval(looking);
    }, 20);
    if (!rows) return;
    const seeing = setInterval(() => {
      if (probe.change === null || !pictured(rows, picture)) return;
      probe.seen = performance.now();
      clearInterval(seeing);
    }, 50);
  };
})();
