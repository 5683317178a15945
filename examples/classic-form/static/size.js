// Only a courtesy: the server measures what arrives.
const input = document.querySelector("input[type=file]");

input.addEventListener("change", () => {
  const file = input.files[0];
  const tooLarge = file !== undefined && file.size > Number(input.dataset.maxSize);
  input.setCustomValidity(tooLarge ? input.dataset.tooLarge : "");
  input.reportValidity();
});
