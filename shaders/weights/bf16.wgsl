// bf16: the upper half of an f32, two values to a word, low half first; exact, and no feature is needed.
override ROW: u32 = K / 2u; // words
alias Words8 = vec4u;

fn words8(row: u32, piece: u32) -> Words8 {
  return words4(row, 4u * piece);
}

fn values8(w: Words8) -> Eight {
  let even = bitcast<vec4f>(w << vec4u(16u));
  let odd = bitcast<vec4f>(w & vec4u(0xffff0000u));
  return Eight(vec4f(even.x, odd.x, even.y, odd.y), vec4f(even.z, odd.z, even.w, odd.w));
}

fn weight8(row: u32, piece: u32) -> Eight {
  return values8(words8(row, piece));
}
