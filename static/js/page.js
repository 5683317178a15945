import { Files } from "./files.js";

const files = document.querySelector("[data-uploads-files]");
if (files instanceof HTMLElement) new Files(files);
