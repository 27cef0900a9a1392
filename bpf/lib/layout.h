/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

/*
 * Version of a struct that keys or values of pinned maps are made of. An agent that finds a pinned map with another layout
 * makes it anew and takes its content over: fields of the same name and version keep their value, wherever they stand, new
 * ones are zero, unsigned integers may grow. So zero in a new field has to mean what was so before there was the field. Raise the
 * version when a field keeps its name but not its meaning: then the map starts empty. Where all that a value has new stands in
 * what was padding (fields named pad, pad2), the map stays: give such a place to another field only with a new version.
 */
#define LAYOUT(version) __attribute__((btf_decl_tag("weft:layout:" #version)))
