// attention_packed: the packed projection, where only the gates are read
//   qkv: [T, PACKED], per query head [D query | D gate]
override PACKED: u32;
@group(0) @binding(6) var<storage, read> qkv: array<vec4f>;
