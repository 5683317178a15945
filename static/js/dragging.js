/** @param {DragEvent} event */
function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/**
 * Marks `root` with `data-uploads-dragging` while files are dragged over the window; a drag without files
 * changes nothing. With `drop`, the whole page takes them, also beside the zone.
 *
 * @param {HTMLElement} root
 * @param {((event: DragEvent) => void) | null} drop
 */
export function watchDragging(root, drop) {
  // Entering a child comes before leaving its parent, so a plain flag would flicker.
  let depth = 0;
  const set = (/** @type {number} */ value) => {
    depth = Math.max(0, value);
    root.toggleAttribute("data-uploads-dragging", depth > 0);
  };
  window.addEventListener("dragenter", (event) => carriesFiles(event) && set(depth + 1), { capture: true });
  // What leaves the window may no longer tell what it carries.
  window.addEventListener("dragleave", () => set(depth - 1), { capture: true });
  window.addEventListener("drop", () => set(0), { capture: true });

  if (!drop) return;
  // Those over the zone itself do not come here: Dropzone ends them.
  window.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
  });
  window.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    drop(event);
  });
}
