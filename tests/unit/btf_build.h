/* BTF blobs for tests: put together type by type, one sample that has every kind, and the rows
 * that break it, one rule each.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "btf/btf.h"

struct btf_build {
	uint32_t words[2048];
	uint32_t n_words, n_types;
	uint32_t at[256]; /* word of each type's header */
	char strings[4096];
	uint32_t n_strings;
	uint8_t blob[24 + 2048 * 4 + 4096];
	uint32_t bytes;
};

#define INFO(kind, vlen, kflag) \
	((uint32_t)(kind) << 24 | (uint32_t)(vlen) | (uint32_t)(kflag) << 31)

static inline uint32_t build_name(struct btf_build *b, const char *name)
{
	uint32_t at = b->n_strings ? b->n_strings : 1;

	memcpy(b->strings + at, name, strlen(name) + 1);
	b->n_strings = at + (uint32_t)strlen(name) + 1;
	return at;
}

/* Adds a type; returns its id. `name` NULL for none. */
static inline uint32_t build_type(struct btf_build *b, const char *name, uint32_t info,
				  uint32_t size)
{
	b->at[++b->n_types] = b->n_words;
	b->words[b->n_words++] = name ? build_name(b, name) : 0;
	b->words[b->n_words++] = info;
	b->words[b->n_words++] = size;
	return b->n_types;
}

static inline void build_words(struct btf_build *b, uint32_t count, const uint32_t *words)
{
	memcpy(b->words + b->n_words, words, count * 4);
	b->n_words += count;
}

#define BUILD_MORE(b, ...) \
	build_words((b), sizeof((uint32_t[]){__VA_ARGS__}) / 4, (const uint32_t[]){__VA_ARGS__})

static inline void build_finish(struct btf_build *b)
{
	uint32_t header[6] = {
		0x0001eb9f, 24, 0, b->n_words * 4, b->n_words * 4, b->n_strings ? b->n_strings : 1};

	memcpy(b->blob, header, 24);
	memcpy(b->blob + 24, b->words, header[3]);
	memcpy(b->blob + 24 + header[3], b->strings, header[5]);
	b->bytes = 24 + header[3] + header[5];
}

/* Ids of the sample's types. */
enum sample_type {
	S_INT = 1,
	S_PTR,
	S_ARRAY,
	S_STRUCT,
	S_UNION,
	S_ENUM,
	S_FWD,
	S_TYPEDEF,
	S_VOLATILE,
	S_CONST,
	S_RESTRICT,
	S_PROTO,
	S_FUNC,
	S_VAR,
	S_DATASEC,
	S_FLOAT,
	S_DECL_TAG,
	S_TYPE_TAG,
	S_ENUM64,
	S_CHAR,
	S_BITS,
	S_TAGGED_PTR,
	S_PTR_FWD,
	S_FIELDS,
};

/* All kinds, accepted by the kernel. */
static inline void build_sample(struct btf_build *b)
{
	memset(b, 0, sizeof(*b));
	build_type(b, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(b, 1u << 24 | 32);
	build_type(b, NULL, INFO(FORT_BTF_PTR, 0, 0), S_STRUCT);
	build_type(b, NULL, INFO(FORT_BTF_ARRAY, 0, 0), 0);
	BUILD_MORE(b, S_INT, S_INT, 4);
	build_type(b, "pair", INFO(FORT_BTF_STRUCT, 3, 0), 32);
	BUILD_MORE(b, build_name(b, "a"), S_INT, 0, build_name(b, "next"), S_PTR, 64,
		   build_name(b, "list"), S_ARRAY, 128);
	build_type(b, "either", INFO(FORT_BTF_UNION, 2, 0), 32);
	BUILD_MORE(b, build_name(b, "x"), S_STRUCT, 0, build_name(b, "y"), S_FLOAT, 0);
	build_type(b, "color", INFO(FORT_BTF_ENUM, 2, 1), 4);
	BUILD_MORE(b, build_name(b, "RED"), 0xffffffff, build_name(b, "GREEN"), 7);
	build_type(b, "later", INFO(FORT_BTF_FWD, 0, 1), 0);
	build_type(b, "pair_t", INFO(FORT_BTF_TYPEDEF, 0, 0), S_STRUCT);
	build_type(b, NULL, INFO(FORT_BTF_VOLATILE, 0, 0), S_TYPEDEF);
	build_type(b, NULL, INFO(FORT_BTF_CONST, 0, 0), S_VOLATILE);
	build_type(b, NULL, INFO(FORT_BTF_RESTRICT, 0, 0), S_PTR);
	build_type(b, NULL, INFO(FORT_BTF_FUNC_PROTO, 2, 0), S_INT);
	BUILD_MORE(b, build_name(b, "ctx"), S_PTR, build_name(b, "how"), S_CONST);
	build_type(b, "main", INFO(FORT_BTF_FUNC, 0, 0), S_PROTO);
	build_type(b, "counter", INFO(FORT_BTF_VAR, 0, 0), S_CONST);
	BUILD_MORE(b, 1);
	build_type(b, ".bss", INFO(FORT_BTF_DATASEC, 1, 0), 40);
	BUILD_MORE(b, S_VAR, 8, 32);
	build_type(b, "double", INFO(FORT_BTF_FLOAT, 0, 0), 8);
	build_type(b, "note", INFO(FORT_BTF_DECL_TAG, 0, 0), S_STRUCT);
	BUILD_MORE(b, 1);
	build_type(b, "user", INFO(FORT_BTF_TYPE_TAG, 0, 0), S_INT);
	build_type(b, "wide", INFO(FORT_BTF_ENUM64, 2, 0), 8);
	BUILD_MORE(b, build_name(b, "SMALL"), 1, 0, build_name(b, "BIG"), 0, 1);
	build_type(b, "char", INFO(FORT_BTF_INT, 0, 0), 1);
	BUILD_MORE(b, 1u << 24 | 8);
	build_type(b, "bits", INFO(FORT_BTF_STRUCT, 4, 1), 8);
	BUILD_MORE(b, build_name(b, "lo"), S_INT, 3u << 24, build_name(b, "hi"), S_INT,
		   29u << 24 | 3, build_name(b, "tint"), S_ENUM, 4u << 24 | 32, build_name(b, "c"),
		   S_CHAR, 40);
	build_type(b, NULL, INFO(FORT_BTF_PTR, 0, 0), S_TYPE_TAG);
	build_type(b, NULL, INFO(FORT_BTF_PTR, 0, 0), S_FWD);
	build_type(b, "fields", INFO(FORT_BTF_STRUCT, 9, 1), 100);
	BUILD_MORE(b, build_name(b, "p"), S_PTR_FWD, 0, build_name(b, "s"), S_BITS, 64,
		   build_name(b, "l"), S_ARRAY, 128, build_name(b, "f"), S_FLOAT, 256,
		   build_name(b, "e"), S_ENUM64, 320, build_name(b, "q"), S_RESTRICT, 384,
		   build_name(b, "u"), S_TAGGED_PTR, 448, build_name(b, "v"), S_INT, 512,
		   build_name(b, "t"), S_VOLATILE, 544);
	build_finish(b);
}
