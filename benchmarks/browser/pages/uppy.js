import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import XHRUpload from "@uppy/xhr-upload";
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";

const bench = (window.__bench = { added: 0, stored: 0, failed: 0, finished: false });
const bundle = document.body.hasAttribute("data-bundle");
// The others start by themselves, too.
new Uppy({ autoProceed: true })
  .use(Dashboard, { inline: true, target: "#drop", height: 600 })
  .use(XHRUpload, { endpoint: "/upload", ...(bundle ? { bundle: true } : { limit: 6 }) })
  .on("files-added", (files) => (bench.added += files.length))
  .on("upload", () => (bench.finished = false))
  .on("upload-success", () => (bench.stored += 1))
  .on("upload-error", () => (bench.failed += 1))
  .on("complete", () => (bench.finished = true));
