#include "cli/stream.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "helper/trace.h"

/* A ring, and how its records are printed. */
struct source {
	struct fort_ring_reader reader;
	const char *name;    /* of the map; NULL: the trace */
	uint32_t value_type; /* of its records; 0: not known */
};

struct fort_stream {
	const struct fort_types *types;
	bool json;
	uint32_t n_sources;
	struct source sources[FORT_RINGS_MAX];
	uint8_t *record; /* the largest that is printed */
};

#define RECORD_ROOM (1u << 20)

static int add_source(struct fort_stream *stream, struct fort_map *map, const char *name,
		      uint32_t value_type)
{
	struct source *source;
	int err = 0;

	if (stream->n_sources == FORT_LEN(stream->sources))
		return -E2BIG;
	if (map->wake_fd < 0)
		err = fort_ring_make_wake(map);
	if (err)
		return err;
	source = &stream->sources[stream->n_sources++];
	fort_ring_reader_init(&source->reader, map);
	source->name = name;
	source->value_type = value_type;
	return 0;
}

static int add_sources(struct fort_stream *stream, struct fort_front *front,
		       const struct bpf_object *object)
{
	struct fort_store *store = fort_front_store(front);
	struct bpf_map *each;
	int err = add_source(stream, fort_store_rings(store).trace, NULL, 0);

	bpf_object__for_each_map (each, object) {
		struct fort_map *map;

		if (err)
			break;
		if (bpf_map__type(each) != BPF_MAP_TYPE_RINGBUF)
			continue;
		err = fort_store_map(store, bpf_map__fd(each), &map);
		if (!err)
			err = add_source(stream, map, bpf_map__name(each),
					 fort_types_record(stream->types, each));
	}
	return err;
}

int fort_stream_open(struct fort_front *front, const struct bpf_object *object,
		     const struct fort_types *types, bool json, struct fort_stream **out)
{
	struct fort_stream *stream = calloc(1, sizeof(*stream));
	int err;

	if (!stream)
		return -ENOMEM;
	stream->types = types;
	stream->json = json;
	stream->record = malloc(RECORD_ROOM);
	err = stream->record ? add_sources(stream, front, object) : -ENOMEM;
	if (err)
		fort_stream_close(stream);
	else
		*out = stream;
	return err;
}

void fort_stream_close(struct fort_stream *stream)
{
	if (!stream)
		return;
	free(stream->record);
	free(stream);
}

static void print_line(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

static void print_trace(const struct fort_stream *stream, const uint8_t *record, uint32_t bytes)
{
	struct fort_trace_line line;
	char comm[FORT_TRACE_COMM_BYTES + 1] = "", *text;
	size_t length;

	if (bytes < sizeof(line))
		return;
	memcpy(&line, record, sizeof(line));
	memcpy(comm, line.comm, sizeof(line.comm));
	text = strndup((const char *)record + sizeof(line), bytes - sizeof(line));
	length = text ? strlen(text) : 0;
	while (length && text[length - 1] == '\n')
		text[--length] = 0;
	if (stream->json)
		print_line(json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "event", "trace", "time_ns",
				     fort_json_number(line.ktime_ns), "tid",
				     fort_json_number(line.tid), "cpu", fort_json_number(line.cpu),
				     "comm", fort_json_text(comm), "text", fort_json_text(text)));
	else
		printf("%" PRIu64 ".%06" PRIu64 " %s-%u [%03u]: %s\n", line.ktime_ns / 1000000000,
		       line.ktime_ns / 1000 % 1000000, comm, line.tid, line.cpu, text ? text : "");
	free(text);
}

static void print_record(const struct fort_stream *stream, const struct source *source,
			 const uint8_t *record, uint32_t bytes)
{
	struct fort_text text = fort_text_new();

	if (stream->json) {
		print_line(json_pack("{s:s, s:o, s:o}", "event", "record", "map",
				     fort_json_text(source->name), "value",
				     fort_value_json(stream->types, source->value_type, record,
						     bytes)));
		return;
	}
	fort_value_print(stream->types, source->value_type, record, bytes, &text);
	printf("%s: %s\n", source->name, text.data ? text.data : "");
	fort_text_free(&text);
}

/* At most as many as fit the ring: a producer that is faster than we are must not keep us here. */
static uint64_t drain_source(struct fort_stream *stream, struct source *source)
{
	uint64_t most = source->reader.map->shape.max_entries / FORT_RING_HEADER_BYTES, n;

	for (n = 0; n < most; n++) {
		uint32_t bytes;
		int got = fort_ring_read(&source->reader, stream->record, RECORD_ROOM, &bytes);

		if (!got)
			break;
		if (got == -EMSGSIZE)
			fprintf(stderr, "bpfort: %s: a record of %u bytes is not shown\n",
				source->name, bytes);
		else if (got < 0)
			fprintf(stderr, "bpfort: %s: the ring is damaged; its records are lost\n",
				source->name ? source->name : "trace");
		else if (source->name)
			print_record(stream, source, stream->record, bytes);
		else
			print_trace(stream, stream->record, bytes);
	}
	return n;
}

uint64_t fort_stream_drain(struct fort_stream *stream)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < stream->n_sources; i++)
		n += drain_source(stream, &stream->sources[i]);
	if (n)
		fflush(stdout);
	return n;
}

int fort_stream_wait(struct fort_stream *stream, int fd, int64_t timeout_ns)
{
	struct fort_ring_reader *readers[FORT_RINGS_MAX];
	int got;

	for (uint32_t i = 0; i < stream->n_sources; i++)
		readers[i] = &stream->sources[i].reader;
	got = fort_ring_wait(readers, stream->n_sources, fd, timeout_ns);
	return got < 0 ? got : 0;
}

void fort_stream_losses(const struct fort_stream *stream)
{
	for (uint32_t i = 0; i < stream->n_sources; i++) {
		const struct source *source = &stream->sources[i];
		uint64_t lost = fort_map_dropped(source->reader.map);

		if (lost)
			fprintf(stderr, "bpfort: %s: %" PRIu64 " %s found no room\n",
				source->name ? source->name : "trace", lost,
				source->name ? "records" : "lines");
	}
}
