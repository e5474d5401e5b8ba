#include "step/types.h"

/* Values whose flags do not matter here have 0. */
static const struct {
	uint8_t type;
	uint16_t flags;
} values[FORT_REGTYPES] = {
	[FORT_REGTYPE_NONE] = {FORT_NONE, 0},
	[FORT_REGTYPE_NUM] = {FORT_NUM, 0},
	[FORT_REGTYPE_CTX] = {FORT_CTX, 0},
	[FORT_REGTYPE_MAP] = {FORT_MAP, 0},
	[FORT_REGTYPE_MAP_VALUE] = {FORT_MAP_VALUE, 0},
	[FORT_REGTYPE_MAP_KEY] = {FORT_MAP_KEY, 0},
	[FORT_REGTYPE_STACK] = {FORT_STACK, 0},
	[FORT_REGTYPE_PACKET] = {FORT_PACKET, 0},
	[FORT_REGTYPE_PACKET_META] = {FORT_PACKET_META, 0},
	[FORT_REGTYPE_PACKET_END] = {FORT_PACKET_END, 0},
	[FORT_REGTYPE_FLOW_KEYS] = {FORT_FLOW_KEYS, 0},
	[FORT_REGTYPE_SOCKET] = {FORT_SOCKET, 0},
	[FORT_REGTYPE_SOCK_COMMON] = {FORT_SOCK_COMMON, 0},
	[FORT_REGTYPE_TCP_SOCK] = {FORT_TCP_SOCK, 0},
	[FORT_REGTYPE_XDP_SOCK] = {FORT_XDP_SOCK, 0},
	[FORT_REGTYPE_TP_BUFFER] = {FORT_TP_BUFFER, 0},
	[FORT_REGTYPE_MEM] = {FORT_MEM, 0},
	[FORT_REGTYPE_RDONLY_MEM] = {FORT_MEM, FORT_RDONLY},
	[FORT_REGTYPE_RING_MEM] = {FORT_RING_MEM, 0},
	[FORT_REGTYPE_BUF] = {FORT_BUF, 0},
	[FORT_REGTYPE_RDONLY_BUF] = {FORT_BUF, FORT_RDONLY},
	[FORT_REGTYPE_ARENA] = {FORT_ARENA, 0},
	[FORT_REGTYPE_FUNC] = {FORT_FUNC, 0},
	[FORT_REGTYPE_DYNPTR] = {FORT_DYNPTR, 0},
	[FORT_REGTYPE_BTF] = {FORT_BTF, 0},
	[FORT_REGTYPE_BTF_TRUSTED] = {FORT_BTF, FORT_TRUSTED},
	[FORT_REGTYPE_BTF_RCU] = {FORT_BTF, FORT_RCU},
	[FORT_REGTYPE_BTF_ALLOC] = {FORT_BTF, FORT_ALLOC},
	[FORT_REGTYPE_BTF_PERCPU] = {FORT_BTF, FORT_PERCPU},
	[FORT_REGTYPE_BTF_PERCPU_RCU] = {FORT_BTF, FORT_PERCPU | FORT_RCU},
	[FORT_REGTYPE_BTF_PERCPU_TRUSTED] = {FORT_BTF, FORT_PERCPU | FORT_TRUSTED},
};

/* Flags that make another type of it. */
static uint16_t telling_flags(uint8_t type)
{
	switch (type) {
	case FORT_MEM:
	case FORT_BUF: return FORT_RDONLY;
	case FORT_BTF: return (uint16_t)~FORT_MAYBE_NULL;
	default: return 0;
	}
}

enum fort_regtype fort_value_regtype(const struct fort_value *value)
{
	uint16_t flags = value->flags & telling_flags(value->type);

	for (unsigned i = 0; i < FORT_REGTYPES; i++)
		if (values[i].type == value->type && values[i].flags == flags)
			return (enum fort_regtype)i;
	return FORT_REGTYPE_NONE;
}

struct fort_value fort_value_of_type(enum fort_regtype type)
{
	struct fort_value value = {.type = values[type].type, .flags = values[type].flags};

	if (value.type == FORT_NUM)
		return fort_value_unknown();
	if (value.type != FORT_NONE)
		value.num = fort_scalar_const(0);
	return value;
}

bool fort_type_is_nullable(enum fort_type type)
{
	switch (type) {
	case FORT_MAP: /* inner ones */
	case FORT_MAP_VALUE:
	case FORT_SOCKET:
	case FORT_SOCK_COMMON:
	case FORT_TCP_SOCK:
	case FORT_XDP_SOCK:
	case FORT_MEM:
	case FORT_RING_MEM:
	case FORT_BUF:
	case FORT_BTF: return true;
	default: return false;
	}
}
