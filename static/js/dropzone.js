/**
 * Our own Dropzone, beside whichever the host has on its page; undefined where it is not served, or blocked. Its
 * file names itself on `window`: what was there comes back.
 *
 * @type {any}
 */
export const Dropzone = await load();

async function load() {
  const page = /** @type {any} */ (window);
  const { Dropzone: theirs } = page;
  for (const { id } of document.querySelectorAll("[data-uploads-zone]")) {
    // Dropzone 5, where the host has it, takes every `.dropzone` of the page for its own once all is loaded.
    if (theirs?.options) theirs.options[id.replace(/[-_](\w)/g, (_, letter) => letter.toUpperCase())] = false;
  }
  try {
    await import(new URL("../vendor/dropzone/dropzone-min.js", import.meta.url).href);
  } catch {
    return undefined;
  }
  const { Dropzone: ours } = page;
  page.Dropzone = theirs ?? ours;
  return ours;
}
