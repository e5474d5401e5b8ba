/* Programs whose certificates hold every kind of claim and edge, and programs that are unsafe: no
 * certificate may pass for them. Used by the tests of the checker and by its fuzz target.
 */
#pragma once

struct lab_program {
	const char *type, *code;
};

static const struct lab_program lab_safe[] = {
	{"socket_filter", "mov r6, r1\nmov r7, 0\nmov r8, 0\n"
			  "loop: call 7\njset r0, 1, odd\nadd r8, 1\n"
			  "odd: add r7, 1\njlt r7, 20, loop\n"
			  "mov r0, r8\nexit\n"},
	{"xdp", "ldxw r6, [r1+0]\nldxw r7, [r1+4]\ncall 7\nmov r8, r0\nand r8, 63\n"
		"mov r1, r6\nadd r1, r8\nmov r2, r1\nadd r2, 4\njgt r2, r7, out\n"
		"jset r0, 1, a\nldxw r3, [r1+0]\nja b\na: ldxb r3, [r1+3]\n"
		"b: ldxh r4, [r1+2]\nstxdw [r10-8], r1\nout: mov r0, 2\nexit\n"},
	{"kprobe", "mov r6, 0\nstxdw [r10-16], r6\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -16\n"
		   "call 1\nmov r7, r0\ncall 7\nand r0, 7\nstxdw [r10-24], r0\njset r0, 1, a\n"
		   "mov r6, 1\na: jeq r7, 0, out\nldxdw r1, [r10-24]\nadd r7, r1\n"
		   "ldxb r0, [r7+8]\nout: mov r0, r6\nexit\n"},
	{"kprobe", "lddw r1, map_idx 2\nmov r2, 24\nmov r3, 0\ncall 131\nmov r6, r0\n"
		   "jeq r6, 0, out\ncall 7\njset r0, 1, a\nstxdw [r6+0], r0\n"
		   "a: mov r1, r6\nmov r2, 0\ncall local send\nout: mov r0, 0\nexit\n"
		   "send: jset r2, 1, drop\ncall 132\nmov r0, 0\nexit\n"
		   "drop: call 133\nmov r0, 0\nexit\n"},
	{"socket_filter", "call 7\nmov r1, r0\nand r1, 0xff\nmov r2, r1\njlt r1, 16, small\n"
			  "mov r2, 15\nsmall: lddw r3, map_idx_value 3, 0\nadd r3, r2\n"
			  "stdw [r10-8], 0\ncall local f\nexit\n"
			  "f: mov r6, 3\nl: ldxb r0, [r3+0]\nadd r3, 1\nsub r6, 1\n"
			  "jne r6, 0, l\nexit\n"},
	/* Offsets that move with the counters of two loops. */
	{"socket_filter",
	 "lddw r8, map_idx_value 3, 0\nmov r6, 0\nmov r7, 0\no: mov r9, 0\ni: mov r1, r8\n"
	 "add r1, r7\nstb [r1+0], 1\ncall 7\nand r0, 1\nadd r7, r0\nadd r9, 1\njne r9, 7, i\n"
	 "add r7, 1\nadd r6, 1\njne r6, 8, o\nmov r0, 0\nexit\n"},
};

static const struct lab_program lab_unsafe[] = {
	/* An index is 0 on the first path to the join, 60 on the second. */
	{"socket_filter",
	 "call 7\nmov r6, 0\njset r0, 1, a\nja b\na: mov r6, 60\n"
	 "b: lddw r1, map_idx_value 3, 0\nadd r1, r6\nldxdw r0, [r1+0]\nmov r0, 0\nexit\n"},
	/* A register is set on one path only. */
	{"socket_filter", "call 7\njset r0, 1, a\nmov r9, 0\na: call 7\njset r0, 2, b\nmov r8, r9\n"
			  "b: mov r0, 0\nexit\n"},
	/* A pointer is checked on one path only. */
	{"xdp", "ldxw r6, [r1+0]\nldxw r7, [r1+4]\nmov r8, r6\nadd r8, 8\ncall 7\njset r0, 1, a\n"
		"jgt r8, r7, out\na: ldxdw r0, [r6+0]\nout: mov r0, 0\nexit\n"},
	/* The same, kept in r8. */
	{"xdp", "ldxw r8, [r1+0]\nldxw r9, [r1+4]\nmov r1, r8\nadd r1, 8\ncall 7\njset r0, 1, a\n"
		"jgt r1, r9, out\na: ldxdw r0, [r8+0]\nout: mov r0, 0\nexit\n"},
	/* A reference is given back twice, through a copy on the stack. */
	{"kprobe", "lddw r1, map_idx 2\nmov r2, 24\nmov r3, 0\ncall 131\nmov r6, r0\n"
		   "jeq r6, 0, out\nstxdw [r10-8], r6\ncall 7\njset r0, 1, a\nmov r1, r6\n"
		   "mov r2, 0\ncall 132\na: ldxdw r1, [r10-8]\nmov r2, 0\ncall 132\n"
		   "out: mov r0, 0\nexit\n"},
	/* A reference is lost on one path. */
	{"kprobe", "lddw r1, map_idx 2\nmov r2, 24\nmov r3, 0\ncall 131\nmov r6, r0\ncall 7\n"
		   "jeq r6, 0, out\njset r0, 1, out\nmov r1, r6\nmov r2, 0\ncall 133\n"
		   "out: mov r0, 0\nexit\n"},
	/* The result of a lookup is not tested on one path. */
	{"kprobe", "stdw [r10-8], 0\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -8\ncall 1\n"
		   "mov r6, r0\ncall 7\njset r0, 1, a\njeq r6, 0, out\na: ldxb r0, [r6+0]\n"
		   "out: mov r0, 0\nexit\n"},
	/* A callee writes through its caller's pointer; the slot held an index. */
	{"socket_filter",
	 "stdw [r10-8], 0\nmov r1, r10\nadd r1, -8\ncall 7\njset r0, 1, skip\n"
	 "mov r1, r10\nadd r1, -8\ncall local f\n"
	 "skip: ldxdw r2, [r10-8]\nlddw r1, map_idx_value 3, 0\nadd r1, r2\n"
	 "ldxb r0, [r1+0]\nmov r0, 0\nexit\nf: stdw [r1+0], 64\nmov r0, 0\nexit\n"},
	/* A loop that ends one element too late. */
	{"socket_filter", "mov r6, 0\nl: lddw r1, map_idx_value 3, 0\nadd r1, r6\nldxb r0, [r1+0]\n"
			  "add r6, 1\njle r6, 64, l\nmov r0, 0\nexit\n"},
	/* A pointer in lockstep with the counter, which goes one too far. */
	{"socket_filter", "lddw r1, map_idx_value 3, 0\nmov r6, 0\nl: stw [r1+0], 7\nadd r1, 4\n"
			  "add r6, 1\njne r6, 17, l\nmov r0, 0\nexit\n"},
};
