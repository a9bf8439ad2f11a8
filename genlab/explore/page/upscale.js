"use strict";
/* A picture upscaled by the model, with a slider between bicubic and the model. */

class Upscale {
  constructor(facts) {
    this.facts = facts;
    this.view = element("div", {class: "versus", hidden: true});
    this.truth = new Frame("original");
    this.truth.node.hidden = true;
    this.note = element("p", {class: "soft"});
    this.ask = latest(
      (source) => { say("Upscaling…"); return backend.upscale(source); },
      (found) => { say(""); this.show(found); });
    this.at = slider("Bicubic on the left, the model on the right", {
      low: 0, high: 100, step: 1, value: 50, digits: 0, oninput: (at) => this.cut(at)});
    this.at.node.hidden = true;
  }

  section() {
    this.node = sectionOf("upscale", `Upscale ${this.facts.scale} times`, sourceOf(this.facts, (source) => this.ask(source)),
      this.note, element("div", {class: "row top"}, element("div", {class: "compared"}, this.view, this.at.node), this.truth.node));
    return this.node;
  }

  show({bicubic, model, truth, notes}) {
    const [below, above] = [bicubic, model].map(canvasOf);
    below.setAttribute("role", "img");
    below.setAttribute("aria-label", "upscaled by bicubic interpolation");
    above.setAttribute("role", "img");
    above.setAttribute("aria-label", "upscaled by the model");
    this.line = element("div", {class: "line", "aria-hidden": "true"});
    const [height, width] = model.shape, small = Math.max(height, width) <= 128;
    for (const canvas of [below, above]) canvas.classList.toggle("pixels", small);
    this.node.querySelector(".compared").style.maxWidth = `${Math.max(320, small ? 4 * width : width)}px`;
    this.view.replaceChildren(below, above, this.line);
    this.above = above;
    this.view.hidden = this.at.node.hidden = false;
    this.truth.node.hidden = !truth;
    if (truth) this.truth.show(truth, "original");
    this.note.textContent = notes.join(". ");
    this.cut(Number(this.at.input.value));
    this.node.dataset.count = String(Number(this.node.dataset.count || 0) + 1);
  }

  /* Show the model to the right of this place, in percent. */
  cut(at) {
    this.above.style.clipPath = `inset(0 0 0 ${at}%)`;
    this.line.style.left = `${at}%`;
  }
}
