// reduce/subgroup: the sum of every lane's value, in every lane, where the workgroup is exactly one subgroup.
enable subgroups;

fn sum4(value: vec4f, lane: u32) -> vec4f {
  return subgroupAdd(value);
}
