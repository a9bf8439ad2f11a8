"use strict";
/* The codes of test items as points in a plane: one looks at a place, and takes its code. */

const NAMES_OF_MAPS = {pca: "PCA", tsne: "t-SNE", umap: "UMAP"}, MARKS = 10, NEAR = 9;

class CodeMap {
  constructor(facts, codes) {
    this.facts = facts;
    this.codes = codes;
    this.hidden = new Set();
    this.cursor = null;
    this.canvas = element("canvas", {
      class: "map", tabindex: 0, role: "application",
      "aria-label": "Map of the codes. Arrow keys move the cross, Enter takes the code.",
    });
    // Elements above the canvas, because it takes long to draw all dots again while a slider is dragged.
    this.ring = element("div", {class: "ring", "aria-hidden": "true", hidden: true});
    this.cross = element("div", {class: "cross", "aria-hidden": "true", hidden: true});
    this.frame = new Frame("Point at the map", {sound: facts.features.sound});
    this.legend = element("div", {class: "legend", role: "group", "aria-label": "Classes"});
    this.look = latest((place, take) => this.looked(place), (found, _, take) => this.seen(found, take));
    this.listen();
    codes.watchers.push((code) => { this.now = code; this.mark(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.inks = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  section() {
    const maps = this.facts.maps.map((name) => NAMES_OF_MAPS[name] ?? name);
    const method = choice(maps, (event) => this.load(event.target.value), this.facts.maps);
    const side = element("div", {}, this.frame.node, maps.length > 1 ? labelled("Method", method) : null, this.legend);
    this.note = element("p", {class: "soft"}, "Computing the map…");
    return sectionOf("map", "Map of the codes", this.note, element("div", {class: "bench wide"}, element("div", {class: "plane"}, this.canvas, this.ring, this.cross), side));
  }

  async load(method) {
    this.note.textContent = method === "pca" ? "Computing the map…" : "Computing the map; this can take a minute…";
    try {
      const found = await backend.map(method);
      this.use(found);
    } catch (error) {
      this.note.textContent = "There is no map.";
      report(error);
    }
  }

  use(found) {
    this.data = found;
    this.note.textContent = `${found.x.length.toLocaleString("en")} test items. ` +
      (found.plane ? "Point at a place to see what it decodes to, or at a dot to see the item. A click takes the code."
        : "Point at a dot to see the item. A click takes its code.");
    this.low = [Math.min(...found.x), Math.min(...found.y)];
    this.high = [Math.max(...found.x), Math.max(...found.y)];
    for (const axis of [0, 1]) {
      const margin = (this.high[axis] - this.low[axis]) / 20 || 1;
      this.low[axis] -= margin;
      this.high[axis] += margin;
    }
    this.fillLegend();
    this.draw();
    if (!this.frame.item) this.look({dot: 0, code: null}, false);
  }

  fillLegend() {
    const {labels, names} = this.data;
    this.hidden.clear();
    this.legend.replaceChildren();
    if (!labels) return;
    const there = [...new Set(labels)].sort((one, other) => one - other);
    for (const number of there) {
      const swatch = element("span", {class: `swatch c${number % MARKS} m${Math.floor(number / MARKS) % 3}`, "aria-hidden": "true"});
      const entry = button("", () => this.toggle(number, entry), {"aria-pressed": "true", title: names[number]});
      entry.append(swatch, shortened(names[number] ?? String(number), 24));
      this.legend.append(entry);
    }
  }

  toggle(number, entry) {
    if (!this.hidden.delete(number)) this.hidden.add(number);
    entry.setAttribute("aria-pressed", String(!this.hidden.has(number)));
    this.draw();
  }

  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener("pointermove", (event) => { this.cursor = null; this.mark(); this.point(at(event), false); });
    this.canvas.addEventListener("click", (event) => this.point(at(event), true));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("focus", () => {
      if (this.canvas.matches(":focus-visible")) this.move(0, 0);
    });
    this.canvas.addEventListener("blur", () => { this.cursor = null; this.mark(); });
  }

  key(event) {
    const step = event.shiftKey ? 40 : 8;
    const ways = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]};
    if (event.key in ways) this.move(...ways[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.point(this.cursor ?? this.middle, true);
    else return;
    event.preventDefault();
  }

  get middle() {
    return [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
  }

  move(right, down) {
    const [x, y] = this.cursor ?? this.middle;
    this.cursor = [
      Math.max(0, Math.min(this.canvas.clientWidth, x + right)),
      Math.max(0, Math.min(this.canvas.clientHeight, y + down)),
    ];
    this.mark();
    this.point(this.cursor, false);
  }

  /* Look at a place in pixels, and take its code after a click. */
  point(place, take) {
    if (!this.data) return;
    const dot = this.nearest(place);
    if (dot < 0 && !this.data.plane) return;
    // A click waits for nobody: its code must not be lost to the next movement of the pointer.
    const wanted = {dot, code: dot < 0 ? this.codeAt(place) : null};
    if (take) this.looked(wanted).then((found) => this.seen(found, true), report);
    else this.look(wanted, false);
  }

  async looked({dot, code}) {
    if (dot >= 0) return backend.item(this.data.items[dot]);
    const label = this.codes.label;
    return {item: await backend.decode(code, label), caption: "decoded from this place", code, label};
  }

  seen(found, take) {
    this.frame.show(found.item, found.caption);
    this.canvas.dataset.seen = found.caption;
    if (!take || !found.code) return;
    this.codes.take(found.code, found.label, found.caption === "decoded from this place" ? "a place on the map, decoded" : `${found.caption}, decoded`);
    say("The code is in the sliders.");
  }

  nearest([x, y]) {
    let best = -1, least = NEAR ** 2;
    const {labels} = this.data;
    for (let index = 0; index < this.data.x.length; index++) {
      if (labels && this.hidden.has(labels[index])) continue;
      const [right, down] = this.placeOf(this.data.x[index], this.data.y[index]);
      const distance = (right - x) ** 2 + (down - y) ** 2;
      if (distance < least) { least = distance; best = index; }
    }
    return best;
  }

  placeOf(x, y) {
    return [
      (x - this.low[0]) / (this.high[0] - this.low[0]) * this.canvas.clientWidth,
      (1 - (y - this.low[1]) / (this.high[1] - this.low[1])) * this.canvas.clientHeight,
    ];
  }

  codeAt([x, y]) {
    const {mean, axes} = this.data.plane, size = mean.length;
    const right = this.low[0] + x / this.canvas.clientWidth * (this.high[0] - this.low[0]);
    const up = this.low[1] + (1 - y / this.canvas.clientHeight) * (this.high[1] - this.low[1]);
    return mean.map((value, unit) => value + right * axes[unit] + up * axes[size + unit]);
  }

  /* The place of a code in the plane. */
  projected(code) {
    const {mean, axes} = this.data.plane, size = mean.length;
    let x = 0, y = 0;
    code.forEach((value, unit) => {
      x += (value - mean[unit]) * axes[unit];
      y += (value - mean[unit]) * axes[size + unit];
    });
    return this.placeOf(x, y);
  }

  draw() {
    const {canvas, data} = this, scale = devicePixelRatio || 1;
    if (!data || !canvas.clientWidth) return;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    this.inks ??= Array.from({length: MARKS}, (_, number) => colour(`--c${number}`));
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    for (let index = 0; index < data.x.length; index++) {
      const label = data.labels ? data.labels[index] : 0;
      if (this.hidden.has(label)) continue;
      pen.fillStyle = this.inks[label % MARKS];
      this.dot(pen, ...this.placeOf(data.x[index], data.y[index]), Math.floor(label / MARKS) % 3);
    }
    this.mark();
  }

  /* Show where the code of the sliders is, and the cross of the keyboard. */
  mark() {
    if (!this.data) return;
    const now = this.data.plane && this.now ? this.projected(this.now) : null;
    for (const [node, place] of [[this.ring, now], [this.cross, this.cursor]]) {
      node.hidden = !place;
      if (place) node.style.transform = `translate(${place[0]}px, ${place[1]}px)`;
    }
  }

  dot(pen, x, y, shape) {
    pen.beginPath();
    if (shape === 0) pen.arc(x, y, 2.6, 0, 7);
    else if (shape === 1) pen.rect(x - 2.4, y - 2.4, 4.8, 4.8);
    else { pen.moveTo(x, y - 3.4); pen.lineTo(x + 3.2, y + 2.4); pen.lineTo(x - 3.2, y + 2.4); }
    pen.fill();
  }
}
