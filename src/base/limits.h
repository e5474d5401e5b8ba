/* Every bound on input, in one place. A loop over something that a program, a file or a peer
 * controls names one of these. Values marked K are the kernel's (Linux 6.18).
 */
#pragma once

#define FORT_PAGE_BYTES 4096u

/* Programs */
#define FORT_PROG_INSNS_MAX        1000000u /* K: instructions with the right to large programs */
#define FORT_PROG_INSNS_UNPRIV_MAX 4096u    /* K: without it */
#define FORT_SUBPROGS_MAX          256u     /* K */
#define FORT_MAPS_PER_PROG_MAX     64u      /* K */
#define FORT_KFUNCS_PER_PROG_MAX   256u     /* K: different functions of the kernel */
#define FORT_FRAMES_MAX            8u       /* K: nested bpf-to-bpf calls, main included */
#define FORT_STACK_BYTES           512u     /* K: per frame, and per call chain */
#define FORT_STACK_SLOTS           (FORT_STACK_BYTES / 8)
#define FORT_CLEANUPS_MAX          64u         /* references, locks, reservations held by one run */
#define FORT_NAME_BYTES            16u         /* K: BPF_OBJ_NAME_LEN */
#define FORT_ASM_BYTES_MAX         (64u << 20) /* text for the assembler */

/* Memory of one load that is kept for the next, in each of its arenas */
#define FORT_ARENA_KEPT_BYTES (2u << 20)

/* Verification */
#define FORT_BUDGET_INSNS     1000000u   /* K: instructions processed by the search */
#define FORT_BUDGET_WORK      8000000u   /* the same and comparisons of states */
#define FORT_PENDING_MAX      (1u << 20) /* branches waiting to be explored */
#define FORT_DEMANDS_MAX      512u       /* functions of a program that are proven on their own */
#define FORT_REFS_MAX         16u        /* references held at one point */
#define FORT_FACTS_MAX        16u        /* inequalities between symbols kept in one state */
#define FORT_RATES_MAX        8u         /* the same, with factors */
#define FORT_GHOSTS_MAX       32u        /* values remembered for loops around one point */
#define FORT_PTR_OFFSET_MAX   (1u << 29) /* K: BPF_MAX_VAR_OFF */
#define FORT_ACCESS_BYTES_MAX (1u << 29) /* K: BPF_MAX_VAR_SIZ */
#define FORT_CERT_BYTES_MAX   (64u << 20)
#define FORT_CERT_STATES_MAX  (1u << 20)
#define FORT_LOG_BYTES_MAX    (UINT32_MAX >> 2) /* K */
#define FORT_SEARCH_BYTES_MAX (1ull << 30)
#define FORT_LOOP_DEPTH_MAX   32u        /* loops within loops that are told apart */
#define FORT_LOOP_TURNS_MAX   (8u << 20) /* K: BPF_MAX_LOOPS, of one bpf_loop */
#define FORT_LIVE_PASSES_MAX  64u        /* of one function, until everything counts as live */
#define FORT_REPORT_STEPS_MAX 16u        /* decisions of a path that a report keeps */
#define FORT_ORIGINS_MAX      (1u << 20) /* changes of values that are remembered of one path */
#define FORT_PAST_MAX         96u        /* of these, those that an explanation is made of */
#define FORT_CHECKS_MAX       24u        /* comparisons of other values, among them */

/* Runs */
#define FORT_SLOTS_MAX            4096u /* places of one domain to run in: four mappings each */
#define FORT_SPARES_MAX           4u    /* windows of a store kept for programs to come */
#define FORT_FUEL_DEFAULT         (1ull << 28) /* slots executed through back edges and calls */
#define FORT_RUN_NS_MAX           5000000000ull /* processor time of one run in a host: the watchdog's */
#define FORT_WATCH_PERIOD_NS      5000000ull
#define FORT_CRASH_PLACES         4096u /* programs of one store whose crashes all processes count */
#define FORT_CRASH_RING_BYTES     (64u << 10) /* crashes nobody has read yet */
#define FORT_CODE_IMAGES_MAX      (1u << 16) /* compiled programs of a process; four mappings each */
#define FORT_CODE_PACKS_MAX       4096u      /* of a store: machine code of small programs */
#define FORT_SEALED_MAX           4096u      /* compiled programs of a store that stay for ever */
#define FORT_CAREFUL_ROUNDS       16u        /* of emitting constants in other ways */
#define FORT_LLVM_BYTES_MAX       (256u << 20) /* of a program that LLVM compiled */
#define FORT_LLVM_FRAME_MAX       (64 << 10)   /* of the host's stack, that one function takes */
#define FORT_LLVM_STATE_BYTES_MAX (512u << 20) /* to check what LLVM made */
#define FORT_LLVM_VISITS_MAX      1024u        /* the same: of one label, on average */
#define FORT_SIGNAL_ENTRIES_MAX   256u  /* times that a handler of ours goes before a host's */
#define FORT_SIGNAL_LISTENERS_MAX 16u   /* of stop signals, of a process */
#define FORT_TURNS_BATCH          1024u /* may_goto passed, until fuel is looked at */
#define FORT_TAIL_CALLS_MAX       33u   /* K */
/* Programs that are on the stack of a run at once, each of them but the last to be returned to. */
#define FORT_TAIL_LEVELS_MAX (FORT_TAIL_CALLS_MAX + 1)
#define FORT_TEST_DATA_BYTES (1u << 20) /* packet bytes for PROG_TEST_RUN */
#define FORT_TEST_REPEAT_MAX 100000000u

/* BTF */
#define FORT_BTF_BYTES_MAX (16u << 20)      /* K */
#define FORT_BTF_TYPES_MAX ((1u << 20) - 1) /* K */
#define FORT_BTF_NAME_MAX  ((1u << 24) - 1) /* K */
#define FORT_BTF_DEPTH_MAX 32u              /* K */
#define FORT_BTF_VLEN_MAX  0xffffu          /* K */
#define FORT_BTF_WALK_MAX  (1u << 24)       /* parts of one printed value, enum constants tried */

/* Uses of types */
#define FORT_BTF_NEST_MAX      256u       /* structs inside of structs, on one way */
#define FORT_BTF_ARGS_MAX      12u        /* K: of a function that is traced or called */
#define FORT_BTF_FUNC_ARGS_MAX 5u         /* K: of a program's own, r1 to r5 */
#define FORT_BTF_FIELDS_MAX    11u        /* K: special fields of one value */
#define FORT_BTF_SEARCH_MAX    (1u << 22) /* members looked at to find them */
#define FORT_BTF_SYMBOL_BYTES  512u       /* K: KSYM_NAME_LEN, the longest name */

/* Maps */
#define FORT_MAP_KEY_BYTES_MAX 512u         /* K: hash types */
#define FORT_MAP_PERCPU_MAX    (32u << 10)  /* K: value of a per-CPU map */
#define FORT_MAP_BYTES_MAX     (2ull << 30) /* values of one map: they live in a 4 GiB window */
#define FORT_MAP_META_MAX      (16ull << 30)
#define FORT_HASH_ENTRIES_MAX  (1u << 27)         /* K: more buckets overflow its table */
#define FORT_HASH_ENTRY_BYTES  ((4u << 20) - 48u) /* K: key and value, KMALLOC_MAX_SIZE */
#define FORT_CPUS_MAX          4096u
#define FORT_SEATS_MAX         4096u    /* runs and calls in progress, of all processes */
#define FORT_LOCK_SPIN_NS      1000000u /* then the holder's life is looked at */
#define FORT_LOCK_WAIT_NS      1000000000u
#define FORT_READ_TRIES        64u       /* reads beside a writer, before its lock is taken */
#define FORT_RINGS_MAX         64u       /* that one consumer waits for at once */
#define FORT_RING_NAP_NS       50000000u /* then a consumer looks for dead producers */
#define FORT_UPDATE_TRIES      64u       /* rounds of finding room for a new key */

/* Helpers */
#define FORT_HELPER_NUMBERS   256u         /* K: more than there are */
#define FORT_FORMAT_BYTES_MAX 1024u        /* a format of trace_printk, with its NUL */
#define FORT_FORMAT_ARGS_MAX  3u           /* K */
#define FORT_FORMAT_ROOM      512u         /* K: arguments, with strings: MAX_BPRINTF_BIN_ARGS */
#define FORT_ERRNO_MAX        4095         /* K: MAX_ERRNO */
#define FORT_TRACE_TEXT_MAX   1024u        /* K: MAX_BPRINTF_BUF */
#define FORT_TRACE_RING_BYTES (256u << 10) /* lines nobody has read yet */

/* Conformance plugin */
#define FORT_PLUGIN_MEM_BYTES_MAX (64u << 10)
#define FORT_PLUGIN_INPUT_BYTES_MAX                                   \
	(32u << 20) /* three characters a byte of the largest program \
		     */
#define FORT_PLUGIN_SECONDS   10u
#define FORT_TRIAL_BYTES_MAX  (64u << 20) /* decoded program and graph */
#define FORT_ELF_SECTIONS_MAX 65536u

/* Store */
#define FORT_OBJECTS_MAX    (1u << 20) /* of one kind */
#define FORT_HANDLES_MAX    (1u << 20) /* descriptors of one store, of one map */
#define FORT_BOUND_MAPS_MAX 4096u      /* of one program, by PROG_BIND_MAP */

/* Processes we attach to */
#define FORT_ATTACH_PROCESSES_MAX 64u          /* of one attacher */
#define FORT_MAPS_TEXT_MAX        (64u << 20)  /* /proc/PID/maps: 65,530 lines by default */
#define FORT_MODULE_BYTES_MAX     (4ull << 30) /* an ELF file whose symbols are read */
#define FORT_SYMBOLS_MAX          (1u << 24)   /* of one file */
#define FORT_VERSIONS_MAX         4096u
#define FORT_FUNCTION_BYTES_MAX   (1u << 20) /* decoded to find branches into its start */
#define FORT_JUMP_TABLE_MAX       4096u      /* entries of one jump table */

/* Command line */
#define FORT_OBJECT_BYTES_MAX (64u << 20)  /* an object file */
#define FORT_OBJECT_SECONDS   10u          /* of processor time, for libbpf to read one */
#define FORT_VERIFY_SECONDS   600u         /* the same, to verify all of its programs */
#define FORT_PROC_LINES_MAX   (1u << 20)   /* mappings of a process */
#define FORT_CLI_LOG_BYTES    (256u << 20) /* a verifier log; reserved, not used */
