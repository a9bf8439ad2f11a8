"use strict";

const ARRAYS = {uint8: Uint8Array, int32: Int32Array, float32: Float32Array};

/* An answer is the length of a JSON header, the header, and the bytes of the arrays that it names. */
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true), first = 4 + length;
  return JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)), (_, value) => {
    if (value === null || typeof value !== "object" || !("array" in value)) return value;
    const type = ARRAYS[value.array], count = value.shape.reduce((product, side) => product * side, 1);
    const start = first + value.start;
    return new type(buffer.slice(start, start + count * type.BYTES_PER_ELEMENT));
  });
}
