// f16: two values to a word, low half first; unpack2x16float needs no shader-f16.
override ROW: u32 = K / 2u; // words
alias Words8 = vec4u;

fn words8(row: u32, piece: u32) -> Words8 {
  return words4(row, 4u * piece);
}

fn values8(w: Words8) -> Eight {
  return Eight(
    vec4f(unpack2x16float(w.x), unpack2x16float(w.y)),
    vec4f(unpack2x16float(w.z), unpack2x16float(w.w)),
  );
}

fn weight8(row: u32, piece: u32) -> Eight {
  return values8(words8(row, piece));
}
