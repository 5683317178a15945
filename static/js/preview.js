const EDGE = 112;
const AT_ONCE = 2;
const LARGEST = 40_000_000;
const PICTURES = /^image\/(jpeg|png|gif|webp|avif|bmp)$/;

/** Small pictures of files that were not sent yet: a few at a time, and none of what has gone out of sight. */
export class Previews {
  constructor() {
    /** @type {Map<File, (url: string) => void>} */
    this.wanted = new Map();
    this.running = 0;
  }

  /**
   * Makes the picture of a file that came into sight; one that is no readable picture never gets one.
   *
   * @param {File} file
   * @param {(url: string) => void} ready is given an object URL, to be revoked
   */
  ask(file, ready) {
    if (!PICTURES.test(file.type)) return;
    this.wanted.set(file, ready);
    this.next();
  }

  /** @param {File} file */
  forget(file) {
    this.wanted.delete(file);
  }

  async next() {
    if (this.running >= AT_ONCE) return;
    this.running += 1;
    for (const [file, ready] of this.wanted) {
      this.wanted.delete(file);
      const url = await picture(file);
      if (url) ready(url);
    }
    this.running -= 1;
  }
}

/**
 * @param {File} file
 * @returns {Promise<string>} an object URL, or "" where the file cannot be decoded
 */
async function picture(file) {
  if (file.size > LARGEST) return "";
  try {
    const bitmap = await createImageBitmap(file, { resizeHeight: EDGE, resizeQuality: "medium" });
    const scale = Math.max(1, EDGE / bitmap.width);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = EDGE;
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d")?.drawImage(bitmap, (EDGE - width) / 2, (EDGE - height) / 2, width, height);
    bitmap.close();
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.8));
    return blob instanceof Blob ? URL.createObjectURL(blob) : "";
  } catch {
    return "";
  }
}
