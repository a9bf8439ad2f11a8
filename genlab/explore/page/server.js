"use strict";
/* `backend` is the one object that the page asks. This file asks the server of `genlab explore`; a page without a server
 * brings another file with the same constant. Every function returns a Promise. If it fails, the page shows the message of
 * the error. The page shows only what `facts().features` names, so the functions of other features may be missing.
 *
 * facts() -> {name, about: [text], kind: {type: "image" | "spectrogram" | "points" | "tokens", shape: [number]},
 *             size: numbers in a code, classes: [name] that decode() is told, drawn: [name] that sample() is told,
 *             priors: [name], maps: [method], scale: upscaling factor, noise: std that the model was trained with,
 *             items: number of test items, features: {decode, encode, sample, truncation, draw, map, path, arc, directions,
 *             examine, noise, upscale, sound, background, items}}
 * units() -> {centre, std, start: Float32Array(size), order: Int32Array, captions: [text]}: the sliders, the most
 *             important first; `captions` has the places of `order`
 * decode(code, label) -> Item; a label is the number of a class, or -1
 * sample({seed, count, label, truncation, prior}) -> {items: [Item], codes: Float32Array(count * size) | null,
 *             labels: Int32Array(count) | null}
 * map(method) -> {x, y: Float32Array(N), items: Int32Array(N), labels: Int32Array(N) | null, names: [text],
 *             plane: {mean: Float32Array(size), axes: Float32Array(2 * size)} | null}: with a plane, the code of a place
 *             is mean + x * first axis + y * second axis
 * item(number) -> {item: Item, caption, code: Float32Array | null, label}: a test item
 * between({start, end: code, startLabel, endLabel, at: 0 to 1, mode: "auto" | "linear" | "spherical"}) ->
 *             {item: Item, code, label, mode}
 * directions() -> [{group, value, direction: Float32Array(size)}]: attributes that are added to a code
 * examine(source, {noise, seed}) -> {input: Item, noisy: Item | null, result: Item | null, code: Float32Array | null, label,
 *             classes: [{name, share}], scores: [{name, value}], notes: [text]}; a source is {file}, {text} or {number}
 * standings() -> {names: [text], values: [Float32Array]}: the sorted scores of test items
 * upscale(source) -> {bicubic: Item, model: Item, truth: Item | null, notes: [text]}
 * sound(item) -> Blob, a WAV file
 * background() -> Item: points of the data
 * onstatus(callback): calls back with a sentence when the connection is lost, and with "" when it is there again
 *
 * An Item is {type: "image", shape: [height, width, channels], pixels: Uint8Array},
 *            {type: "points", shape: [count, dimensions], values: Float32Array} or {type: "text", text}.
 */
const backend = (() => {
  const STOPPED = "The server has stopped. If it was started again, open the new address that genlab has printed.";
  const waiting = new Map();
  let socket = null, opening = null, next = 0, pause = 500, tell = () => {};

  function pack(settings, numbers) {
    const header = new TextEncoder().encode(JSON.stringify(settings));
    const message = new Uint8Array(4 + header.length + 4 * numbers.length);
    new DataView(message.buffer).setUint32(0, header.length, true);
    message.set(header, 4);
    message.set(new Uint8Array(Float32Array.from(numbers).buffer), 4 + header.length);
    return message;
  }

  function connect() {
    opening ??= new Promise((resolve) => {
      const made = new WebSocket(`ws://${location.host}/questions`);
      made.binaryType = "arraybuffer";
      made.onopen = () => { socket = made; pause = 500; tell(""); resolve(made); };
      made.onmessage = (event) => answered(unpack(event.data));
      made.onclose = () => lost(resolve);
    });
    return opening;
  }

  function answered(answer) {
    const asked = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (!asked) return;
    if (answer.error === undefined) asked.resolve(answer); else asked.reject(new Error(answer.error));
  }

  function lost(resolve) {
    socket = opening = null;
    tell(STOPPED);
    for (const asked of waiting.values()) asked.reject(new Error(STOPPED));
    waiting.clear();
    resolve(null);
    setTimeout(connect, pause);
    pause = Math.min(2 * pause, 5000);
  }

  async function ask(name, settings, numbers = []) {
    const open = socket ?? await connect();
    if (!open) throw new Error(STOPPED);
    const id = next = (next + 1) % 2 ** 30;
    return new Promise((resolve, reject) => {
      waiting.set(id, {resolve, reject});
      open.send(pack({ask: name, id, ...settings}, numbers));
    });
  }

  async function requested(path, settings = {}, content = undefined, type = "application/octet-stream") {
    const query = new URLSearchParams(settings).toString();
    const options = content === undefined ? {} : {method: "POST", body: content, headers: {"Content-Type": type}};
    let response;
    try {
      response = await fetch(query ? `${path}?${query}` : path, options);
    } catch {
      throw new Error(STOPPED);
    }
    if (!response.ok) throw new Error((await response.text()).trim() || `The server answers ${response.status}.`);
    return response;
  }

  const fetched = async (...asked) => unpack(await (await requested(...asked)).arrayBuffer());

  function given(path, source, settings = {}) {
    if (source.number !== undefined) return fetched(path, {...settings, number: source.number}, "");
    return source.file ? fetched(path, settings, source.file) : fetched(path, settings, source.text, "text/plain");
  }

  return {
    facts: () => fetched("facts"),
    units: () => fetched("units"),
    map: (method) => fetched("map", {method}),
    directions: async () => (await fetched("directions")).directions,
    standings: () => fetched("standings"),
    background: () => fetched("background"),
    decode: async (code, label) => (await ask("decode", {label}, code)).item,
    sample: (settings) => ask("sample", settings),
    item: (number) => ask("item", {number}),
    between: ({start, end, ...settings}) => ask("between", settings, [...start, ...end]),
    examine: (source, settings) => given("examine", source, settings),
    upscale: (source) => given("upscale", source),
    sound: async (item) => (await requested("sound", {}, item.pixels)).blob(),
    onstatus: (callback) => { tell = callback; connect(); },
  };
})();
