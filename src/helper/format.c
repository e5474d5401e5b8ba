#include "helper/format.h"

#include <errno.h>
#include <string.h>

#include "helper/call.h"
#include "helper/probe.h"

#define DIGITS_MAX 24u
#define WIDTH_MAX  (1 << 23) /* K */
#define PTR_DIGITS 16

/* Characters are Latin-1 to the kernel (lib/ctype.c). */
static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == '\xa0';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       ((uint8_t)c >= 0xc0 && c != '\xd7' && c != '\xf7');
}

static bool is_control(char c)
{
	return (c >= 0 && c < ' ') || c == '\x7f';
}

/* What may follow a conversion that takes letters: punctuation, space, the end. Bytes 0x80 to 0x9f
 * are nothing to the kernel. */
static bool ends_word(char c)
{
	return !c || is_space(c) || (!is_alnum(c) && !is_control(c) && (uint8_t)c - 0x80u >= 0x20);
}

/* One conversion. */
struct spec {
	bool left, plus, space, zero;
	int width;       /* -1: none */
	char type;       /* d i u x X c s, p */
	char pointer;    /* of p: 0, K x s S B, k u (strings), I i */
	bool ipv6, wide; /* wide: 64 bits */
};

static void read_flags(const char **at, struct spec *spec)
{
	for (;; ++*at) {
		switch (**at) {
		case '0': spec->zero = true; break;
		case '+': spec->plus = true; break;
		case '-': spec->left = true; break;
		case ' ': spec->space = true; break;
		default: return;
		}
	}
}

static void read_width(const char **at, struct spec *spec)
{
	spec->width = -1;
	if (!is_digit(**at))
		return;
	spec->width = 0;
	for (; is_digit(**at); ++*at)
		if (spec->width < WIDTH_MAX)
			spec->width = spec->width * 10 + (**at - '0');
}

/* After "%p". */
static int read_pointer(const char **at, struct spec *spec)
{
	const char *c = *at;

	if (ends_word(c[0]))
		return 0;
	if ((c[0] == 'k' || c[0] == 'u') && c[1] == 's') {
		spec->pointer = c[0];
		*at += 2;
		return ends_word(**at) ? 0 : -EINVAL;
	}
	if (strchr("KxsSB", c[0])) {
		spec->pointer = c[0];
		*at += 1;
		return 0;
	}
	if ((c[0] != 'i' && c[0] != 'I') || (c[1] != '4' && c[1] != '6'))
		return -EINVAL;
	spec->pointer = c[0];
	spec->ipv6 = c[1] == '6';
	*at += 2;
	return 0;
}

/* Reads a conversion behind its '%'. */
static int read_spec(const char **at, struct spec *spec)
{
	*spec = (struct spec){0};
	read_flags(at, spec);
	read_width(at, spec);
	for (unsigned i = 0; i < 2 && **at == 'l'; i++, ++*at)
		spec->wide = true;
	spec->type = **at;
	if (!spec->type || !strchr(spec->wide ? "diuxX" : "diuxXcsp", spec->type))
		return -EINVAL;
	++*at;
	if (spec->type == 'p')
		return read_pointer(at, spec);
	if (spec->type == 's')
		return ends_word(**at) ? 0 : -EINVAL;
	return 0;
}

struct sink {
	const struct fort_run *run;
	char *out;
	uint32_t room;
	int length;    /* of the whole text */
	uint32_t used; /* of FORT_FORMAT_ROOM, where the kernel keeps arguments */
};

static void put(struct sink *sink, char c)
{
	if ((uint32_t)sink->length + 1 < sink->room)
		sink->out[sink->length] = c;
	sink->length++;
}

static void put_bytes(struct sink *sink, const char *bytes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		put(sink, bytes[i]);
}

/* What is beyond the room is only counted. */
static void pad(struct sink *sink, char c, int n)
{
	for (; n > 0 && (uint32_t)sink->length < sink->room; n--)
		put(sink, c);
	if (n > 0)
		sink->length += n;
}

static unsigned digits_of(uint64_t value, unsigned base, bool upper, char digits[DIGITS_MAX])
{
	const char *alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	unsigned n = 0;

	do
		digits[n++] = alphabet[value % base];
	while (value /= base);
	return n;
}

static void put_number(struct sink *sink, const struct spec *spec, uint64_t value, char sign,
		       unsigned base)
{
	char digits[DIGITS_MAX];
	unsigned n = digits_of(value, base, spec->type == 'X', digits);
	int padding = spec->width - (int)n - (sign != 0);
	bool zero = spec->zero && !spec->left;

	if (!zero && !spec->left)
		pad(sink, ' ', padding);
	if (sign)
		put(sink, sign);
	if (zero)
		pad(sink, '0', padding);
	while (n)
		put(sink, digits[--n]);
	if (spec->left)
		pad(sink, ' ', padding);
}

/* Keeps books as the kernel does, which copies arguments before it formats. */
static int take_room(struct sink *sink, uint32_t bytes, uint32_t alignment)
{
	uint32_t start = (uint32_t)fort_round_up(sink->used, alignment);

	if (start > FORT_FORMAT_ROOM || FORT_FORMAT_ROOM - start < bytes)
		return -ENOSPC;
	sink->used = start + bytes;
	return 0;
}

static int format_integer(struct sink *sink, const struct spec *spec, uint64_t arg)
{
	bool is_signed = spec->type == 'd' || spec->type == 'i';
	uint64_t value = spec->wide ? arg : (uint32_t)arg;
	char sign = 0;
	int err = take_room(sink, spec->wide ? 8 : 4, 4);

	if (err)
		return err;
	if (is_signed) {
		int64_t number = spec->wide ? (int64_t)arg : (int32_t)arg;

		sign = number < 0 ? '-' : spec->plus ? '+' : spec->space ? ' ' : 0;
		value = number < 0 ? -(uint64_t)number : (uint64_t)number;
	}
	put_number(sink, spec, value, sign, spec->type == 'x' || spec->type == 'X' ? 16 : 10);
	return 0;
}

static int format_char(struct sink *sink, const struct spec *spec, uint64_t arg)
{
	int err = take_room(sink, 1, 1);

	if (err)
		return err;
	if (!spec->left)
		pad(sink, ' ', spec->width - 1);
	put(sink, (char)arg);
	if (spec->left)
		pad(sink, ' ', spec->width - 1);
	return 0;
}

static int format_string(struct sink *sink, const struct spec *spec, uint64_t arg)
{
	uint32_t room = FORT_FORMAT_ROOM - sink->used;
	bool padded = spec->type == 's'; /* %pks and %pus take no width */
	char text[FORT_FORMAT_ROOM];
	int64_t got;
	int padding;

	if (!room)
		return -ENOSPC;
	got = fort_probe_string(sink->run, text, arg, room);
	if (got <= 0) {
		text[0] = 0;
		got = 1;
	}
	sink->used += (uint32_t)got;
	padding = padded ? spec->width - (int)(got - 1) : 0;
	if (!spec->left)
		pad(sink, ' ', padding);
	put_bytes(sink, text, (uint32_t)got - 1);
	if (spec->left)
		pad(sink, ' ', padding);
	return 0;
}

/* Four numbers with points between them; eight groups with colons, or without any. */
static void put_ip(struct sink *sink, const struct spec *spec, const uint8_t address[16])
{
	struct spec group = {.width = spec->ipv6 ? 4 : spec->pointer == 'i' ? 3 : -1, .zero = true};

	for (unsigned i = 0; i < (spec->ipv6 ? 8u : 4u); i++) {
		if (i && !(spec->ipv6 && spec->pointer == 'i'))
			put(sink, spec->ipv6 ? ':' : '.');
		if (spec->ipv6)
			put_number(sink, &group, (uint64_t)address[2 * i] << 8 | address[2 * i + 1],
				   0, 16);
		else
			put_number(sink, &group, address[i], 0, 10);
	}
}

static int format_ip(struct sink *sink, const struct spec *spec, uint64_t arg)
{
	uint32_t bytes = spec->ipv6 ? 16 : 4;
	uint8_t address[16];
	int before = sink->length;

	if (FORT_FORMAT_ROOM - sink->used < bytes)
		return -ENOSPC;
	if (fort_probe_read(sink->run, address, arg, bytes))
		memset(address, 0, sizeof(address));
	put_ip(sink, spec, address);
	before = sink->length - before + 1;
	if (take_room(sink, (uint32_t)before, 1))
		sink->used = FORT_FORMAT_ROOM;
	return 0;
}

/* %p hides addresses, but the same address comes out alike; NULL and error values are shown. */
static uint64_t hide(const struct fort_host *host, uint64_t address)
{
	__uint128_t product = (__uint128_t)(address ^ host->pointer_key) * 0x9e3779b97f4a7c15ull;

	if (!address || address >= (uint64_t)-4095)
		return address;
	return (uint32_t)(product >> 64 ^ product);
}

static int format_address(struct sink *sink, const struct spec *spec, uint64_t arg)
{
	struct spec number = *spec;
	int err = take_room(sink, 8, 4);

	if (err)
		return err;
	if (number.width < 0) {
		number.width = PTR_DIGITS;
		number.zero = true;
	}
	if (spec->pointer != 'x')
		arg = hide(sink->run->services->host, arg);
	put_number(sink, &number, arg, 0, 16);
	return 0;
}

/* No symbols here: what the kernel writes for an address that has none. %pB is written by the
 * kernel before it formats, so it takes no width. */
static int format_symbol(struct sink *sink, const struct spec *spec, uint64_t arg)
{
	struct spec number = {.width = -1};
	char digits[DIGITS_MAX];
	int length = 2 + (int)digits_of(arg, 16, false, digits);
	int padding = spec->pointer == 'B' ? 0 : spec->width - length;
	int err = spec->pointer == 'B' ? take_room(sink, (uint32_t)length + 1, 1)
				       : take_room(sink, 8, 4);

	if (err)
		return err;
	if (!spec->left)
		pad(sink, ' ', padding);
	put_bytes(sink, "0x", 2);
	put_number(sink, &number, arg, 0, 16);
	if (spec->left)
		pad(sink, ' ', padding);
	return 0;
}

static int format_pointer(struct sink *sink, const struct spec *spec, uint64_t arg)
{
	switch (spec->pointer) {
	case 'k':
	case 'u': return format_string(sink, spec, arg);
	case 'i':
	case 'I': return format_ip(sink, spec, arg);
	case 's':
	case 'S':
	case 'B': return format_symbol(sink, spec, arg);
	default: return format_address(sink, spec, arg);
	}
}

static int format_spec(struct sink *sink, const struct spec *spec, uint64_t arg)
{
	switch (spec->type) {
	case 'p': return format_pointer(sink, spec, arg);
	case 's': return format_string(sink, spec, arg);
	case 'c': return format_char(sink, spec, arg);
	default: return format_integer(sink, spec, arg);
	}
}

/* Behind a '%'. */
static int convert(struct sink *sink, const char **at, const uint64_t *arg, unsigned n_left)
{
	struct spec spec;
	int err;

	if (!n_left)
		return -EINVAL;
	err = read_spec(at, &spec);
	if (!err)
		err = format_spec(sink, &spec, *arg);
	while (!err && spec.type == 'p' && is_alnum(**at))
		++*at; /* the kernel takes them for part of the conversion */
	return err;
}

/* Faults are reported in the order in which the kernel meets them. */
int fort_format(const struct fort_run *run, char *out, uint32_t room, const char *format,
		const uint64_t args[FORT_FORMAT_ARGS_MAX])
{
	struct sink sink = {.run = run, .out = out, .room = room};
	unsigned used = 0;

	while (*format) {
		char c = *format++;
		int err;

		if (is_control(c) && !is_space(c))
			return -EINVAL;
		if (c != '%' || *format == '%') {
			put(&sink, c);
			format += c == '%';
			continue;
		}
		err = convert(&sink, &format, &args[used], FORT_FORMAT_ARGS_MAX - used);
		if (err)
			return err;
		used++;
	}
	out[(uint32_t)sink.length < room ? (uint32_t)sink.length : room - 1] = 0;
	return sink.length;
}
