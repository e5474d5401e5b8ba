/* Objects that LLVM made, kept in files: the next process that compiles the same program the same
 * way takes them from there.
 *
 * A file is named by what it was made from: instructions, shapes of maps and helpers, isolation,
 * this engine, this processor. It begins with a hash of that and of the object. Files count only
 * in a directory, and of an owner, that is the user the process runs as, and that nobody else can
 * write; so whoever could put something there can run what they like as this user anyway.
 * Everything about the cache may fail: then programs are compiled.
 */
#pragma once

#include "base/buf.h"
#include "base/sha256.h"
#include "engine/engine.h"

struct fort_llvm_cache {
	int directory; /* -1: none */
	uint8_t key[FORT_SHA256_BYTES];
};

/* For this request, in the directory that it names. */
void fort_llvm_cache_open(const struct fort_compile *request, struct fort_llvm_cache *out);
void fort_llvm_cache_close(struct fort_llvm_cache *cache);
/* The object, appended to `out`; false if there is none to be trusted. */
bool fort_llvm_cache_get(const struct fort_llvm_cache *cache, struct fort_buf *out);
void fort_llvm_cache_put(const struct fort_llvm_cache *cache, const struct fort_buf *object);
