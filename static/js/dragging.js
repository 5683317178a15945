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
  const listen = (
    /** @type {"dragenter" | "dragleave" | "drop" | "dragend"} */ type,
    /** @type {() => void} */ act,
  ) => window.addEventListener(type, (event) => carriesFiles(event) && act(), { capture: true });
  listen("dragenter", () => set(depth + 1));
  listen("dragleave", () => set(depth - 1));
  listen("drop", () => set(0));
  listen("dragend", () => set(0));

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
