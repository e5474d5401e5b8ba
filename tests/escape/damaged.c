#include "damaged.h"

const struct damaged damaged[DAMAGED] = {
	{"arithmetic",
	 "ldxdw r6, [r1]\nldxdw r7, [r1+8]\nadd r6, r7\nsub r6, 5\nmul r7, 77\nmul r6, r7\nor r6, "
	 "0x1234\n"
	 "and r7, r6\nxor r6, r7\nneg r6\nlsh r6, 3\nrsh r6, r7\narsh32 r7, 5\nmov32 r8, r6\n"
	 "movsx832 r8, r8\nbswap32 r8\nbe16 r7\nlddw r0, 0x123456789abcdef\nadd r0, r8\nmov r1, "
	 "r10\n"
	 "add r1, -16\nexit"},
	{"division",
	 "ldxdw r6, [r1]\nldxdw r7, [r1+8]\nmov r0, r6\ndiv r0, r7\nmod r6, r7\nsdiv r7, 3\nsmod32 "
	 "r6, r7\n"
	 "div32 r0, 10\nmod r0, 7\nsdiv r0, r6\nmov r3, 9\ndiv r3, r0\ndiv r0, r3\nexit"},
	{"memory",
	 "ldxdw r6, [r1]\nldxdw r7, [r1+8]\nstxdw [r10-8], r6\nstxw [r10-512], r7\nldxh r0, "
	 "[r10-6]\n"
	 "stdw [r10-64], 0x55\nldxb r8, [r1+63]\nstxb [r1+62], r8\nlddw r9, map_idx_value 1, 0\n"
	 "stxdw [r9+8], r6\nldxsw r5, [r9+12]\nsth [r9+2], 7\nldxdw r0, [r7+0]\nstxdw [r6+0], "
	 "r7\nexit"},
	{"atomics",
	 "ldxdw r6, [r1]\nmov r2, 3\nlock add [r10-8], r2\nlock fetch_add [r10-16], r2\n"
	 "lock xchg [r10-24], r2\nlock cmpxchg [r10-32], r2\nlock fetch_or [r10-8], r2\n"
	 "lock fetch_xor32 [r10-8], r0\nlock and32 [r1+8], r2\nload_acquire r3, [r10-8]\n"
	 "store_release [r10-8], r3\nlock fetch_and [r6], r2\nexit"},
	{"jumps", "ldxdw r6, [r1]\nmov r7, 0\nl: add r7, 1\njlt r7, 10, l\njeq r6, 0, +2\njsgt32 "
		  "r6, -5, +1\n"
		  "add r0, 1\njset r7, 4, m\nadd r0, 2\nm: jle r7, r6, n\nsub r7, 1\nja m\nn: mov "
		  "r0, r7\nexit"},
	{"calls", "mov r6, r1\nmov r7, 5\nl: mov r1, r7\ncall local f\nadd r6, r0\nsub r7, 1\njne "
		  "r7, 0, l\nmov r0, r6\n"
		  "exit\nf: stxdw [r10-8], r1\njle r1, 1, d\nsub r1, 1\ncall local f\nldxdw r1, "
		  "[r10-8]\nadd r0, r1\n"
		  "exit\nd: mov r0, 1\nexit"},
	{"rounds",
	 "ldxdw r6, [r1]\nldxdw r7, [r1+8]\nmov r8, 0\nmov r0, 0\nl: add r0, r8\njeq r0, r7, "
	 "out\ndiv r0, r6\nadd r8, 1\njlt r8, 40, l\nout: mov r8, 0\nm: mov r2, r10\nsub r2, "
	 "r8\nstxb [r2-1], r8\nadd r8, 1\njne r8, 8, m\nexit"},
	{"helpers",
	 "mov r6, r1\nldxdw r7, [r1+16]\nstw [r10-4], 3\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, "
	 "-4\n"
	 "call 1\njeq r0, 0, e\nstxdw [r0+8], r6\nstdw [r10-16], 9\nlddw r1, map_idx 0\nmov r2, "
	 "r10\n"
	 "add r2, -16\nmov r3, r0\nmov r4, 0\ncall 2\nlddw r1, map_idx 3\nmov r2, 16\nmov r3, 0\n"
	 "call 131\njeq r0, 0, e\nstxdw [r0], r7\nmov r1, r0\nmov r2, 0\ncall 132\ncall 14\n"
	 "e: mov r0, 0\nexit"},
	{"tail calls",
	 "mov r6, r1\nmov r7, 3\nl: mov r1, r6\nlddw r2, map_idx 6\nmov r3, r7\ncall 12\n"
	 "sub r7, 1\njne r7, 0, l\nmov r1, r6\ncall local f\nadd r0, r7\nexit\n"
	 "f: mov r6, r1\nstdw [r10-8], 3\nlddw r2, map_idx 6\nmov r3, 1\ncall 12\n"
	 "ldxdw r0, [r10-8]\nexit"},
};

void damaged_point_at_the_host(struct cage *cage)
{
	uint64_t *ctx = cage_ctx(cage);

	ctx[0] = (uint64_t)(uintptr_t)cage->heap + 1024;
	ctx[1] = (uint64_t)(uintptr_t)cage->other.window.base + cage->other.slot_start + 64;
	ctx[2] = (uint64_t)(uintptr_t)&cage->world.domain;
	ctx[3] = (uint64_t)(uintptr_t)cage->world.maps[CAGE_HASH];
}
