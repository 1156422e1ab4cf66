// codes/four: the codes of a block of weights that have four bits, in one plane.   uses rows/planes
alias Words32 = vec4u;

fn words32(row: u32, block: u32) -> Words32 {
  return low_quad(row, block);
}

fn codes32(w: Words32) -> Bytes32 {
  return nibbles32(w, Bytes32());
}
