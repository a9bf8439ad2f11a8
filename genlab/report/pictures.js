"use strict";
/* Exhibits over training: a slider chooses the step. */

for (const figure of document.querySelectorAll("figure[data-exhibit]")) {
  const {name, items} = DATA.exhibits[Number(figure.dataset.exhibit)];
  const slider = figure.querySelector("input[type=range]");
  if (!slider) continue;
  const [picture, text, sound] = ["img", "pre", "audio"].map((kind) => figure.querySelector(kind));
  const last = items[items.length - 1];
  if (picture) Object.assign(last, {picture: picture.src, width: picture.width, height: picture.height});
  if (text) last.text = text.textContent;
  if (sound) last.sound = sound.src;

  const show = () => {
    const item = items[Number(slider.value)];
    const words = `step ${item.step.toLocaleString("en")}`;
    slider.setAttribute("aria-valuetext", words);
    figure.querySelector(".step").textContent = words.replace("s", "S");
    if (picture) {
      picture.hidden = !item.picture;
      if (item.picture) picture.src = item.picture;
      picture.alt = `${name} at ${words}`;
    }
    if (text) text.textContent = item.text ?? "";
    if (sound && item.sound) sound.src = item.sound;
    if (sound) sound.hidden = !item.sound;
  };
  slider.addEventListener("input", show);
  slider.parentElement.hidden = false;
  show();
}
