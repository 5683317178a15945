// tus-js-client as a script uses it: ENDPOINT FILE STORE COOKIE. Goes on with what STORE knows of FILE.

import { createReadStream } from "node:fs";
import { FileUrlStorage, Upload } from "tus-js-client";

const [endpoint, file, store, cookie] = process.argv.slice(2);

const upload = new Upload(createReadStream(file), {
  endpoint,
  headers: { Cookie: cookie },
  metadata: { filename: "big film.bin", filetype: "application/octet-stream" },
  retryDelays: [50, 200, 500, 1000, 1000],
  urlStorage: new FileUrlStorage(store),
  storeFingerprintForResuming: true,
  onError: (error) => {
    console.error(error.message);
    process.exit(1);
  },
  onSuccess: ({ lastResponse }) => console.log(lastResponse.getHeader("Upload-File")),
});
const [previous] = await upload.findPreviousUploads();
if (previous) upload.resumeFromPreviousUpload(previous);
upload.start();
