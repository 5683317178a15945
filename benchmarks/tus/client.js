// Send a file by tus-js-client: ENDPOINT FILE CHUNK_SIZE COOKIE; print the seconds it took.

import { createReadStream } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, file, chunkSize, cookie] = process.argv.slice(2);
const start = performance.now();
new Upload(createReadStream(file, { highWaterMark: 1 << 20 }), {
  endpoint,
  chunkSize: Number(chunkSize),
  headers: cookie ? { Cookie: cookie } : {},
  metadata: { filename: "big 00000.dat" },
  retryDelays: null,
  onError: (error) => {
    console.error(error);
    process.exit(1);
  },
  onSuccess: () => console.log((performance.now() - start) / 1000),
}).start();
