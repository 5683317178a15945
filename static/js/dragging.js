/** @param {DragEvent} event */
function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/**
 * Marks `root` with `data-uploads-dragging` while files are dragged over the window, and hands what is
 * dropped on `target` to `dropzone`, unless a script has disabled it. A drag without files changes nothing.
 *
 * @param {HTMLElement} root
 * @param {EventTarget} target
 * @param {{disabled?: boolean, drop: (event: DragEvent) => void}} dropzone
 */
export function watchDragging(root, target, dropzone) {
  // Entering a child comes before leaving its parent, so a plain flag would flicker.
  let depth = 0;
  const set = (/** @type {number} */ value) => {
    depth = Math.max(0, value);
    root.toggleAttribute("data-uploads-dragging", depth > 0 && !dropzone.disabled);
  };
  window.addEventListener("dragenter", (event) => carriesFiles(event) && set(depth + 1), { capture: true });
  // What leaves the window may no longer tell what it carries.
  window.addEventListener("dragleave", () => set(depth - 1), { capture: true });
  window.addEventListener("drop", () => set(0), { capture: true });
  // A pointer that drags sends no events of its own; when it does, the drag is over, however it ended.
  window.addEventListener("pointermove", () => depth > 0 && set(0), { passive: true });

  // Those over the form itself do not come here: Dropzone ends them.
  const take = (/** @type {"dragover" | "drop"} */ type, /** @type {(event: DragEvent) => void} */ act) =>
    target.addEventListener(type, (event) => {
      if (!(event instanceof DragEvent) || !carriesFiles(event)) return;
      event.preventDefault();
      act(event);
    });
  take("dragover", ({ dataTransfer }) => {
    if (dataTransfer) dataTransfer.dropEffect = dropzone.disabled ? "none" : "copy";
  });
  take("drop", (event) => dropzone.disabled || dropzone.drop(event));
}
