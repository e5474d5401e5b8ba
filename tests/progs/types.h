/* Types of types.bpf.c: tests fill them as C does and print them as BTF says. */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

enum state { IDLE, RUNNING = 5, BROKEN = -3 };
enum big { BIG_LOW = 1, BIG_HIGH = 0x123456789abcdefULL };

typedef unsigned int uid;

struct point {
	short x, y;
};

union word {
	__u32 whole;
	__u8 byte[4];
	struct point point;
};

struct flags {
	unsigned int ready : 1;
	int level : 5;
	enum state state : 8;
	unsigned long long wide : 40;
};

struct node {
	struct node *next;
	const volatile char *name;
	int (*compare)(const struct node *, const struct node *);
};

struct event {
	__u64 time_ns;
	uid owner;
	char comm[16];
	enum state state;
	enum big big;
	union word word;
	struct flags flags;
	struct point path[2][3];
	bool good;
	signed char small;
	float ratio;
	struct {
		__u16 inner;
		union {
			__u32 left;
			float right;
		};
	};
	struct node *list;
	struct later *later;
};
