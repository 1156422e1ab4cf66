// kv_bind/f32: a cache of kv_read/f32, where it is only read.
@group(0) @binding(2) var<storage, read> K: array<vec4f>;
@group(0) @binding(3) var<storage, read> V: array<vec4f>;
