#define BITS        64
#define W_(name)    w64_##name
#define PROOF(name) void prove_##name##_64(void)
#include "words.inc"
