// The four steps of an upload. The answer tells how far it came: the page claims no step before it knows of it.

const form = document.querySelector("form");
const input = form.elements.namedItem("profile_image");
const image = document.querySelector("#image");
const message = document.querySelector("#message");
const steps = [...document.querySelectorAll("#steps li")];

/** Show `done` steps as done and the next one as `state`. */
function show(done, state) {
  steps.forEach((step, index) => {
    step.dataset.state = index < done ? "done" : index === done ? state : "";
    if (!step.dataset.state) delete step.dataset.state;
  });
}

/** Of the four steps, those that were done before an answer with this status. */
function doneBefore(status) {
  if (status === 503 || status === 507) return 2;
  return status === 409 || status === 500 ? 3 : 1;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new FormData();
  body.append("profile_image", input.files[0]);
  const headers = { "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content };
  message.textContent = "";
  show(0, "busy");
  try {
    const response = await fetch(form.dataset.action, { method: "PUT", body, headers });
    if (!response.ok) {
      show(doneBefore(response.status), "failed");
      message.textContent = await response.text();
      return;
    }
    const user = await response.json();
    show(steps.length, "");
    image.src = user.profile_image_url;
    message.textContent = "Saved.";
  } catch {
    show(0, "failed");
    message.textContent = "The server cannot be reached; try again.";
  }
});
