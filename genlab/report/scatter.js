"use strict";
/* A point for each run: two columns choose its place, a third one its colour. */

const {columns: axes, rows: values, x: firstX, y: firstY} = DATA.plane;
const SIZE = {width: 640, height: 400, left: 74, right: 16, top: 14, foot: 46};
const selects = Object.fromEntries(["x", "y", "colour"].map((axis) => [axis, document.getElementById(`axis-${axis}`)]));

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* Maps the values of a column to [0, 1]: numbers by size, or by their logarithm if they span much; words evenly. */
function scale(column) {
  const known = values.map((row) => row[column]).filter((value) => value !== null);
  if (!known.every((value) => typeof value === "number")) {
    const words = [...new Set(known.map(String))];
    const place = (value) => (words.indexOf(String(value)) + 0.5) / words.length;
    return {place, ticks: words.map((word) => [place(word), word]), log: false};
  }
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const log = low > 0 && high / low >= 10;
  const size = log ? Math.log : (value) => value;
  const room = (size(high) - size(low)) * 0.05 || Math.abs(size(high)) * 0.05 || 1;
  const [start, end] = [size(low) - room, size(high) + room];
  const place = (value) => (size(value) - start) / (end - start);
  const few = [...new Set(known)].sort((one, other) => one - other);
  const even = [0, 1, 2, 3, 4].map((part) => low + ((high - low) * part) / 4);
  const wide = [0, 1, 2, 3, 4].map((part) => low * (high / low) ** (part / 4));
  return {place, log, ticks: (few.length <= 6 ? few : log ? wide : even).map((value) => [place(value), shown(value)])};
}

function groupOf(column) {
  if (column < 0) return () => 0;
  const known = [...new Set(values.map((row) => row[column]))].sort((one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other)),
  );
  return (row) => Math.min(COLOURS - 1, Math.floor((known.indexOf(row[column]) * COLOURS) / Math.max(COLOURS, known.length)));
}

function label({name, remark}, log) {
  return [name, remark && `(${remark})`, log && "(logarithmic)"].filter(Boolean).join(" ");
}

function text(words, x, y, more = {}) {
  return svg("text", {x, y, ...more}, words);
}

function plot() {
  const [x, y, by] = ["x", "y", "colour"].map((axis) => Number(selects[axis].value));
  const [over, up, group] = [scale(x), scale(y), groupOf(by)];
  const {width, height, left, right, top, foot} = SIZE;
  const across = (share) => left + share * (width - left - right);
  const down = (share) => height - foot - share * (height - foot - top);
  const whole = svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "group", class: "scatter"});
  whole.setAttribute("aria-label", `Runs by ${axes[x].name} and ${axes[y].name}`);
  whole.append(svg("path", {class: "axis", d: `M${left} ${top}V${height - foot}H${width - right}`}));
  let free = -Infinity;
  for (const [share, words] of over.ticks) {
    const cut = words.length > 14 ? `...${words.slice(-11)}` : words;
    if (across(share) - cut.length * 3.4 < free) continue;
    free = across(share) + cut.length * 3.4 + 6;
    whole.append(text(cut, across(share), height - foot + 16, {class: "middle"}));
  }
  let under = Infinity;
  for (const [share, words] of up.ticks) {
    if (down(share) + 14 > under) continue;
    under = down(share);
    whole.append(text(words.length > 10 ? `...${words.slice(-8)}` : words, left - 6, down(share) + 4, {class: "end"}));
    whole.append(svg("line", {class: "grid", x1: left, x2: width - right, y1: down(share), y2: down(share)}));
  }
  whole.append(text(label(axes[x], over.log), (left + width - right) / 2, height - 8, {class: "middle"}));
  values.forEach((row, run) => {
    if (row[x] === null || row[y] === null) return;
    const own = (place) => `${axes[place].name} ${typeof row[place] === "number" ? shown(row[place]) : row[place]}`;
    const words = `${DATA.labels[run]}: ${[x, y, ...(by < 0 ? [] : [by])].map(own).join(", ")}`;
    const dot = svg("circle", {cx: across(over.place(row[x])), cy: down(up.place(row[y])), r: 6, tabindex: 0});
    dot.setAttribute("class", `dot f${group(row)}`);
    dot.setAttribute("role", "img");
    dot.setAttribute("aria-label", words);
    for (const kind of ["mouseenter", "focus"]) dot.addEventListener(kind, () => tell(words));
    whole.append(dot);
  });
  const host = document.getElementById("plane");
  host.replaceChildren(make("p", {class: "soft up"}, label(axes[y], up.log)), whole);
  tell("Point at a run, or move to it with the keyboard, to see its values.");
}

function tell(words) {
  document.getElementById("pointed").textContent = words;
}

if (axes.length) {
  const options = () => axes.map((axis, place) => make("option", {value: place}, label(axis)));
  selects.x.append(...options());
  selects.y.append(...options());
  selects.colour.append(make("option", {value: -1}, "none"), ...options());
  selects.x.value = firstX;
  selects.y.value = firstY;
  for (const select of Object.values(selects)) select.addEventListener("change", plot);
  plot();
}
