/* The verifier log's window: what is kept, what is counted, what happens to a bad buffer. The
 * model is the whole text in one large array.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

struct buffer {
	char bytes[100000];
	uint32_t room;
	bool broken;
};

static int write_buffer(void *owner, uint64_t offset, const void *data, size_t bytes)
{
	struct buffer *buffer = owner;

	assert_true(offset + bytes <= buffer->room);
	if (buffer->broken)
		return -EFAULT;
	memcpy(buffer->bytes + offset, data, bytes);
	return 0;
}

static int read_buffer(void *owner, uint64_t offset, void *data, size_t bytes)
{
	struct buffer *buffer = owner;

	assert_true(offset + bytes <= buffer->room);
	memcpy(data, buffer->bytes + offset, bytes);
	return 0;
}

static struct buffer buffer;
static struct fort_log log_;
static char whole[300000];

static void start(uint32_t room, bool fixed)
{
	struct fort_log_target target = {write_buffer, read_buffer, &buffer};

	memset(&buffer, 'x', sizeof(buffer));
	buffer.broken = false;
	buffer.room = room;
	fort_log_start(&log_, target, room, fixed);
}

static void everything_fits_or_the_right_part_stays(void **state)
{
	static const uint32_t rooms[] = {1,    2,     7,     100,   1023, 1024,
					 5000, 16384, 16385, 40000, 90000};
	static const uint32_t lengths[] = {1,     3,     99,    1000,  16383,
					   16384, 16385, 50000, 89999, 90000};

	(void)state;
	for (unsigned r = 0; r < FORT_LEN(rooms); r++)
		for (unsigned l = 0; l < FORT_LEN(lengths); l++)
			for (int fixed = 0; fixed < 2; fixed++) {
				uint32_t room = rooms[r], length = lengths[l], needed, at = 0;
				size_t tail;
				int err;

				start(room, fixed);
				for (uint32_t i = 0; i < length; i++)
					whole[i] = (char)('a' + i * 7919 % 26);
				for (uint32_t part = 1; at < length; part = part % 977 + 1) {
					part = part < length - at ? part : length - at;
					fort_log_put(&log_, whole + at, part);
					at += part;
				}
				err = fort_log_finish(&log_, &needed);
				assert_int_equal(needed, length + 1);
				assert_int_equal(err, length + 1 > room ? -ENOSPC : 0);
				if (length + 1 <= room || fixed)
					assert_memory_equal(buffer.bytes, whole,
							    length < room ? length : room - 1);
				else
					assert_memory_equal(buffer.bytes,
							    whole + length - (room - 1), room - 1);
				assert_int_equal(buffer.bytes[length < room ? length : room - 1],
						 0);
				assert_ptr_not_equal(fort_log_tail(&log_, &tail), NULL);
				assert_int_equal(tail, length < 4096 ? length : 4096);
				assert_memory_equal(fort_log_tail(&log_, &tail),
						    whole + length - tail, tail);
			}
}

static void counts_without_a_buffer(void **state)
{
	uint32_t needed;

	(void)state;
	start(0, false);
	fort_log_add(&log_, "%s", "four");
	assert_int_equal(fort_log_finish(&log_, &needed), 0);
	assert_int_equal(needed, 5);
	fort_log_silence(&log_);
	fort_log_add(&log_, "%s", "four");
	assert_int_equal(fort_log_finish(&log_, &needed), 0);
	assert_int_equal(needed, 0);
	fort_log_add(NULL, "%s", "four");
}

static void bad_buffer(void **state)
{
	uint32_t needed;

	(void)state;
	start(100, false);
	buffer.broken = true;
	fort_log_add(&log_, "text");
	assert_int_equal(fort_log_finish(&log_, &needed), -EFAULT);
	assert_int_equal(needed, 5);
}

static void pieces_are_cut_like_the_kernels(void **state)
{
	uint32_t needed;

	(void)state;
	start(5000, false);
	memset(whole, 'y', 3000);
	whole[3000] = 0;
	fort_log_add(&log_, "%s", whole);
	assert_int_equal(fort_log_finish(&log_, &needed), 0);
	assert_int_equal(needed, 1024);
}

/* A verdict "safe" takes the path's text back; the count remembers the longest text. */
static void rewinding(void **state)
{
	static const uint32_t before[] = {0, 10, 5000, 20000}, after[] = {5, 4000, 18000, 40000};

	(void)state;
	for (unsigned b = 0; b < FORT_LEN(before); b++)
		for (unsigned a = 0; a < FORT_LEN(after); a++) {
			uint64_t position;
			uint32_t needed;

			start(90000, false);
			memset(whole, 'b', before[b]);
			fort_log_put(&log_, whole, before[b]);
			position = fort_log_position(&log_);
			memset(whole, 'a', after[a]);
			fort_log_put(&log_, whole, after[a]);
			fort_log_rewind(&log_, position);
			fort_log_put(&log_, "end", 3);
			assert_int_equal(fort_log_finish(&log_, &needed), 0);
			assert_int_equal(needed, before[b] + after[a] + 1);
			assert_int_equal(strlen(buffer.bytes), before[b] + 3);
			assert_string_equal(buffer.bytes + before[b], "end");
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_fits_or_the_right_part_stays),
		cmocka_unit_test(counts_without_a_buffer),
		cmocka_unit_test(bad_buffer),
		cmocka_unit_test(pieces_are_cut_like_the_kernels),
		cmocka_unit_test(rewinding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
