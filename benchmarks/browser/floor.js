// The practical floor, put into a page that is empty: no list, no progress, six requests in flight of up to 50 files
// or 16 MiB each.
async (tokenUrl) => {
  const bench = (window.__bench = { added: 0, stored: 0, failed: 0, finished: false });
  const headers = { Accept: "application/json", "X-Requested-With": "XMLHttpRequest" };
  if (tokenUrl) headers["X-CSRFToken"] = (await (await fetch(tokenUrl)).json()).csrf_token;

  async function lane(files) {
    while (files.length > 0) {
      const body = new FormData();
      let [count, bytes] = [0, 0];
      while (files.length > 0 && count < 50 && (count === 0 || bytes + files[0].size <= 16 << 20)) {
        const file = files.shift();
        bytes += file.size;
        body.append(`file[${count++}]`, file);
      }
      try {
        const answer = await fetch("/upload", { method: "POST", body, headers });
        const told = await answer.json();
        bench.stored += told.stored ?? told.files.length;
      } catch {
        bench.failed += count;
      }
    }
  }

  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  input.id = "floor";
  input.addEventListener("change", async () => {
    const files = [...input.files];
    bench.added = files.length;
    await Promise.all(Array.from({ length: 6 }, () => lane(files)));
    bench.finished = true;
  });
  document.body.replaceChildren(input);
}
