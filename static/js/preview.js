const EDGE = 112;
const AT_ONCE = 2;
const LARGEST = 40_000_000;
const PICTURES = /^image\/(jpeg|png|gif|webp|avif|bmp)$/;

/** Small pictures of files that were not sent yet: only of those in view, a few at a time. */
export class Previews {
  constructor() {
    /** @type {{file: File, ready: (url: string) => void}[]} */
    this.queue = [];
    this.running = 0;
    /** @type {WeakMap<Element, {file: File, ready: (url: string) => void}>} */
    this.asked = new WeakMap();
    this.watcher = new IntersectionObserver((seen) => this.inView(seen), { rootMargin: "200px" });
  }

  /**
   * Makes the picture when `element` comes into view; a file that is no readable picture never gets one.
   *
   * @param {Element} element
   * @param {File} file
   * @param {(url: string) => void} ready
   */
  ask(element, file, ready) {
    if (!PICTURES.test(file.type) || file.size > LARGEST) return;
    this.asked.set(element, { file, ready });
    this.watcher.observe(element);
  }

  /** @param {Element} element */
  forget(element) {
    this.watcher.unobserve(element);
    this.asked.delete(element);
  }

  /** @param {IntersectionObserverEntry[]} seen */
  inView(seen) {
    for (const { target, isIntersecting } of seen) {
      const job = isIntersecting && this.asked.get(target);
      if (!job) continue;
      this.forget(target);
      this.queue.push(job);
    }
    this.next();
  }

  next() {
    while (this.running < AT_ONCE && this.queue.length > 0) {
      const job = /** @type {{file: File, ready: (url: string) => void}} */ (this.queue.shift());
      this.running += 1;
      picture(job.file)
        .then((url) => url && job.ready(url))
        .finally(() => {
          this.running -= 1;
          this.next();
        });
    }
  }
}

/**
 * @param {File} file
 * @returns {Promise<string>} an object URL, or "" where the file cannot be decoded
 */
async function picture(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.max(EDGE / bitmap.width, EDGE / bitmap.height);
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
