#include "agent/pending.h"

#include <errno.h>
#include <linux/mman.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#include "agent/agent.h"
#include "base/sys.h"

/* Each run slot has a bank of entries that only its holder takes from, so that a push needs no
 * atomic operation. Deep recursion overflows into entries that all share. */
#define BANK         64u
#define SHARED       4096u
#define TRIES        32u
#define SHARED_FIRST (FORT_RUN_SLOTS * BANK)
#define ENTRIES      (SHARED_FIRST + SHARED)
#define PATIENCE     255u
#define TAKEN        1u /* as `stack` of an entry that is being filled */

#define PAD_BYTES   32u
#define PAD_RETURN  11u /* behind the pad's call */
#define HEAD_BYTES  64u /* of the pads: address of the exit gate */
#define PADS_BYTES  (HEAD_BYTES + ENTRIES * PAD_BYTES)
#define TABLE_START ((PADS_BYTES + FORT_PAGE_BYTES - 1) & ~(FORT_PAGE_BYTES - 1))
#define ALL_BYTES   (TABLE_START + ENTRIES * sizeof(struct entry))

struct entry {
	uint64_t body;  /* what the pad calls: at offset 0 */
	uint64_t stack; /* where the return address was; 0: free */
	uint64_t target;
	uint64_t key;
	struct fort_site *site;
	bool chained; /* the return address of another entry: its own is not on the stack */
	uint8_t reserved[23];
};

struct bank {
	uint8_t hint;     /* next to try */
	uint8_t used;     /* entries from here on were never taken */
	uint8_t patience; /* failures before dead entries are looked for */
};

static uint8_t *pads; /* NULL: no return probe yet */
static struct entry *entries;
static struct bank banks[FORT_RUN_SLOTS];
static uint32_t shared_hint;
static bool shared_used;

static uint64_t pad_of(uint32_t index)
{
	return (uint64_t)(uintptr_t)pads + HEAD_BYTES + index * PAD_BYTES;
}

/* The entry whose pad's return address this is; ENTRIES when it is none. */
static uint32_t entry_of(uint64_t address)
{
	uint64_t distance = address - PAD_RETURN - pad_of(0);

	if (distance >= (uint64_t)ENTRIES * PAD_BYTES || distance % PAD_BYTES)
		return ENTRIES;
	return (uint32_t)(distance / PAD_BYTES);
}

static void put32(uint8_t *at, uint64_t value)
{
	uint32_t word = (uint32_t)value;

	memcpy(at, &word, sizeof(word));
}

static void write_pad(uint32_t index)
{
	/* clang-format off */
	static const uint8_t code[] = {
		0x48, 0x8d, 0x64, 0x24, 0x08,       /*  0: lea 8(%rsp), %rsp */
		0xff, 0x15, 0, 0, 0, 0,             /*  5: call *body(%rip) */
		0x68, 0, 0, 0, 0,                   /* 11: push $index */
		0xff, 0x25, 0, 0, 0, 0,             /* 16: jmp *exit_gate(%rip) */
		0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
	};
	/* clang-format on */
	uint8_t *pad = pads + HEAD_BYTES + (size_t)index * PAD_BYTES;

	_Static_assert(sizeof(code) == PAD_BYTES, "pad");
	memcpy(pad, code, sizeof(code));
	put32(pad + 7, (uint64_t)(uintptr_t)&entries[index] - (uint64_t)(uintptr_t)(pad + 11));
	put32(pad + 12, index);
	put32(pad + 18, (uint64_t)(uintptr_t)pads - (uint64_t)(uintptr_t)(pad + 22));
}

int fort_pending_open(void)
{
	void (*gate)(void) = fort_gate_exit;
	long at, err;

	if (pads)
		return 0;
	at = fort_sys6(SYS_mmap, 0, ALL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	if (at < 0 && at >= -4095)
		return (int)at;
	pads = (uint8_t *)at;
	entries = (struct entry *)(pads + TABLE_START);
	memcpy(pads, &gate, sizeof(gate));
	for (uint32_t i = 0; i < ENTRIES; i++)
		write_pad(i);
	err = fort_sys3(SYS_mprotect, at, TABLE_START, PROT_READ | PROT_EXEC);
	if (err) {
		fort_pending_close();
		return (int)err;
	}
	return 0;
}

void fort_pending_close(void)
{
	if (pads)
		fort_sys2(SYS_munmap, (long)pads, ALL_BYTES);
	pads = NULL;
}

bool fort_pending_contains(uint64_t address)
{
	return pads && address - (uint64_t)(uintptr_t)pads < TABLE_START;
}

/* A word of the target's memory, which may be unmapped. */
static bool peek(uint64_t address, uint64_t *word)
{
	struct iovec local = {word, sizeof(*word)};
	struct iovec remote = {(void *)(uintptr_t)address, sizeof(*word)};

	return fort_sys6(SYS_process_vm_readv, fort_sys0(SYS_getpid), (long)&local, 1,
			 (long)&remote, 1, 0) == sizeof(*word);
}

/* Is this what a live entry's word on the stack may be: the pad, its return address, or, on the way
 * out, its number? */
static bool is_own(uint32_t index, uint64_t word)
{
	return word == pad_of(index) || word == pad_of(index) + PAD_RETURN || word == index;
}

/* Dead entries among [first, first + n) become free; false when there were none. */
static bool reclaim(uint32_t first, uint32_t n)
{
	bool found = false;
	uint64_t word;

	if (fort_agent.keep_pending)
		return false;
	for (uint32_t i = first; i < first + n; i++) {
		uint64_t stack = __atomic_load_n(&entries[i].stack, __ATOMIC_ACQUIRE);

		if (stack <= TAKEN || entries[i].chained)
			continue;
		if (!peek(stack, &word) || !is_own(i, word))
			found |= __atomic_compare_exchange_n(&entries[i].stack, &stack, 0, false,
							     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	return found;
}

static bool is_free(uint32_t index)
{
	return !__atomic_load_n(&entries[index].stack, __ATOMIC_ACQUIRE);
}

/* A free entry of the slot's bank, or ENTRIES. Calls nest: the one used last is tried first. */
static uint32_t take_own(uint32_t slot)
{
	struct bank *bank = &banks[slot];
	uint32_t first = slot * BANK;

	while (bank->hint && is_free(first + bank->hint - 1))
		bank->hint--;
	while (bank->hint < BANK && !is_free(first + bank->hint))
		bank->hint++;
	if (bank->hint == BANK)
		return ENTRIES;
	if (bank->used <= bank->hint)
		bank->used = (uint8_t)(bank->hint + 1);
	return first + bank->hint;
}

/* One that all share, marked as TAKEN, or ENTRIES. */
static uint32_t take_shared(void)
{
	uint32_t start = __atomic_fetch_add(&shared_hint, 1, __ATOMIC_RELAXED);

	for (uint32_t i = 0; i < TRIES; i++) {
		uint32_t at = (start + i) % SHARED;
		uint64_t none = 0;

		if (!is_free(SHARED_FIRST + at) ||
		    !__atomic_compare_exchange_n(&entries[SHARED_FIRST + at].stack, &none, TAKEN,
						 false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			continue;
		__atomic_store_n(&shared_used, true, __ATOMIC_RELAXED);
		return SHARED_FIRST + at;
	}
	__atomic_fetch_add(&shared_hint, TRIES, __ATOMIC_RELAXED);
	return ENTRIES;
}

/* When the bank is full: dead entries are looked for now and then, it takes long. */
static uint32_t take(uint32_t slot)
{
	struct bank *bank = &banks[slot];
	uint32_t index = take_own(slot);

	if (FORT_LIKELY(index != ENTRIES))
		return index;
	if (!bank->patience--) {
		bank->patience = PATIENCE;
		if (reclaim(slot * BANK, BANK)) {
			bank->hint = 0;
			bank->patience = 0;
			return take_own(slot);
		}
		(void)reclaim(SHARED_FIRST + __atomic_load_n(&shared_hint, __ATOMIC_RELAXED) %
						     SHARED / TRIES * TRIES,
			      TRIES);
	}
	return take_shared();
}

bool fort_pending_push(uint32_t slot, uint64_t key, struct fort_site *site, uint64_t stack)
{
	uint64_t *word = (uint64_t *)(uintptr_t)stack;
	uint32_t index = take(slot), outer;
	struct entry *entry = &entries[index];

	if (index == ENTRIES)
		return false;
	entry->body = site->body;
	entry->target = *word;
	entry->key = key;
	entry->site = site;
	entry->chained = false;
	outer = entry_of(*word);
	if (outer != ENTRIES)
		entries[outer].chained = true;
	*word = pad_of(index);
	__atomic_store_n(&entry->stack, stack, __ATOMIC_RELEASE);
	return true;
}

uint64_t fort_pending_pop(uint32_t index, struct fort_site **site)
{
	struct entry *entry = &entries[index];
	uint64_t target = entry->target;

	*site = entry->site;
	__atomic_store_n(&entry->stack, 0, __ATOMIC_RELEASE);
	return target;
}

/* Frees the entry of this pad's address if it is still pending at `stack`. Only one can: a thread
 * that puts back its own, or the agent that does it for all while that thread stands still. */
static bool settle(uint64_t pad, uint64_t stack, uint64_t *target)
{
	uint32_t index = entry_of(pad);
	struct fort_site *site;

	if (index == ENTRIES)
		return false;
	*target = entries[index].target;
	site = entries[index].site;
	if (!__atomic_compare_exchange_n(&entries[index].stack, &stack, 0, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return false;
	if (*fort_agent.live)
		fort_hit_missed_return(site);
	return true;
}

/* Replaces the pads' address at an entry's place, through all that are chained there. Whoever
 * settled the first writes the word: another one has read it too early. */
static void put_back(uint64_t stack)
{
	uint64_t word;

	if (!peek(stack, &word) || !settle(word, stack, &word))
		return;
	while (settle(word, stack, &word))
		;
	*(uint64_t *)(uintptr_t)stack = word;
}

/* Calls visit for each entry in use, with its place, until it returns false. */
static bool walk(bool (*visit)(struct entry *entry, uint64_t stack, uint64_t a, uint64_t b),
		 uint64_t a, uint64_t b)
{
	uint32_t n = shared_used ? ENTRIES : SHARED_FIRST;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t stack;

		if (i < SHARED_FIRST && i % BANK >= banks[i / BANK].used) {
			i |= BANK - 1;
			continue;
		}
		stack = __atomic_load_n(&entries[i].stack, __ATOMIC_ACQUIRE);
		if (stack > TAKEN && !visit(&entries[i], stack, a, b))
			return false;
	}
	return true;
}

static bool put_back_of_thread(struct entry *entry, uint64_t place, uint64_t key, uint64_t stack)
{
	if (entry->key == key && place >= stack)
		put_back(place);
	return true;
}

void fort_pending_put_back(uint64_t key, uint64_t stack)
{
	if (pads)
		(void)walk(put_back_of_thread, key, stack);
}

static bool put_back_any(struct entry *entry, uint64_t place, uint64_t a, uint64_t b)
{
	put_back(place);
	return true;
}

static bool is_gone(struct entry *entry, uint64_t place, uint64_t a, uint64_t b)
{
	return false;
}

bool fort_pending_put_back_all(void)
{
	if (!pads)
		return true;
	(void)walk(put_back_any, 0, 0);
	return !fort_agent.keep_pending || walk(is_gone, 0, 0);
}

static bool is_past_pad(struct entry *entry, uint64_t place, uint64_t a, uint64_t b)
{
	uint64_t word;

	return !peek(place, &word) || word != pad_of((uint32_t)(entry - entries));
}

bool fort_pending_any_entering(void)
{
	return pads && !walk(is_past_pad, 0, 0);
}
