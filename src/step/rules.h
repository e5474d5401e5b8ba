/* Inside step/: what the files of the semantics share. */
#pragma once

#include "step/relate.h"
#include "step/step.h"
#include "step/types.h"

/* One instruction being applied. */
struct fort_rule {
	struct fort_env *env;
	struct fort_pool *pool;
	struct fort_state *state;
	const struct fort_insn *insn;
	uint32_t pc;
	struct fort_step *out;
	int err; /* -ENOMEM, sticky */
};

/* Every rule returns true to go on, false when out->outcome (BAD, DEAD) or err says why not. */

static inline struct fort_value *fort_rule_reg(const struct fort_rule *rule, unsigned reg)
{
	return fort_state_reg(rule->state, reg);
}

/* Rejects: fills the violation with a register's value (reg < FORT_REGS) and up to four
 * arguments. Always false. */
bool fort_rule_bad(struct fort_rule *rule, enum fort_diag diag, unsigned reg, int64_t a0,
		   int64_t a1, int64_t a2, int64_t a3);
bool fort_rule_dead(struct fort_rule *rule);
bool fort_rule_no_memory(struct fort_rule *rule);

/* The register may be read. */
static inline bool fort_rule_readable(struct fort_rule *rule, unsigned reg)
{
	return fort_rule_reg(rule, reg)->type != FORT_NONE ||
	       fort_rule_bad(rule, FORT_DIAG_NOT_READABLE, reg, 0, 0, 0, 0);
}

/* The register may be written: it is not r10. */
static inline bool fort_rule_writable(struct fort_rule *rule, unsigned reg)
{
	return reg != FORT_R10 ||
	       fort_rule_bad(rule, FORT_DIAG_FRAME_POINTER, FORT_REGS, 0, 0, 0, 0);
}

/* A fresh id for symbols, call results and references. */
uint32_t fort_rule_fresh(struct fort_rule *rule);
/* Gives a value whose number or offset is not constant a symbol, so that copies stay related. Every
 * copy does: whether the value had one may depend on the path that was looked at. */
void fort_rule_name(struct fort_rule *rule, struct fort_value *value);

bool fort_rule_alu(struct fort_rule *rule); /* ALU_K, ALU_X, NEG, END, MOV*, MOVSX */
/* One less of a 32-bit counter that may be 0 (countdown.c); *done: it is one, and was handled. */
bool fort_rule_count_down(struct fort_rule *rule, bool *done);
bool fort_rule_ldx(struct fort_rule *rule);    /* LDX, LDACQ */
bool fort_rule_store(struct fort_rule *rule);  /* ST, STX, STREL */
bool fort_rule_atomic(struct fort_rule *rule); /* ATOMIC */
bool fort_rule_ldimm(struct fort_rule *rule);
/* The address of a variable of the kernel. */
bool fort_rule_ldimm_variable(struct fort_rule *rule, struct fort_value *dst);
bool fort_rule_legacy(struct fort_rule *rule);     /* LDABS, LDIND */
bool fort_rule_branch(struct fort_rule *rule);     /* JCC_K, JCC_X; sets out->pc */
bool fort_rule_call(struct fort_rule *rule);       /* helpers */
bool fort_rule_call_kfunc(struct fort_rule *rule); /* functions of the kernel */
bool fort_rule_ldimm_func(struct fort_rule *rule); /* the address of a function */
bool fort_rule_may_goto(struct fort_rule *rule);
bool fort_rule_call_local(struct fort_rule *rule);
bool fort_rule_exit(struct fort_rule *rule);

/* Does the value show addresses to a program that may not see any? */
static inline bool fort_rule_is_secret(const struct fort_rule *rule, const struct fort_value *value)
{
	return fort_value_is_pointer(value) && !(rule->env->rights & FORT_MAY_LEAK_POINTERS);
}

/* What is left of a pointer that is good for nothing any more: a number, for those who may know. */
static inline struct fort_value fort_rule_remains(const struct fort_rule *rule)
{
	return rule->env->rights & FORT_MAY_LEAK_POINTERS ? fort_value_unknown()
							  : (struct fort_value){0};
}

/* r0 as what the program returns: in the range of its type. */
bool fort_rule_result(struct fort_rule *rule);
/* Nothing is held that must be given back; the diagnostics say what would keep a lock, or lose a
 * reference. */
bool fort_rule_holds_nothing(struct fort_rule *rule, enum fort_diag locked, enum fort_diag leaks);
/* May what happens here sleep? */
bool fort_rule_may_sleep(const struct fort_rule *rule);
/* This function ends here, if it has a caller, with *result: what helpers and loads of the old kind
 * may do instead of going on. Forks; the other side is the caller. */
bool fort_rule_may_leave(struct fort_rule *rule, const struct fort_value *result);

/* --- functions --- */

/* Is this a function of which it is known that it returns no number? Nothing may make it return one
 * before its end. (K: check_btf_func) */
bool fort_rule_in_void(const struct fort_rule *rule);

/* A frame on top of those of `state`. */
bool fort_rule_push(struct fort_rule *rule, struct fort_state *state, enum fort_frame_kind kind,
		    uint32_t subprog, uint32_t return_pc);
/* A local call of a global function. */
bool fort_rule_call_global(struct fort_rule *rule, uint32_t callee);

/* --- memory --- */

/* One access through a register: where and how. */
struct fort_reach {
	unsigned reg;                  /* holds the address */
	int32_t off;                   /* added to it */
	uint32_t bytes;                /* at most, with a size */
	const struct fort_value *size; /* a register's, if that says how many bytes */
	bool write;
	bool helper;  /* by a helper, not by this instruction */
	bool zero_ok; /* of no bytes as well */
};

/* Is [off, off + bytes) of an object of `limit` bytes? Shared by all that have a size. */
bool fort_rule_in_object(struct fort_rule *rule, const struct fort_reach *reach, int64_t limit,
			 enum fort_diag bounds);
bool fort_rule_in_value(struct fort_rule *rule, const struct fort_reach *reach); /* MAP_VALUE */
bool fort_rule_in_key(struct fort_rule *rule, const struct fort_reach *reach);   /* MAP_KEY */
bool fort_rule_in_memory(struct fort_rule *rule,
			 const struct fort_reach *reach); /* MEM, RING_MEM */
bool fort_rule_in_buffer(struct fort_rule *rule,
			 const struct fort_reach *reach); /* BUF, TP_BUFFER */
bool fort_rule_in_packet(struct fort_rule *rule, const struct fort_reach *reach);
/* Sockets and flow keys. */
bool fort_rule_behind(struct fort_rule *rule, const struct fort_reach *reach);
/* K: bpf_map_is_rdonly. What a load from a map's value gives. */
struct fort_value fort_rule_value_load(const struct fort_rule *rule,
				       const struct fort_reach *reach);
/* A text that is there when the program is loaded. */
bool fort_rule_const_str(struct fort_rule *rule, unsigned reg);
/* An argument points where pointers of its type must: to the start of what does not move.
 * `released`: it is given back. */
bool fort_rule_in_place(struct fort_rule *rule, unsigned reg, bool released);
/* May programs not write the values of such a map? */
bool fort_map_is_fixed(const struct fort_map_shape *map);

/* The packet may have been moved or resized: pointers into it are worth nothing any more. */
void fort_rule_move_packet(struct fort_rule *rule);

/* The context pointer in the register is as the program got it. */
bool fort_rule_is_ctx(struct fort_rule *rule, unsigned reg);
bool fort_rule_in_ctx(struct fort_rule *rule, const struct fort_reach *reach, bool sign_extends,
		      const struct fort_ctx_field **field);
/* What a load of the field gives. */
bool fort_rule_ctx_load(struct fort_rule *rule, const struct fort_reach *reach,
			const struct fort_ctx_field *field, struct fort_value *out);
/* Records what harden does with this instruction, which accesses memory through `base`; one
 * instruction has one answer. `field`: of a context that is loaded from. */
bool fort_rule_note_access(struct fort_rule *rule, const struct fort_value *base,
			   const struct fort_ctx_field *field);
static inline void fort_rule_barrier(struct fort_rule *rule, enum fort_barrier barrier)
{
	rule->env->access[rule->pc].barriers |= (uint8_t)barrier;
}

/* --- objects of the kernel, by its BTF --- */

/* The kernel's types; rejects where they are not known. */
const struct fort_kernel *fort_rule_kernel(struct fort_rule *rule);
/* Rejects for what is to be said of types. */
bool fort_rule_bad_type(struct fort_rule *rule, unsigned reg, const struct fort_btf_remark *remark,
			int64_t a0, int64_t a1);
/* Does somebody hold what it points to? (K: is_trusted_reg) */
bool fort_value_is_trusted(const struct fort_value *value);
/* Is what RCU protects there while this instruction is at work? */
bool fort_rule_in_rcu(const struct fort_rule *rule);
/* BTF, and MAP itself. *out: what is loaded. */
bool fort_rule_in_btf(struct fort_rule *rule, const struct fort_reach *reach,
		      struct fort_value *out);
bool fort_rule_in_map(struct fort_rule *rule, const struct fort_reach *reach,
		      struct fort_value *out);
/* What a load from a typed context gives; from a field that is an object of the kernel. */
bool fort_rule_typed_ctx(struct fort_rule *rule, const struct fort_reach *reach,
			 struct fort_value *out);
bool fort_rule_object_ctx(struct fort_rule *rule, enum fort_yield yield, struct fort_value *out);

/* --- the stack --- */

/* Bytes of stack that an access may touch: offsets from fp, in the frame it points to. */
struct fort_stack_reach {
	struct fort_frame *frame;
	int32_t low, high; /* first and one past the last possible byte: -512 <= low < high <= 0 */
	bool fixed;        /* exactly these bytes */
};
bool fort_rule_in_stack(struct fort_rule *rule, const struct fort_reach *reach,
			struct fort_stack_reach *where);
/* What a load of these bytes gives. */
bool fort_stack_load(struct fort_rule *rule, const struct fort_reach *reach,
		     const struct fort_stack_reach *where, struct fort_value *out);
/* The number that these bytes surely hold, in *out; false when there is not one. Rejects nothing.
 */
bool fort_stack_known(const struct fort_reach *reach, const struct fort_stack_reach *where,
		      uint64_t *out);
/* What a store leaves. */
bool fort_stack_store(struct fort_rule *rule, const struct fort_reach *reach,
		      const struct fort_stack_reach *where, const struct fort_value *value);
/* May these bytes be read as numbers, by a helper or an atomic? */
bool fort_stack_readable(struct fort_rule *rule, const struct fort_reach *reach,
			 const struct fort_stack_reach *where);
/* Something unknown was written there. */
void fort_stack_clobber(const struct fort_stack_reach *where);
/* May they be overwritten in parts? What is left of a pointer there must not be seen. */
bool fort_stack_breakable(struct fort_rule *rule, const struct fort_reach *reach,
			  const struct fort_stack_reach *where);

/* The instruction relies on this root. Rejects where there are too many. */
bool fort_rule_demand(struct fort_rule *rule, const struct fort_root *root);

/* --- special fields of map values --- */

/* The access touches none of them. */
bool fort_rule_beside_fields(struct fort_rule *rule, const struct fort_reach *reach);
/* A pointer to some value of the map, for all that is known of it another than all others. `base`:
 * which of the inner maps of its kind the map is; 0 for others. */
struct fort_value fort_env_map_value(const struct fort_env *env, struct fort_state *state,
				     uint32_t map, uint32_t base);
struct fort_value fort_rule_map_value(struct fort_rule *rule, uint32_t map, uint32_t base);
/* The field of this kind in the map's values, or NULL. */
const struct fort_btf_field *fort_env_field(const struct fort_env *env, uint32_t map,
					    enum fort_btf_field_kind kind);

/* Arguments that must be the lock, the timer of a value. */
bool fort_rule_arg_lock(struct fort_rule *rule, unsigned reg);
bool fort_rule_arg_timer(struct fort_rule *rule, unsigned reg);
/* May this be called while a lock is held, if one is? */
bool fort_rule_lock_allows(struct fort_rule *rule);
/* What the helpers do, their arguments checked. */
void fort_rule_lock(struct fort_rule *rule, unsigned reg);
bool fort_rule_unlock(struct fort_rule *rule, unsigned reg);
/* A timer belongs to this map. */
bool fort_rule_timer_map(struct fort_rule *rule, unsigned timer, unsigned map);
/* The function will be called some time, for a value of the timer's map. */
bool fort_rule_call_later(struct fort_rule *rule, unsigned timer, unsigned func);

/* --- references --- */

bool fort_ref_acquire(struct fort_rule *rule, uint32_t *id);
/* Ends all values that match: what is left of them `remains`. */
typedef bool fort_value_match(const struct fort_value *value, const void *context);
void fort_state_forget(struct fort_state *state, fort_value_match *match, const void *context,
		       const struct fort_value *remains);
/* Gives back: of all copies, and of what was made from it, is left what `remains`. */
void fort_ref_release(struct fort_state *state, uint32_t id, const struct fort_value *remains);
