"use strict";
// A slider goes through the layers that the strips below it lay out: it copies what stands there, and no more.
for (const stage of document.querySelectorAll("[data-stage]")) {
  const slider = stage.querySelector("input");
  const strips = stage.closest("article").querySelectorAll("[data-strip]");
  const layers = stage.dataset.layers.split(" ");
  const tileOf = (strip, layer) => [...strip.children].find((tile) => tile.dataset.layer === layer);
  const show = () => {
    const layer = layers[Number(slider.value)];
    const said = [];
    stage.querySelector(".at").textContent = layer;
    stage.querySelectorAll(".shown").forEach((shown, number) => {
      const tile = tileOf(strips[number], layer);
      for (const other of strips[number].children) other.classList.toggle("current", other === tile);
      const parts = tile ? [".caption", ".numbers"].map((part) => tile.querySelector(part)).filter(Boolean) : [];
      shown.querySelector(".view").replaceChildren(...(tile ? [tile.querySelector(".look").cloneNode(true)] : []));
      shown.querySelector(".words").replaceChildren(...parts.map((part) => part.cloneNode(true)));
      const caption = tile && tile.querySelector(".caption");
      if (caption) said.push(caption.textContent);
    });
    slider.setAttribute("aria-valuetext", [`layer ${layer}`, ...said].join(": "));
  };
  slider.addEventListener("input", show);
  stage.hidden = false;
  show();
}
// On paper everything is open.
const closed = new Set();
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    closed.add(part);
  }
});
addEventListener("afterprint", () => {
  for (const part of closed) part.open = false;
  closed.clear();
});
