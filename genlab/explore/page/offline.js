"use strict";
/* The `backend` of a page without a server; `server.js` describes its functions. The answers are inside the page.
 * Codes are decoded by onnxruntime-web, or, if the page has none, by the nearest of the places that were decoded
 * beforehand (`answers.sprite`).
 */
const backend = (() => {
  /* A part of the page: gzip in base64. */
  async function part(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (character) => character.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  let reading = null, opening = null, queue = Promise.resolve();
  const answers = () => reading ??= part("answers").then(unpack);

  /* The session of onnxruntime, opened once. */
  function session() {
    opening ??= (async () => {
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmBinary = await part("wasm");
      const loader = new Blob([await part("loader")], {type: "text/javascript"});
      ort.env.wasm.wasmPaths = {mjs: URL.createObjectURL(loader)};
      return ort.InferenceSession.create(new Uint8Array(await part("decoder")), {executionProviders: ["wasm"]});
    })();
    return opening;
  }

  /* Decode rows of numbers; return floats as the model gives them, count x the shape of an item. */
  async function floats(codes, labels) {
    const {facts} = await answers(), running = await session(), count = codes.length / facts.size;
    const feed = {codes: new ort.Tensor("float32", Float32Array.from(codes), [count, facts.size])};
    if (facts.classes.length) {
      feed.label = new ort.Tensor("int64", BigInt64Array.from(labels, (label) => BigInt(Math.max(0, label))), [count]);
    }
    // One run at a time: a session cannot run twice at once.
    const done = queue.then(() => running.run(feed));
    queue = done.catch(() => {});
    return (await done).items.data;
  }

  /* One item of an array of items. */
  function picked({type, shape, pixels, values}, number) {
    const size = shape.reduce((product, side) => product * side, 1), at = [number * size, (number + 1) * size];
    return type === "image" ? {type, shape, pixels: pixels.slice(...at)} : {type, shape, values: values.slice(...at)};
  }

  /* Floats of channels x height x width as bytes of height x width x channels. */
  function image(values, [channels, height, width]) {
    const pixels = new Uint8Array(values.length), area = height * width;
    for (let channel = 0; channel < channels; channel++) {
      for (let place = 0; place < area; place++) {
        pixels[place * channels + channel] = Math.round(255 * Math.min(1, Math.max(0, values[channel * area + place])));
      }
    }
    return {type: "image", shape: [height, width, channels], pixels};
  }

  async function items(codes, labels) {
    const {facts, sprite} = await answers(), count = codes.length / facts.size;
    if (sprite) return Array.from({length: count}, (_, row) => nearest(sprite, codes.subarray(2 * row, 2 * row + 2), labels[row]));
    const values = await floats(codes, labels), {type, shape} = facts.kind, size = values.length / count;
    return Array.from({length: count}, (_, row) => {
      const own = values.slice(row * size, (row + 1) * size);
      return type === "points" ? {type, shape: [1, shape[0]], values: own} : image(own, shape);
    });
  }

  /* The number of the decoded place that is nearest to a place of the plane. */
  function cell({side, low, high}, place, label) {
    const [column, row] = [0, 1].map((axis) => {
      const share = (place[axis] - low[axis]) / (high[axis] - low[axis]);
      return Math.min(side - 1, Math.max(0, Math.round(share * (side - 1))));
    });
    return (Math.max(0, label) * side + row) * side + column;
  }

  const nearest = (sprite, place, label) => picked(sprite.items, cell(sprite, place, label));

  const lerp = (start, end, at) => start.map((value, unit) => (1 - at) * value + at * end[unit]);

  /* The arc between two codes; a line if they have one direction. */
  function arc(start, end, at) {
    const length = (code) => Math.hypot(...code);
    const cosine = start.reduce((sum, value, unit) => sum + value * end[unit], 0) / (length(start) * length(end));
    const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
    if (!(Math.sin(angle) > 1e-4)) return lerp(start, end, at);
    const [first, second] = [Math.sin((1 - at) * angle), Math.sin(at * angle)].map((value) => value / Math.sin(angle));
    return start.map((value, unit) => first * value + second * end[unit]);
  }

  async function decode(code, label) {
    return (await items(Float32Array.from(code), [label]))[0];
  }

  /* Some of the codes that were drawn beforehand; each seed takes the next ones. */
  async function sample({seed, count: wanted, label, truncation}) {
    const {facts, samples} = await answers(), {size} = facts, all = samples.codes.length / size;
    // Points are drawn into one plot, so there can be many.
    const count = facts.kind.type === "points" && wanted > 1 ? all : wanted;
    const rows = Array.from({length: all}, (_, row) => row).filter((row) => label < 0 || !samples.labels || samples.labels[row] === label);
    const chosen = Array.from({length: count}, (_, place) => rows[(seed * count + place) % rows.length]);
    const codes = new Float32Array(count * size);
    chosen.forEach((row, place) => {
      for (let unit = 0; unit < size; unit++) {
        const centre = samples.centre[unit], value = samples.codes[row * size + unit];
        codes[place * size + unit] = centre + truncation * (value - centre);
      }
    });
    const labels = samples.labels ? Int32Array.from(chosen, (row) => samples.labels[row]) : null;
    const found = await items(codes, labels ?? new Int32Array(count).fill(-1));
    if (facts.kind.type !== "points" || count === 1) return {items: found, codes, labels};
    const values = Float32Array.from(found.flatMap((item) => [...item.values]));
    return {items: [{type: "points", shape: [count, facts.kind.shape[0]], values}], codes: null, labels};
  }

  async function item(number) {
    const {facts, items: known} = await answers(), {size} = facts;
    const code = known.codes.slice(number * size, (number + 1) * size), label = known.told[number], caption = known.captions[number];
    if (number < known.pictures.count) return {item: picked(known.pictures, number), caption, code, label};
    return {item: await decode(code, label), caption: `${caption}, decoded`, code, label};
  }

  async function between({start, end, startLabel, endLabel, at, mode}) {
    const {mode: usual} = await answers();
    const chosen = mode === "auto" ? usual : mode;
    const [first, last] = [Float32Array.from(start), Float32Array.from(end)];
    const code = chosen === "spherical" ? arc(first, last, at) : lerp(first, last, at), label = at < 0.5 ? startLabel : endLabel;
    return {item: await decode(code, label), code, label, mode: chosen};
  }

  return {
    facts: async () => (await answers()).facts,
    units: async () => (await answers()).units,
    map: async () => (await answers()).map,
    directions: async () => (await answers()).directions,
    background: async () => (await answers()).background,
    decode, sample, item, between, floats,
    sprite: async () => (await answers()).sprite,
    onstatus: () => {},
  };
})();
