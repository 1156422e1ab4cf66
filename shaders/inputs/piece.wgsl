// inputs/piece: a mat-vec's input by pieces, for kernels that take it by spans; past the row's end it is 0.
// n, in a form that the compiler does not know, or it would unroll the loops: that takes it several times as long.
fn opaque(n: u32) -> u32 {
  return select(n, 0u, step.tokens == 0u);
}

fn pieces() -> u32 {
  return opaque((K + 7u) / 8u);
}

fn input_piece(t: u32, piece: u32) -> Eight {
  let last = (K + 7u) / 8u - 1u;
  let inside = piece <= last;
  let value = input8(t, min(piece, last), gainOf(min(piece, last)));
  return Eight(select(vec4f(), value.lo, inside), select(vec4f(), value.hi, inside));
}
