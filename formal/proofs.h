/* The proofs, by the rows of obligations.def. */
#pragma once

#define WORDS(name, property)         \
	void prove_##name##_64(void); \
	void prove_##name##_32(void);
#define SCALAR(name, property)   void prove_##name##_64(void);
#define INTEGERS(name, property) void prove_##name##_0(void);
#include "obligations.def"
