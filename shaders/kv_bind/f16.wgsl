// kv_bind/f16: a cache of kv_read/f16, where it is only read.
@group(0) @binding(2) var<storage, read> K: array<vec2u>;
@group(0) @binding(3) var<storage, read> V: array<vec2u>;
