// A click on a card or a point searches onward with it.
element.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-id]");
  if (chosen) trigger("select", { id: chosen.dataset.id });
});
