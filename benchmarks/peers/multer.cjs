// Express and multer, with its disk storage: node multer.cjs PORT
const { createRequire } = require("node:module");
const path = require("node:path");
const load = createRequire(path.join(__dirname, "installed", "package.json"));
const express = load("express");
const multer = load("multer");

const storage = multer.diskStorage({
  destination: process.env.UPLOAD_DIR,
  filename: (_request, file, done) => done(null, path.basename(file.originalname)),
});
const app = express();
app.post("/upload", multer({ storage }).any(), (_request, answer) => answer.status(201).end());
app.listen(Number(process.argv[2]), "127.0.0.1");
