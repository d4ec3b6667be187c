// What a point stands for is shown beside the pointer.
element.addEventListener("pointerover", (event) => {
  const point = event.target.closest("[data-id]");
  const shown = element.querySelector(".mite-hover");
  if (!shown) return;
  shown.hidden = !point;
  if (!point) return;
  shown.textContent = "";
  if (point.dataset.source) {
    const picture = document.createElement("img");
    picture.src = point.dataset.source;
    picture.alt = "";
    shown.append(picture);
  }
  const name = document.createElement("span");
  name.dir = "auto";
  name.textContent = point.querySelector("title").textContent;
  shown.append(name);
  const map = element.querySelector(".mite-map").getBoundingClientRect();
  const place = point.getBoundingClientRect();
  const left = Math.min(place.right - map.left + 8, map.width - shown.offsetWidth - 4);
  shown.style.left = `${Math.max(0, left)}px`;
  shown.style.top = `${place.bottom - map.top + 8}px`;
});
element.addEventListener("pointerleave", () => {
  const shown = element.querySelector(".mite-hover");
  if (shown) shown.hidden = true;
});
