// The queue by keyboard: on the case that has the focus, a and n open the two verdicts, a digit says why.
"use strict";

document.getElementById("keys").hidden = false;
document.addEventListener("keydown", (event) => {
  const here = document.activeElement.closest(".case");
  if (!here || event.ctrlKey || event.metaKey || event.altKey || document.activeElement.matches("input")) return;
  const verdicts = here.querySelectorAll(".judge details");
  const opened = here.querySelector(".judge details[open]");
  if (event.key === "a" || event.key === "n") {
    const verdict = verdicts[event.key === "a" ? 0 : 1];
    verdict.open = true;
    verdict.querySelector("summary").focus();
  } else if (opened && /^[1-9]$/.test(event.key)) {
    opened.querySelectorAll("button[name]")[Number(event.key) - 1]?.click();
  } else if (event.key === "j" || event.key === "k") {
    const next = event.key === "j" ? here.nextElementSibling : here.previousElementSibling;
    next?.focus();
  } else return;
  event.preventDefault();
});
