// reduce/heads_subgroup: the same where a workgroup has one head and is exactly one subgroup: a processor switches between
// subgroups at every barrier, and here is none.
enable subgroups;

fn sum_of_head(part: f32, local: vec3u) -> f32 {
  return subgroupAdd(part);
}
