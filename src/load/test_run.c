#include "load/test_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <time.h>

#define ETHER_BYTES    14u
#define LOOPBACK_INDEX 1u

struct test {
	struct fort_loaded *loaded;
	const struct fort_test_input *input;
	uint8_t *image; /* of the context */
	uint32_t image_bytes;
	uint64_t packet;     /* address of data[0] as the program sees it; 0: no packet area */
	uint32_t skipped;    /* bytes of the packet before what the program sees */
	uint32_t meta_bytes; /* of input data that are metadata */
	struct fort_run_packet legacy; /* of types that have it */
	bool wants_ctx;                /* a context is given or asked for */
};

/* One context: how it gets into the image, and what comes out. */
struct shape {
	int (*place)(struct test *test);
	void (*collect)(const struct test *test, void *data_out, void *ctx_out,
			struct fort_test_output *out);
};

/* The address behind a context field that yields a pointer. */
static void put_pointer(struct test *test, enum fort_yield yields, uint64_t address)
{
	const struct fort_ctx *ctx = test->loaded->hardened.prog->ctx;

	for (uint32_t i = 0; i < ctx->n_fields; i++)
		if (ctx->fields[i].yields == yields &&
		    ctx->fields[i].image + sizeof(address) <= test->image_bytes)
			memcpy(test->image + ctx->fields[i].image, &address, sizeof(address));
}

static int place_packet(struct test *test)
{
	const struct fort_domain *domain = &test->loaded->domain;
	const struct fort_test_input *input = test->input;

	if (!domain->packet_start)
		return 0; /* a type that never looks at the packet itself */
	if (FORT_TEST_HEADROOM + (uint64_t)input->data_bytes > domain->shape.packet_bytes)
		return -EINVAL;
	test->packet = fort_domain_address(domain, domain->packet_start + FORT_TEST_HEADROOM);
	return fort_domain_put_packet(domain, FORT_TEST_HEADROOM, input->data, input->data_bytes);
}

static void copy_packet(const struct test *test, void *data_out, struct fort_test_output *out)
{
	const void *packet = test->packet
				     ? fort_window_at(&test->loaded->domain.window, test->packet)
				     : test->input->data;

	out->data_bytes = test->input->data_bytes;
	if (data_out)
		memcpy(data_out, packet, out->data_bytes);
}

/* --- struct __sk_buff --- */

/* The packet's protocol in network order. A length in its place means an 802 frame (K:
 * eth_type_trans). */
static uint32_t protocol_of(const uint8_t *data, uint32_t bytes)
{
	uint32_t type = (uint32_t)data[12] << 8 | data[13];
	bool raw = bytes >= ETHER_BYTES + 2 && data[14] == 0xff && data[15] == 0xff;

	if (type < ETH_P_802_3_MIN)
		type = raw ? ETH_P_802_3 : ETH_P_802_2;
	return htons((uint16_t)type);
}

/* Whom the packet is for, seen from the loopback device, whose address is zero (K: the same). */
static uint32_t packet_type_of(const uint8_t *data)
{
	static const uint8_t ours[ETH_ALEN], all[ETH_ALEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (!memcmp(data, ours, ETH_ALEN))
		return PACKET_HOST;
	if (!(data[0] & 1))
		return PACKET_OTHERHOST;
	return memcmp(data, all, ETH_ALEN) ? PACKET_MULTICAST : PACKET_BROADCAST;
}

static int place_skb(struct test *test)
{
	const struct fort_test_input *input = test->input;
	struct __sk_buff skb = {0};
	int err = place_packet(test);

	if (err)
		return err;
	if (input->ctx)
		memcpy(&skb, input->ctx, sizeof(skb));
	/* Socket filters see the packet behind its Ethernet header, tc programs all of it. */
	test->skipped = test->loaded->hardened.prog->number == BPF_PROG_TYPE_SOCKET_FILTER
				? ETHER_BYTES
				: 0;
	skb.len = input->data_bytes - test->skipped;
	skb.pkt_type = packet_type_of(input->data);
	skb.protocol = protocol_of(input->data, input->data_bytes);
	skb.ifindex = skb.ifindex ? skb.ifindex : LOOPBACK_INDEX;
	/* K: only with a context is the length on the wire filled in. */
	if (!skb.wire_len && test->wants_ctx)
		skb.wire_len = skb.len;
	memcpy(test->image, &skb, sizeof(skb));
	test->legacy = (struct fort_run_packet){
		.start = test->packet ? fort_window_at(&test->loaded->domain.window, test->packet)
				      : input->data,
		.bytes = input->data_bytes,
		.data = test->skipped,
		.network = ETHER_BYTES};
	put_pointer(test, FORT_YIELD_PACKET, test->packet);
	put_pointer(test, FORT_YIELD_PACKET_META, test->packet);
	put_pointer(test, FORT_YIELD_PACKET_END, test->packet + input->data_bytes);
	return 0;
}

static void collect_skb(const struct test *test, void *data_out, void *ctx_out,
			struct fort_test_output *out)
{
	struct __sk_buff seen, skb = {0};

	copy_packet(test, data_out, out);
	if (data_out)
		memset(data_out, 0, test->skipped); /* K: the header comes back empty */
	out->ctx_bytes = sizeof(skb);
	if (!ctx_out)
		return;
	memcpy(&seen, test->image, sizeof(seen));
	if (test->input->ctx)
		memcpy(&skb, test->input->ctx, sizeof(skb));
	skb.mark = seen.mark;
	skb.priority = seen.priority;
	skb.ingress_ifindex = seen.ingress_ifindex;
	skb.ifindex = seen.ifindex;
	memcpy(skb.cb, seen.cb, sizeof(skb.cb));
	skb.tstamp = seen.tstamp;
	skb.wire_len = seen.wire_len;
	skb.gso_segs = seen.gso_segs;
	skb.gso_size = seen.gso_size;
	skb.hwtstamp = seen.hwtstamp;
	memcpy(ctx_out, &skb, sizeof(skb));
}

/* --- struct xdp_md --- */

static int place_xdp(struct test *test)
{
	const struct fort_test_input *input = test->input;
	struct xdp_md md = {0};
	int err = place_packet(test);

	if (err)
		return err;
	if (input->ctx)
		memcpy(&md, input->ctx, sizeof(md));
	test->meta_bytes = md.data; /* offset of the packet behind its metadata */
	md.data = 0;
	md.data_end = 0;
	md.ingress_ifindex = md.ingress_ifindex ? md.ingress_ifindex : LOOPBACK_INDEX;
	memcpy(test->image, &md, sizeof(md));
	put_pointer(test, FORT_YIELD_PACKET_META, test->packet);
	put_pointer(test, FORT_YIELD_PACKET, test->packet + test->meta_bytes);
	put_pointer(test, FORT_YIELD_PACKET_END, test->packet + input->data_bytes);
	return 0;
}

static void collect_xdp(const struct test *test, void *data_out, void *ctx_out,
			struct fort_test_output *out)
{
	struct xdp_md md = {0};

	copy_packet(test, data_out, out);
	out->ctx_bytes = sizeof(md);
	if (!ctx_out)
		return;
	if (test->input->ctx)
		memcpy(&md, test->input->ctx, sizeof(md));
	md.data = test->meta_bytes;
	md.data_end = out->data_bytes;
	memcpy(ctx_out, &md, sizeof(md));
}

/* --- contexts of plain bytes --- */

static int place_plain(struct test *test)
{
	if (test->input->ctx_bytes > test->image_bytes)
		return -EINVAL;
	if (test->input->ctx_bytes)
		memcpy(test->image, test->input->ctx, test->input->ctx_bytes);
	return 0;
}

static void collect_plain(const struct test *test, void *data_out, void *ctx_out,
			  struct fort_test_output *out)
{
	(void)data_out;
	out->ctx_bytes = test->input->ctx_bytes;
	if (ctx_out && out->ctx_bytes)
		memcpy(ctx_out, test->image, out->ctx_bytes);
}

static const struct shape shape_skb = {place_skb, collect_skb};
static const struct shape shape_xdp = {place_xdp, collect_xdp};
static const struct shape shape_plain = {place_plain, collect_plain};

static const struct shape *shape_of(const struct fort_prog_info *prog)
{
	switch (prog->number) {
	case BPF_PROG_TYPE_SOCKET_FILTER:
	case BPF_PROG_TYPE_SCHED_CLS: return &shape_skb;
	case BPF_PROG_TYPE_XDP: return &shape_xdp;
	default: return &shape_plain;
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int fort_test_run(struct fort_loaded *loaded, struct fort_services *services,
		  const struct fort_test_input *input, void *data_out, void *ctx_out,
		  struct fort_test_output *out)
{
	const struct shape *shape = shape_of(loaded->hardened.prog);
	struct test test = {.loaded = loaded,
			    .input = input,
			    .image = fort_loaded_ctx(loaded, 0),
			    .image_bytes = loaded->hardened.prog->ctx->image_bytes,
			    .wants_ctx = input->ctx || ctx_out};
	struct fort_test_output result = {0};
	struct fort_run run = {0};
	uint32_t rights = fort_domain_enter(&loaded->domain);
	uint64_t start;
	int err;

	memset(test.image, 0, test.image_bytes);
	err = shape->place(&test);
	if (err) {
		fort_domain_leave(&loaded->domain, rights);
		return err;
	}
	run.packet = test.legacy;
	start = now_ns();
	while (result.runs < input->repeat && !run.abort.code) {
		result.result = fort_loaded_run(loaded, 0, services, &run);
		result.runs++;
		if (run.abort.code && run.tails.at)
			result.ended_in = run.tails.at->id;
	}
	result.total_ns = now_ns() - start;
	result.ns = result.total_ns / result.runs;
	result.abort = run.abort;
	shape->collect(&test, data_out, ctx_out, &result);
	fort_domain_leave(&loaded->domain, rights);
	*out = result;
	return 0;
}
