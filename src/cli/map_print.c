#include "cli/map_print.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "abi/maps.h"

#define HISTOGRAM_SLOTS 64
#define BAR_WIDTH       40

/* A map as it is read: `value` has room for all processors' copies. */
struct contents {
	const struct bpf_map *map;
	const struct fort_types *types;
	const struct fort_map_info *info;
	uint32_t key_bytes, value_bytes, max_entries;
	uint32_t copies, stride; /* per-CPU types: values per key */
	uint8_t *key, *next, *value;
};

static bool open_contents(const struct bpf_map *map, const struct fort_types *types,
			  struct contents *out)
{
	const struct fort_map_info *info = fort_map_by_number(bpf_map__type(map));
	int cpus = libbpf_num_possible_cpus();

	if (!info || !(info->classes & FORT_CLASS_KEYED) || cpus < 1)
		return false;
	if (bpf_map__is_internal(map) && bpf_map__map_flags(map) & BPF_F_RDONLY_PROG)
		return false;
	*out = (struct contents){.map = map,
				 .types = types,
				 .info = info,
				 .key_bytes = bpf_map__key_size(map),
				 .value_bytes = bpf_map__value_size(map),
				 .max_entries = bpf_map__max_entries(map),
				 .copies = 1};
	out->stride = (uint32_t)fort_round_up(out->value_bytes, 8);
	if (info->classes & FORT_CLASS_PERCPU)
		out->copies = (uint32_t)cpus;
	out->key = calloc(1, out->key_bytes);
	out->next = calloc(1, out->key_bytes);
	out->value = calloc(out->copies, out->stride);
	return true;
}

static void close_contents(struct contents *c)
{
	free(c->key);
	free(c->next);
	free(c->value);
}

/* Reads the next entry into key and value. Others change the map meanwhile: entries that are gone
 * are left out, and there are never more rounds than the map has room. */
static bool next_entry(struct contents *c, uint32_t *n)
{
	int fd = bpf_map__fd(c->map);

	while (c->key && c->next && c->value && *n < c->max_entries) {
		uint8_t *key = c->key;

		if (bpf_map_get_next_key(fd, *n ? c->key : NULL, c->next))
			return false;
		(*n)++;
		c->key = c->next;
		c->next = key;
		if (!bpf_map_lookup_elem(fd, c->key, c->value))
			return true;
	}
	return false;
}

static bool is_zero(const struct contents *c)
{
	for (size_t i = 0; i < (size_t)c->copies * c->stride; i++)
		if (c->value[i])
			return false;
	return true;
}

static uint64_t number_at(const uint8_t *at, uint32_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes < 8 ? bytes : 8); /* little-endian */
	return value;
}

/* --- histograms --- */

static const char *histogram_unit(const struct contents *c)
{
	static const char prefix[] = "log2_";
	const char *alias = fort_type_alias(c->types, bpf_map__btf_key_type_id(c->map));

	if (strncmp(alias, prefix, sizeof(prefix) - 1) != 0 || c->key_bytes > 8 ||
	    !fort_type_is_number(c->types, bpf_map__btf_value_type_id(c->map)))
		return NULL;
	return alias + sizeof(prefix) - 1;
}

static void add_bar(uint64_t count, uint64_t most, struct fort_text *out)
{
	uint64_t width = most ? (count * BAR_WIDTH + most - 1) / most : 0;

	for (uint64_t i = 0; i < width; i++)
		fort_text_add(out, "#");
}

static void print_histogram(struct contents *c, const char *unit, struct fort_text *out)
{
	uint64_t counts[HISTOGRAM_SLOTS] = {0}, most = 0, all = 0;
	uint32_t n = 0, first = HISTOGRAM_SLOTS, last = 0;

	while (next_entry(c, &n)) {
		uint64_t slot = number_at(c->key, c->key_bytes);

		if (slot >= HISTOGRAM_SLOTS)
			continue;
		for (uint32_t i = 0; i < c->copies; i++)
			counts[slot] += number_at(c->value + i * c->stride, c->value_bytes);
	}
	for (uint32_t i = 0; i < HISTOGRAM_SLOTS; i++) {
		if (!counts[i])
			continue;
		first = first < i ? first : i;
		last = i;
		all += counts[i];
		most = counts[i] > most ? counts[i] : most;
	}
	fort_text_add(out, "%s: %" PRIu64 " in all\n", bpf_map__name(c->map), all);
	if (!all)
		return;
	fort_text_add(out, "  %25s  %10s\n", unit, "count");
	for (uint32_t i = first; i <= last; i++) {
		fort_text_add(out, "  %10llu .. %10llu   %10" PRIu64 "  ", i ? 1ull << i : 0,
			      i < 63 ? (2ull << i) - 1 : ~0ull, counts[i]);
		add_bar(counts[i], most, out);
		fort_text_add(out, "\n");
	}
}

/* --- entries --- */

/* Indices of arrays are numbers, also of those that libbpf makes, which say nothing of keys. */
static bool is_index(const struct contents *c, uint32_t key_type)
{
	return !key_type && c->info->key_rule == FORT_SIZE_FOUR;
}

static void print_key(const struct contents *c, struct fort_text *out)
{
	uint32_t type = bpf_map__btf_key_type_id(c->map);

	if (is_index(c, type))
		fort_text_add(out, "%" PRIu64, number_at(c->key, c->key_bytes));
	else
		fort_value_print(c->types, type, c->key, c->key_bytes, out);
}

static json_t *key_json(const struct contents *c)
{
	uint32_t type = bpf_map__btf_key_type_id(c->map);

	if (is_index(c, type))
		return fort_json_number(number_at(c->key, c->key_bytes));
	return fort_value_json(c->types, type, c->key, c->key_bytes);
}

static void print_entries(struct contents *c, struct fort_text *out)
{
	uint32_t value_type = bpf_map__btf_value_type_id(c->map);
	uint32_t n = 0, zero = 0, shown = 0;
	struct fort_text lines = fort_text_new();

	while (next_entry(c, &n)) {
		if (is_zero(c)) {
			zero++;
			continue;
		}
		shown++;
		fort_text_add(&lines, "  ");
		print_key(c, &lines);
		fort_text_add(&lines, ": ");
		for (uint32_t i = 0; i < c->copies; i++) {
			if (c->copies > 1)
				fort_text_add(&lines, "%scpu%u ", i ? ", " : "", i);
			fort_value_print(c->types, value_type, c->value + i * c->stride,
					 c->value_bytes, &lines);
		}
		fort_text_add(&lines, "\n");
	}
	fort_text_add(out, "%s: ", bpf_map__name(c->map));
	if (shown || !zero)
		fort_text_add(out, "%u %s", shown, shown == 1 ? "entry" : "entries");
	if (zero)
		fort_text_add(out, "%s%u zero", shown ? ", and " : "", zero);
	fort_text_add(out, "\n%s", lines.data ? lines.data : "");
	fort_text_free(&lines);
}

void fort_map_print(const struct bpf_map *map, const struct fort_types *types, bool suspect,
		    struct fort_text *out)
{
	struct contents c;
	const char *unit;

	if (!open_contents(map, types, &c))
		return;
	if (suspect)
		fort_text_add(out, "%s is suspect: a program that could write it crashed\n",
			      bpf_map__name(map));
	unit = histogram_unit(&c);
	if (unit)
		print_histogram(&c, unit, out);
	else
		print_entries(&c, out);
	close_contents(&c);
}

static json_t *value_json(const struct contents *c)
{
	uint32_t type = bpf_map__btf_value_type_id(c->map);
	json_t *list;

	if (c->copies == 1)
		return fort_value_json(c->types, type, c->value, c->value_bytes);
	list = json_array();
	for (uint32_t i = 0; i < c->copies; i++)
		json_array_append_new(list,
				      fort_value_json(c->types, type, c->value + i * c->stride,
						      c->value_bytes));
	return list;
}

json_t *fort_map_json(const struct bpf_map *map, const struct fort_types *types, bool suspect)
{
	json_t *entries, *object;
	uint32_t n = 0, zero = 0;
	struct contents c;

	if (!open_contents(map, types, &c))
		return NULL;
	entries = json_array();
	while (next_entry(&c, &n)) {
		if (is_zero(&c)) {
			zero++;
			continue;
		}
		json_array_append_new(entries, json_pack("{s:o, s:o}", "key", key_json(&c), "value",
							 value_json(&c)));
	}
	object = json_pack("{s:o, s:s, s:b, s:o, s:o}", "map", fort_json_text(bpf_map__name(map)),
			   "type", c.info->name, "suspect", suspect, "zero_entries",
			   fort_json_number(zero), "entries", entries);
	close_contents(&c);
	return object;
}
