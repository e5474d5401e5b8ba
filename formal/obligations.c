#include "prover.h"
#include "proofs.h"

const struct obligation obligations[] = {
#define WORDS(name, property) \
	{#name, #property, 64, prove_##name##_64}, {#name, #property, 32, prove_##name##_32},
#define SCALAR(name, property)   {#name, #property, 64, prove_##name##_64},
#define INTEGERS(name, property) {#name, #property, 0, prove_##name##_0},
#include "obligations.def"
};

const size_t n_obligations = sizeof(obligations) / sizeof(obligations[0]);
