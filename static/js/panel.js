import { word } from "./messages.js";

/**
 * What stands below a zone: why nothing leaves, the sum, what became no file, the rows, and a place for what is
 * said aloud. It is made here because it is of no use without a script.
 *
 * @param {HTMLElement} root
 */
export function buildPanel(root) {
  const bar = part("div", "uploads-bar", "bar");
  for (const name of ["stored", "sent", "lost"]) {
    const piece = document.createElement("span");
    piece.dataset.part = name;
    bar.append(piece);
  }
  for (const [name, value] of Object.entries({
    role: "progressbar",
    "aria-label": word("bar"),
    "aria-valuemin": "0",
    "aria-valuemax": "100",
    "aria-valuenow": "0",
  })) {
    bar.setAttribute(name, value);
  }
  const line = part("p", "uploads-summary-line");
  line.append(part("strong", "", "summary-words"), part("span", "", "summary-detail"));
  const actions = part("div", "uploads-actions", "actions");
  actions.setAttribute("role", "group");
  actions.setAttribute("aria-label", word("actions"));
  const summary = hidden(part("div", "uploads-summary", "summary"));
  summary.append(
    hidden(part("div", "uploads-banner", "banner")),
    line,
    bar,
    actions,
    hidden(part("div", "uploads-question", "question")),
  );
  const unfinished = hidden(part("div", "uploads-unfinished", "unfinished"));
  unfinished.setAttribute("role", "group");
  unfinished.setAttribute("aria-label", word("unfinished"));
  const begun = part("ul", "uploads-list");
  begun.setAttribute("role", "list");
  const told = part("p", "uploads-hidden");
  told.setAttribute("role", "status");
  unfinished.append(said("p", "uploads-unfinished-title", "unfinished"), begun, told);
  const list = hidden(part("ul", "uploads-list", "list"));
  list.setAttribute("role", "list");
  list.setAttribute("aria-label", word("list"));
  const notes = hidden(part("ul", "uploads-notes", "notes"));
  notes.setAttribute("role", "list");
  const noted = part("p", "uploads-hidden", "noted");
  noted.setAttribute("role", "status");
  const live = part("p", "uploads-hidden", "live");
  live.setAttribute("role", "status");
  live.setAttribute("aria-live", "polite");
  root.append(unfinished, summary, notes, list, noted, live);
}

/**
 * What a zone that a script makes shows at rest.
 *
 * @param {HTMLElement} element
 */
export function buildPrompt(element) {
  const prompt = part("div", "dz-message uploads-prompt");
  const invitation = part("p", "uploads-invitation");
  const rest = part("span", "uploads-at-rest");
  rest.append(said("span", "uploads-with-mouse", "invitation"), said("span", "uploads-on-touch", "on_touch"));
  const dragging = said("span", "uploads-while-dragging", "while_dragging");
  dragging.setAttribute("aria-hidden", "true");
  invitation.append(rest, dragging);
  const choices = part("p", "uploads-choices");
  choices.append(
    button("dz-button uploads-button uploads-primary", "choose_files"),
    hidden(button("uploads-button", "choose_folder", "folder")),
    hidden(button("uploads-button", "take_photo", "camera")),
  );
  prompt.append(invitation, choices);
  element.append(prompt);
}

/**
 * What takes the focus where the button that had it is gone: the first of those for the whole drop, and none that does
 * harm to somebody who goes on pressing.
 *
 * @param {HTMLElement} root
 * @returns {HTMLElement | null}
 */
export function firstAction(root) {
  return root.querySelector("[data-uploads-actions] button:not([hidden], [data-uploads-harms])");
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [name]
 */
function part(tag, className, name) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (name) element.setAttribute(`data-uploads-${name}`, "");
  return element;
}

/** @param {HTMLElement} element */
function hidden(element) {
  element.hidden = true;
  return element;
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} code
 */
function said(tag, className, code) {
  const element = part(tag, className);
  element.textContent = word(code);
  return element;
}

/**
 * @param {string} className
 * @param {string} code
 * @param {string} [name]
 */
function button(className, code, name) {
  const element = part("button", className, name);
  element.setAttribute("type", "button");
  element.textContent = word(code);
  return element;
}
