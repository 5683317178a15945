// Uppy on a page of somebody's own, with a plain input: files go to /tus/ as they are chosen.

import Uppy from "@uppy/core";
import Tus from "@uppy/tus";

const uppy = new Uppy({ autoProceed: true }).use(Tus, {
  endpoint: "/tus/",
  retryDelays: [50, 200, 500, 1000, 1000],
});
const log = document.querySelector("#log");
uppy.on("upload-success", (file, response) => {
  log.textContent += `stored ${file.name} ${response.uploadURL}\n`;
});
uppy.on("upload-error", (file, error) => {
  log.textContent += `refused ${file.name} ${error.originalResponse?.getBody()}\n`;
  // Else it would be sent again with the next one.
  uppy.removeFile(file.id);
});
document.querySelector("input").addEventListener("change", (event) => {
  for (const file of event.target.files) uppy.addFile({ name: file.name, type: file.type, data: file });
});
window.uppy = uppy;
