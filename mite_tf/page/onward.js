// A click on a card or a point searches onward with it. Who pressed a key goes on from the results.
let pressed = false;
element.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-id]");
  pressed = chosen !== null && event.detail === 0;
  if (chosen) trigger("select", { id: chosen.dataset.id });
});
new MutationObserver(() => {
  const first = element.querySelector(".mite-card");
  if (pressed && first && !element.contains(document.activeElement)) {
    pressed = false;
    first.focus();
  }
}).observe(element, { childList: true, subtree: true });
