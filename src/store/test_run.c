/* PROG_TEST_RUN: which inputs each program type takes (net/bpf/test_run.c), and the answers.
 *
 * Differences, both on purpose: packets may be as large as FORT_TEST_DATA_BYTES, not only what is
 * left of a page; and programs of types that the kernel cannot test run on a context of bytes,
 * like raw tracepoints.
 */
#include <errno.h>
#include <sched.h>

#include "store/call.h"

#define ETHER_BYTES 14u
#define META_MAX    216u /* K: room for metadata before an XDP packet */
#define ARGS_MAX    96u  /* K: arguments of a raw tracepoint */

/* Fields of struct __sk_buff that a test may set; all others must be zero. */
struct range {
	uint32_t start, end;
};

#define FIELDS(first, last)                                                                      \
	{                                                                                        \
		offsetof(struct __sk_buff, first),                                               \
			offsetof(struct __sk_buff, last) + sizeof(((struct __sk_buff *)0)->last) \
	}

static const struct range skb_inputs[] = {
	FIELDS(mark, mark),       FIELDS(priority, ifindex),  FIELDS(cb, cb),
	FIELDS(tstamp, gso_segs), FIELDS(gso_size, gso_size), FIELDS(hwtstamp, hwtstamp),
};

static bool is_skb(const struct fort_prog_info *type)
{
	return type->number == BPF_PROG_TYPE_SOCKET_FILTER ||
	       type->number == BPF_PROG_TYPE_SCHED_CLS;
}

static bool is_raw_tracepoint(const struct fort_prog_info *type)
{
	return type->number == BPF_PROG_TYPE_RAW_TRACEPOINT;
}

static int copy_data(struct fort_call *call)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	struct fort_test_request *request = &call->test.request;
	void *data;
	int err;

	if (attr->data_size_in > FORT_TEST_DATA_BYTES)
		return -EINVAL;
	err = fort_call_copy(call, attr->data_in, attr->data_size_in, &data);
	if (err)
		return err;
	request->data_in = data;
	request->data_in_bytes = attr->data_size_in;
	request->data_out = fort_call_alloc(call, FORT_TEST_DATA_BYTES);
	return request->data_out ? 0 : -ENOMEM;
}

/* A context struct of `known` bytes: a larger one must not say more. */
static int copy_ctx(struct fort_call *call, uint32_t known)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	struct fort_test_request *request = &call->test.request;
	uint32_t bytes = attr->ctx_size_in < known ? attr->ctx_size_in : known;
	uint8_t *ctx;
	int zero = 1;

	if (!attr->ctx_in && !attr->ctx_out)
		return 0;
	if (attr->ctx_size_in > FORT_PAGE_BYTES)
		return -E2BIG;
	if (attr->ctx_size_in > known)
		zero = fort_caller_is_zero(&call->caller, attr->ctx_in + known,
					   attr->ctx_size_in - known);
	if (zero <= 0)
		return zero ? zero : -E2BIG;
	ctx = fort_call_alloc(call, 2ull * known);
	if (!ctx)
		return -ENOMEM;
	request->ctx_in = ctx;
	request->ctx_in_bytes = known;
	request->ctx_out = ctx + known;
	return fort_call_read(call, attr->ctx_in, ctx, bytes);
}

static int check_skb(const struct __sk_buff *skb, uint32_t packet_bytes)
{
	const uint8_t *bytes = (const uint8_t *)skb;
	uint32_t at = 0;

	for (unsigned i = 0; i <= FORT_LEN(skb_inputs); i++) {
		uint32_t end = i < FORT_LEN(skb_inputs) ? skb_inputs[i].start : sizeof(*skb);

		for (; at < end; at++)
			if (bytes[at])
				return -EINVAL;
		at = i < FORT_LEN(skb_inputs) ? skb_inputs[i].end : at;
	}
	if (skb->wire_len && (skb->wire_len < packet_bytes || skb->wire_len > 65536))
		return -EINVAL;
	if (skb->gso_segs > 65535)
		return -EINVAL;
	return skb->ifindex > 1 ? -ENODEV : 0;
}

/* The network header that the packet's type promises must be there. */
static int check_packet(const uint8_t *packet, uint32_t bytes)
{
	uint32_t rest = bytes - ETHER_BYTES;

	if (packet[12] == 0x08 && packet[13] == 0x00 && rest < 20)
		return -EINVAL;
	if (packet[12] == 0x86 && packet[13] == 0xdd && rest < 40)
		return -EINVAL;
	return 0;
}

static int decode_skb(struct fort_call *call)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	const struct fort_test_request *request = &call->test.request;
	uint32_t seen = attr->data_size_in;
	int err;

	if (attr->flags & ~FORT_BPF_F_TEST_SKB_CHECKSUM_COMPLETE || attr->cpu || attr->batch_size)
		return -EINVAL;
	if (attr->data_size_in < ETHER_BYTES)
		return -EINVAL;
	err = copy_data(call);
	err = err ? err : copy_ctx(call, sizeof(struct __sk_buff));
	err = err ? err : check_packet(request->data_in, request->data_in_bytes);
	if (err || !request->ctx_in)
		return err;
	if (call->test.prog->type->number == BPF_PROG_TYPE_SOCKET_FILTER)
		seen -= ETHER_BYTES;
	return check_skb(request->ctx_in, seen);
}

/* data, data_end and data_meta are offsets into data_in here: [0, data) is metadata. */
static int check_md(const struct xdp_md *md, uint32_t data_bytes)
{
	if (md->data_meta || md->data_end > data_bytes || md->data > md->data_end)
		return -EINVAL;
	if (md->data % 4 || md->data > META_MAX)
		return -EINVAL;
	if (data_bytes - md->data < ETHER_BYTES)
		return -EINVAL;
	if (md->egress_ifindex || (!md->ingress_ifindex && md->rx_queue_index))
		return -EINVAL;
	if (md->ingress_ifindex > 1)
		return -ENODEV;
	return md->rx_queue_index ? -EINVAL : 0;
}

static int decode_xdp(struct fort_call *call)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	uint32_t attach = call->test.prog->expected_attach_type;
	int err;

	if (attach == BPF_XDP_DEVMAP || attach == BPF_XDP_CPUMAP)
		return -EINVAL;
	/* Live frames go through a device: there is none. */
	if (attr->flags || attr->batch_size)
		return -EINVAL;
	err = copy_ctx(call, sizeof(struct xdp_md));
	if (err)
		return err;
	if (call->test.request.ctx_in)
		err = check_md(call->test.request.ctx_in, attr->data_size_in);
	else if (attr->data_size_in < ETHER_BYTES)
		err = -EINVAL;
	return err ? err : copy_data(call);
}

/* Programs whose context is a block of words. */
static int decode_words(struct fort_call *call)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	const struct fort_prog_info *type = call->test.prog->type;
	struct fort_test_request *request = &call->test.request;
	uint32_t most = is_raw_tracepoint(type)                 ? ARGS_MAX
			: type->number == BPF_PROG_TYPE_SYSCALL ? UINT16_MAX
								: type->ctx->image_bytes;
	void *ctx;
	int err;

	if (attr->data_in || attr->data_out || attr->ctx_out || attr->duration || attr->batch_size)
		return -EINVAL;
	if (attr->ctx_size_in > most)
		return -EINVAL;
	/* K: these run once, tracepoints on a processor of choice */
	if (is_raw_tracepoint(type)) {
		if (attr->repeat || (attr->cpu && !(attr->flags & BPF_F_TEST_RUN_ON_CPU)))
			return -EINVAL;
	} else if (type->number == BPF_PROG_TYPE_SYSCALL) {
		if (attr->repeat || attr->flags)
			return -EINVAL;
	} else if (attr->flags || attr->cpu) {
		return -EINVAL;
	}
	if (!attr->ctx_size_in)
		return 0;
	err = fort_call_copy(call, attr->ctx_in, attr->ctx_size_in, &ctx);
	if (err)
		return err;
	request->ctx_in = ctx;
	request->ctx_in_bytes = attr->ctx_size_in;
	request->ctx_out = fort_call_alloc(call, attr->ctx_size_in);
	return request->ctx_out ? 0 : -ENOMEM;
}

int fort_test_run_decode(struct fort_call *call)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	struct fort_test_request *request = &call->test.request;
	struct fort_object *object;
	int err;

	if (!attr->ctx_size_in != !attr->ctx_in || !attr->ctx_size_out != !attr->ctx_out)
		return -EINVAL;
	err = fort_call_object(call, attr->prog_fd, FORT_OBJECT_PROG, &object);
	if (err)
		return err;
	call->test.prog = (struct fort_prog_object *)object;
	if (!call->test.prog->road)
		return -EOPNOTSUPP;
	*request = (struct fort_test_request){.repeat = attr->repeat ? attr->repeat : 1,
					      .flags = attr->flags};
	if (attr->repeat > FORT_TEST_REPEAT_MAX)
		return -EINVAL;
	if (is_skb(call->test.prog->type))
		return decode_skb(call);
	if (call->test.prog->type->number == BPF_PROG_TYPE_XDP)
		return decode_xdp(call);
	return decode_words(call);
}

/* Copies what fits the caller's room; -ENOSPC when that is not all. Room 0: everything. */
static int answer_data(struct fort_call *call, const struct fort_test_result *result)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	uint32_t bytes = result->data_out_bytes, room = attr->data_size_out;
	bool cut = room && bytes > room;
	int err = 0;

	if (attr->data_out)
		err = fort_call_write(call, attr->data_out, call->test.request.data_out,
				      cut ? room : bytes);
	err = err ? err : FORT_CALL_ANSWER(call, test.data_size_out, bytes);
	err = err ? err : FORT_CALL_ANSWER(call, test.retval, result->retval);
	err = err ? err : FORT_CALL_ANSWER(call, test.duration, result->duration_ns);
	return err ? err : cut ? -ENOSPC : 0;
}

static int answer_ctx(struct fort_call *call, const struct fort_test_result *result)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	uint32_t bytes = result->ctx_out_bytes, room = attr->ctx_size_out;
	int err;

	if (!attr->ctx_out)
		return 0;
	err = fort_call_write(call, attr->ctx_out, call->test.request.ctx_out,
			      bytes < room ? bytes : room);
	err = err ? err : FORT_CALL_ANSWER(call, test.ctx_size_out, bytes);
	return err ? err : bytes > room ? -ENOSPC : 0;
}

/* The context of these is answered where it came from. */
static int answer_words(struct fort_call *call, const struct fort_test_result *result)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	int err = FORT_CALL_ANSWER(call, test.retval, result->retval);

	if (!err && call->test.prog->type->number == BPF_PROG_TYPE_SYSCALL)
		err = fort_call_write(call, attr->ctx_in, call->test.request.ctx_out,
				      attr->ctx_size_in);
	return err;
}

/* Runs on the processor that the caller named; the thread comes back to where it may be. */
static int run_on(struct fort_call *call, uint32_t cpu, struct fort_test_result *result)
{
	cpu_set_t before, there;
	int err;

	if (cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(before), &before))
		return -ENXIO;
	CPU_ZERO(&there);
	CPU_SET(cpu, &there);
	if (sched_setaffinity(0, sizeof(there), &there))
		return -ENXIO;
	err = fort_road_test_run(call->test.prog->road, &call->test.request, result);
	sched_setaffinity(0, sizeof(before), &before);
	return err;
}

long fort_test_run_invoke(struct fort_call *call)
{
	const struct fort_attr_test_run *attr = &call->attr.test;
	const struct fort_prog_info *type = call->test.prog->type;
	struct fort_test_result result = {0};
	int err;

	if (is_raw_tracepoint(type) && attr->flags & BPF_F_TEST_RUN_ON_CPU)
		err = run_on(call, attr->cpu, &result);
	else
		err = fort_road_test_run(call->test.prog->road, &call->test.request, &result);
	pthread_mutex_lock(&call->store->lock);
	call->store->last_run = result;
	pthread_mutex_unlock(&call->store->lock);
	if (err)
		return err;
	if (!is_skb(type) && type->number != BPF_PROG_TYPE_XDP)
		return answer_words(call, &result);
	err = answer_data(call, &result);
	return err ? err : answer_ctx(call, &result);
}
