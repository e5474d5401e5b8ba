#define BITS        32
#define W_(name)    w32_##name
#define PROOF(name) void prove_##name##_32(void)
#include "words.inc"
