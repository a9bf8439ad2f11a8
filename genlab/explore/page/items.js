"use strict";
/* Items on the page: pictures and plots of points on a canvas, texts as texts. */

let backgroundPoints = null;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function canvasOf(item) {
  const [height, width, channels] = item.shape;
  const canvas = element("canvas", {width, height});
  const image = new ImageData(width, height);
  paint(item.pixels, image.data, channels);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function paint(pixels, target, channels) {
  for (let from = 0, to = 0; from < pixels.length; from += channels, to += 4) {
    target[to] = pixels[from];
    target[to + 1] = pixels[channels === 1 ? from : from + 1];
    target[to + 2] = pixels[channels === 1 ? from : from + 2];
    target[to + 3] = 255;
  }
}

/* A place for one item, with a caption. `show` draws another item into it. */
class Frame {
  constructor(caption, {small = false, sound = false} = {}) {
    this.canvas = element("canvas", {class: "item pixels", role: "img", "aria-label": caption, hidden: true});
    this.text = element("pre", {class: "item", hidden: true});
    this.caption = element("figcaption", {}, caption);
    this.node = element("figure", {class: small ? "frame small" : "frame"}, this.canvas, this.text, this.caption);
    if (sound) this.node.append(button("Play", () => play(this.item), {class: "play"}));
    this.item = null;
    this.image = null;
  }

  show(item, caption = null) {
    this.item = item;
    if (caption !== null) {
      this.caption.textContent = caption;
      this.canvas.setAttribute("aria-label", caption);
    }
    this.canvas.hidden = item.type === "text";
    this.text.hidden = item.type !== "text";
    if (item.type === "text") this.text.textContent = item.text || "(empty)";
    else if (item.type === "points") plot(this.canvas, item);
    else this.draw(item);
  }

  draw(item) {
    const [height, width, channels] = item.shape;
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.canvas.classList.toggle("pixels", Math.max(width, height) <= 128);
      this.image = new ImageData(width, height);
    }
    paint(item.pixels, this.image.data, channels);
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
  }
}

let audio = null;

async function play(item) {
  if (!item) return;
  try {
    const address = URL.createObjectURL(await backend.sound(item));
    audio?.pause();
    audio = new Audio(address);
    audio.addEventListener("ended", () => URL.revokeObjectURL(address));
    await audio.play();
    document.body.dataset.played = String(Number(document.body.dataset.played || 0) + 1);
  } catch (error) {
    report(error);
  }
}

/* Draw points: two coordinates as a plane, one as a histogram, above the points of the data. */
function plot(canvas, item) {
  canvas.plotted = item;
  canvas.width = canvas.height = 320;
  canvas.classList.remove("pixels");
  const pen = canvas.getContext("2d"), data = backgroundPoints ?? item, [low, high] = windowOf(data);
  pen.clearRect(0, 0, 320, 320);
  if (item.shape[1] === 1) {
    if (backgroundPoints) bars(pen, backgroundPoints, low[0], high[0], colour("--line"));
    if (item.shape[0] > 1) bars(pen, item, low[0], high[0], colour("--accent"), true);
    else mark(pen, place(item.values[0], low[0], high[0]), 308);
  } else {
    if (backgroundPoints) dots(pen, backgroundPoints, low, high, colour("--line"));
    if (item.shape[0] > 1) dots(pen, item, low, high, colour("--accent"));
    else mark(pen, place(item.values[0], low[0], high[0]), 320 - place(item.values[1], low[1], high[1]));
  }
  pen.fillStyle = colour("--soft");
  // The canvas is drawn smaller than it is, and its numbers must stay large enough to read.
  pen.font = `${Math.round(12 * 320 / Math.min(320, canvas.clientWidth || 320))}px system-ui, sans-serif`;
  pen.fillText(low[0].toPrecision(2), 2, 318);
  const last = high[0].toPrecision(2);
  pen.fillText(last, 318 - pen.measureText(last).width, 318);
}

function windowOf(item) {
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity], size = item.shape[1];
  item.values.forEach((value, index) => {
    const axis = index % size;
    if (axis < 2) { low[axis] = Math.min(low[axis], value); high[axis] = Math.max(high[axis], value); }
  });
  for (let axis = 0; axis < Math.min(2, size); axis++) {
    const margin = (high[axis] - low[axis]) / 8 || 1;
    low[axis] -= margin;
    high[axis] += margin;
  }
  return [low, high];
}

const place = (value, low, high) => (value - low) / (high - low) * 320;

function dots(pen, item, low, high, ink) {
  pen.fillStyle = ink;
  for (let at = 0; at < item.values.length; at += item.shape[1]) {
    const x = place(item.values[at], low[0], high[0]), y = 320 - place(item.values[at + 1], low[1], high[1]);
    pen.fillRect(x - 1.5, y - 1.5, 3, 3);
  }
}

function bars(pen, item, low, high, ink, line = false) {
  const counts = new Float64Array(40);
  for (const value of item.values) counts[Math.floor(place(value, low, high) / 8)] += 1;
  const most = Math.max(...counts);
  pen.fillStyle = pen.strokeStyle = ink;
  pen.lineWidth = 2;
  pen.beginPath();
  counts.forEach((count, bin) => {
    const top = 300 - count / most * 280;
    if (!line) pen.fillRect(bin * 8, top, 7, 300 - top);
    else { pen.lineTo(bin * 8, top); pen.lineTo(bin * 8 + 8, top); }
  });
  if (line) pen.stroke();
}

function mark(pen, x, y) {
  pen.strokeStyle = colour("--accent");
  pen.lineWidth = 3;
  pen.beginPath();
  pen.arc(x, Math.min(y, 300), 8, 0, 7);
  pen.stroke();
}

/* The colours of a plot are those of the light or the dark page. */
function drawPlotsAgain() {
  for (const canvas of document.querySelectorAll("canvas")) if (canvas.plotted) plot(canvas, canvas.plotted);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPlotsAgain);
