// kv_bind/q8_0: a cache of kv_read/q8_0, where it is only read.
@group(0) @binding(2) var<storage, read> K: array<u32>;
@group(0) @binding(3) var<storage, read> V: array<u32>;
