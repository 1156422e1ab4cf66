// kv_read/f16: keys and values in 16 bits, two to a word: [rows, D / 2]. Needs no feature of the device.

fn key4(row: u32, d4: u32) -> vec4f {
  let words = K[row * (D / 4u) + d4];
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn value4(row: u32, d4: u32) -> vec4f {
  let words = V[row * (D / 4u) + d4];
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}
