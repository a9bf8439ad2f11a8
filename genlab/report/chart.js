"use strict";
/* A chart of curves over training steps, drawn by uPlot: cursor, zoom, logarithmic axis, and curves to switch off. */

const COLOURS = 8;
const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4]];
const charts = [];

class Chart {
  /* `spec` has a title and series; each of these has a name, steps, values, and optionally the number of its colour. */
  constructor(host, spec, moved = () => {}) {
    this.host = host;
    this.spec = spec;
    this.moved = moved;
    this.log = false;
    this.shown = spec.series.map(() => true);
    this.paper = false;
    charts.push(this);
    this.draw();
    new ResizeObserver(() => this.resize()).observe(host);
  }

  get width() {
    return this.paper ? 330 : Math.max(200, Math.floor(this.host.clientWidth));
  }

  get table() {
    const tables = this.spec.series.map(({steps, values}) => [
      steps,
      this.log ? values.map((value) => (value > 0 ? value : null)) : values,
    ]);
    return uPlot.join(tables);
  }

  get canBeLog() {
    return this.spec.series.some(({values}) => values.some((value) => value > 0));
  }

  look(place) {
    const number = this.spec.series[place].colour ?? place;
    if (this.spec.plain) return {stroke: colour(`--c${number % COLOURS}`)};
    return {stroke: colour(`--c${number % COLOURS}`), dash: DASHES[Math.floor(number / COLOURS) % DASHES.length]};
  }

  draw() {
    this.plot?.destroy();
    this.host.replaceChildren();
    const ink = colour("--soft");
    const line = {stroke: colour("--line"), width: 1};
    const axis = {stroke: ink, grid: line, ticks: line, font: "12px system-ui, sans-serif"};
    const wide = (plot, texts) => 24 + 7 * Math.max(0, ...(texts ?? []).map((text) => (text ?? "").length));
    const series = this.spec.series.map(({name, steps}, place) => ({
      label: name,
      show: this.shown[place],
      width: this.spec.series.length > 12 ? 1 : 1.6,
      points: {show: steps.length <= 30, size: 5},
      ...this.look(place),
    }));
    const options = {
      width: this.width,
      height: 220,
      legend: {show: false},
      focus: {alpha: 0.2},
      cursor: {
        focus: {prox: this.spec.series.length > 4 ? 24 : -1},
        // Many curves take long to draw again, and charts with a common cursor would all do that at every move.
        ...(this.spec.series.length > 12 ? {} : {sync: {key: "steps", scales: ["x", null]}}),
        points: {size: 7},
      },
      scales: {
        x: {time: false},
        y: this.log ? {distr: 3, range: (plot, low, high) => around(low, high)} : {},
      },
      axes: [
        {...axis, size: 32, values: (plot, ticks) => ticks.map((tick) => (tick === null ? "" : shown(tick)))},
        {
          ...axis,
          size: wide,
          values: (plot, ticks) => ticks.map((tick) => (tick === null ? "" : shown(tick))),
          ...(this.log ? {splits: (plot, number, low, high) => logTicks(low, high), filter: (plot, ticks) => ticks} : {}),
        },
      ],
      series: [{label: "step"}, ...series],
      hooks: {
        setCursor: [(plot) => this.tell(plot)],
        setSeries: [(plot, place) => this.near(plot, place)],
      },
    };
    this.plot = new uPlot(options, this.table, this.host);
  }

  resize() {
    if (this.plot && !this.paper && this.plot.width !== this.width) this.plot.setSize({width: this.width, height: 220});
  }

  setLog(log) {
    this.log = log;
    this.draw();
  }

  show(place, shown) {
    this.shown[place] = shown;
    this.plot.setSeries(place + 1, {show: shown});
  }

  /* Draws one curve in full colour and the others faintly; null draws all alike. */
  highlight(place) {
    this.plot.setSeries(place === null ? null : place + 1, {focus: true}, false);
  }

  near(plot, place) {
    this.nearest = place ? place - 1 : null;
  }

  /* Reports the step and the value of each curve below the cursor. */
  tell(plot) {
    const at = plot.cursor.idx;
    if (at === null || at === undefined) {
      this.moved(null, []);
      return;
    }
    this.moved(plot.data[0][at], plot.data.slice(1).map((values) => known(values, at)));
  }

  /* The step below the cursor and the values of the curves there, as a screen reader says them. */
  words() {
    const {idx} = this.plot.cursor;
    const said = this.spec.series.slice(0, COLOURS).flatMap(({name}, place) => {
      const value = this.shown[place] ? known(this.plot.data[place + 1], idx) : undefined;
      return value === undefined ? [] : [`${name} ${shown(value)}`];
    });
    return `step ${this.plot.data[0][idx].toLocaleString("en")}: ${said.join(", ")}`;
  }

  /* Moves the cursor by some of the steps that the curves have. */
  step(by) {
    const last = this.plot.data[0].length - 1;
    const at = Math.min(last, Math.max(0, (this.plot.cursor.idx ?? (by > 0 ? -1 : last + 1)) + by));
    this.plot.setCursor({left: this.plot.valToPos(this.plot.data[0][at], "x"), top: this.plot.over.clientHeight / 2});
  }
}

/* The ends of a logarithmic axis: a little more than the values need. */
function around(low, high) {
  if (!(low > 0)) return [1, 10];
  const room = Math.max((high / low) ** 0.06, 1.05);
  return [low / room, high * room];
}

/* Round values on a logarithmic axis: the fewer powers of ten it spans, the more between them. */
function logTicks(low, high) {
  const span = Math.log10(high / low);
  if (span < 0.7) return roundTicks(low, high);
  const between = span > 3 ? [1] : span > 1.3 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
  const every = Math.max(1, Math.round(span / 6));
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += every) {
    ticks.push(...between.map((part) => part * 10 ** power).filter((tick) => tick >= low && tick <= high));
  }
  return ticks;
}

/* About five values with few digits between two ends. */
function roundTicks(low, high) {
  const power = 10 ** Math.floor(Math.log10((high - low) / 5));
  const width = [1, 2, 5, 10].map((part) => part * power).find((part) => (high - low) / part <= 6);
  const first = Math.ceil(low / width);
  const count = Math.floor(high / width) - first + 1;
  return Array.from({length: count}, (unused, place) => Number(((first + place) * width).toPrecision(12)));
}

/* The value at a step, or the newest one before it: validation has fewer steps than training. */
function known(values, at) {
  for (let place = at; place >= 0; place -= 1) if (values[place] !== undefined) return values[place];
  return undefined;
}

/* The frame of a chart: its heading, the button of the logarithmic axis, and the plot, which the keyboard can enter. */
function framed(spec, moved) {
  const host = make("div", {class: "plot", tabindex: 0, role: "img"});
  host.setAttribute("aria-label", `Curves of ${spec.title} over training steps; their values are in the table below.`);
  const head = make("div", {class: "head"}, make("h3", {}, spec.title));
  if (spec.remark) head.append(make("span", {class: "soft"}, spec.remark));
  const spoken = make("p", {class: "unseen", "aria-live": "polite"});
  const frame = make("figure", {class: "chart"}, head, host, spoken);
  const start = () => {
    const chart = new Chart(host, spec, moved);
    if (chart.canBeLog) {
      const button = toggle("log", `Logarithmic axis: ${spec.title}`, false, (pressed) => chart.setLog(pressed));
      button.classList.add("screen-only");
      head.append(button);
    }
    host.addEventListener("keydown", (event) => {
      const by = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10}[event.key];
      if (by) {
        chart.step(by);
        spoken.textContent = chart.words();
        event.preventDefault();
      }
    });
    return chart;
  };
  return {frame, start};
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.draw()));
