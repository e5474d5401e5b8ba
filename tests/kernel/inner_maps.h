/* What is in maps of maps: the kernel does not tell, so whoever sees such a map made notes it. */
#pragma once

#include <linux/bpf.h>

#include "base/compiler.h"

/* `outer` was made with `inner` for inner_map_fd: both descriptors. */
void inner_maps_note(int outer, int inner);
/* The map that a map with this info was made with. False: not noted. */
bool inner_maps_find(const struct bpf_map_info *outer, struct bpf_map_info *inner);
