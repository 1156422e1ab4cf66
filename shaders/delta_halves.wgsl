// delta_halves: where a chunk's f16 operands lie, counted in halves (layout in delta_chunk_matrix); uses delta_rows
fn chunkAt(chunk: u32) -> u32 {
  return chunk * CHUNK * (2u * KEY_HEADS * DK + CHUNK * VALUE_HEADS);
}

fn keysAt(chunk: u32, keyHead: u32) -> u32 {
  return chunkAt(chunk) + 2u * CHUNK * DK * keyHead;
}

fn innerAt(chunk: u32, head: u32) -> u32 {
  return chunkAt(chunk) + CHUNK * (2u * KEY_HEADS * DK + CHUNK * head);
}
