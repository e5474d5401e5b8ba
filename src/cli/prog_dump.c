/* bpfort prog dump file: the instructions that an object would have loaded, as text; or what an
 * engine makes of them.
 *
 * libbpf relocates and links the program; at the front door, where it would be loaded, it is
 * printed and turned away. For machine code it is loaded.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/helpers.h"
#include "abi/uapi.h"
#include "cli/choose.h"
#include "cli/json.h"
#include "cli/object.h"
#include "cli/prog_machine.h"
#include "cli/verb.h"
#include "cli/verdict.h"
#include "isa/disasm.h"

struct request {
	const char *file, *name, *engine, *isolation;
	bool json, jited;
};

struct session {
	const struct request *request;
	struct fort_file file;
	struct fort_front *front;
	struct fort_log_room log;
	json_t *programs;
	struct fort_text *why;
	/* while a program is dumped */
	struct bpf_object *object;
	struct bpf_program *prog;
	char name[128]; /* of a map: the last one asked for */
	bool dumped, rejected;
	int err;
};

/* What is known of the program at PROG_LOAD. */
struct listing {
	struct fort_arena arena;
	struct fort_btf *btf;
	struct fort_info info;
	struct fort_insn *insns;
	uint32_t n_insns;
};

#define ARENA_BYTES (256u << 20) /* the largest program, decoded, with a line each */

/* --- gathering --- */

static int read_record(void *owner, uint64_t offset, void *data, size_t bytes)
{
	const uint64_t *at = owner;

	memcpy(data, (const void *)(*at + offset), bytes);
	return 0;
}

/* Records are an extra: what is wrong with them is found when the program is verified. */
static void read_info(const struct session *s, const struct fort_attr_prog_load *attr,
		      struct listing *listing)
{
	const struct btf *btf = bpf_object__btf(s->object);
	uint64_t funcs = attr->func_info, lines = attr->line_info;
	struct fort_info_records of_funcs = {.count = attr->func_info_cnt,
					     .record_bytes = attr->func_info_rec_size,
					     .read = read_record,
					     .owner = &funcs};
	struct fort_info_records of_lines = {.count = attr->line_info_cnt,
					     .record_bytes = attr->line_info_rec_size,
					     .read = read_record,
					     .owner = &lines};
	struct fort_btf_error error;
	uint32_t bytes, known;
	const void *data = btf ? btf__raw_data(btf, &bytes) : NULL;

	if (!data || fort_btf_parse(data, bytes, NULL, &listing->btf, &error))
		return;
	listing->info.btf = listing->btf;
	if (fort_info_read_funcs(&listing->info, &listing->arena, &of_funcs, NULL, &known) ||
	    fort_info_read_lines(&listing->info, &listing->arena, &of_lines,
				 (const void *)attr->insns, attr->insn_cnt, NULL, &known))
		listing->info = (struct fort_info){0};
}

static int gather(struct session *s, const struct fort_attr_prog_load *attr,
		  struct listing *listing)
{
	struct fort_decode_error error;
	int err;

	listing->n_insns = attr->insn_cnt;
	listing->insns = FORT_ARENA_ARRAY(&listing->arena, attr->insn_cnt, struct fort_insn);
	if (!listing->insns)
		return -ENOMEM;
	err = fort_insn_decode((const void *)attr->insns, attr->insn_cnt, listing->insns, &error);
	if (err) {
		fort_text_add(s->why, "%s: %s: instruction %u: ", s->request->file,
			      bpf_program__name(s->prog), error.pc);
		if (error.field)
			fort_text_add(s->why, "field %s: ", error.field);
		fort_text_add(s->why, "opcode 0x%02x is not understood", error.insn.opcode);
		return err;
	}
	read_info(s, attr, listing);
	return 0;
}

/* --- names --- */

static const char *name_call(void *context, const struct fort_insn *insn)
{
	return insn->op == FORT_OP_HELPER ? fort_helper_kernel_name((uint32_t)insn->imm) : NULL;
}

static const char *name_imm(void *context, const struct fort_insn *insn)
{
	struct session *s = context;
	struct bpf_map *map;

	if (insn->op != FORT_OP_MAP_FD && insn->op != FORT_OP_MAP_VALUE)
		return NULL;
	bpf_object__for_each_map (map, s->object) {
		struct fort_text name = fort_text_on(s->name, sizeof(s->name));

		if (bpf_map__fd(map) != (int32_t)insn->imm)
			continue;
		fort_text_add(&name, "map[%s]", bpf_map__name(map));
		if (insn->op == FORT_OP_MAP_VALUE)
			fort_text_add(&name, "[0]+%u", (uint32_t)((uint64_t)insn->imm >> 32));
		return s->name;
	}
	return NULL;
}

/* --- printing --- */

/* True when `pc` starts a source line that is not the one before. */
static bool starts_line(const struct listing *listing, uint32_t pc, struct fort_place *place)
{
	struct fort_place before;

	if (!fort_info_place(&listing->info, pc, place))
		return false;
	return !pc || !fort_info_place(&listing->info, pc - 1, &before) ||
	       before.line != place->line || strcmp(before.file, place->file) != 0;
}

static const char *starts_function(const struct listing *listing, uint32_t pc)
{
	for (uint32_t i = 0; i < listing->info.n_funcs; i++)
		if (listing->info.funcs[i].insn == pc)
			return fort_info_func_name(&listing->info, pc);
	return NULL;
}

static void print_listing(struct session *s, const struct listing *listing)
{
	struct fort_disasm_names names = {name_call, name_imm, s};
	struct fort_text text = fort_text_new();

	printf("%s: %s, section %s, %u instructions\n", bpf_program__name(s->prog),
	       libbpf_bpf_prog_type_str(bpf_program__type(s->prog)),
	       bpf_program__section_name(s->prog), listing->n_insns);
	for (uint32_t pc = 0; pc < listing->n_insns; pc++) {
		const char *func = starts_function(listing, pc);
		struct fort_place place;

		if (func)
			printf("%s:\n", func);
		if (starts_line(listing, pc, &place))
			printf("; %s @ %s:%u\n", place.text, place.file, place.line);
		if (listing->insns[pc].kind == FORT_LDIMM_HIGH)
			continue;
		fort_text_clear(&text);
		fort_insn_text(&listing->insns[pc], &names, &text);
		printf("%4u: %s\n", pc, text.data ? text.data : "");
	}
	putchar('\n');
	fort_text_free(&text);
}

static void add_listing(struct session *s, const struct listing *listing)
{
	struct fort_disasm_names names = {name_call, name_imm, s};
	struct fort_text text = fort_text_new();
	json_t *insns = json_array();

	for (uint32_t pc = 0; pc < listing->n_insns; pc++) {
		struct fort_place place;
		json_t *insn;

		if (listing->insns[pc].kind == FORT_LDIMM_HIGH)
			continue;
		fort_text_clear(&text);
		fort_insn_text(&listing->insns[pc], &names, &text);
		insn = json_pack("{s:o, s:o}", "insn", fort_json_number(pc), "text",
				 fort_json_text(text.data));
		if (fort_info_place(&listing->info, pc, &place))
			json_object_set_new(insn, "line",
					    json_pack("{s:o, s:o, s:o}", "file",
						      fort_json_text(place.file), "number",
						      fort_json_number(place.line), "text",
						      fort_json_text(place.text)));
		json_array_append_new(insns, insn);
	}
	json_array_append_new(
		s->programs,
		json_pack("{s:o, s:o, s:o, s:o}", "name",
			  fort_json_text(bpf_program__name(s->prog)), "section",
			  fort_json_text(bpf_program__section_name(s->prog)), "type",
			  fort_json_text(libbpf_bpf_prog_type_str(bpf_program__type(s->prog))),
			  "insns", insns));
	fort_text_free(&text);
}

static bool dump_instead(void *owner, const struct fort_attr_prog_load *attr)
{
	struct session *s = owner;
	struct listing listing = {0};

	if (!fort_program_is(s->prog, attr))
		return true;
	fort_arena_init(&listing.arena, ARENA_BYTES);
	s->err = gather(s, attr, &listing);
	if (!s->err)
		(s->request->json ? add_listing : print_listing)(s, &listing);
	s->dumped = true;
	fort_btf_free(listing.btf);
	fort_arena_free(&listing.arena);
	return false;
}

/* --- machine code --- */

static bool wants_machine(const struct request *request)
{
	return request->jited || request->engine || request->isolation;
}

static int choose_engine(struct session *s)
{
	const char *engine = s->request->engine;

	if (!wants_machine(s->request))
		return 0;
	return fort_choose_engine(s->front, engine ? engine : fort_engine_x64.name,
				  s->request->isolation, s->why);
}

static int print_machine(struct session *s, struct fort_look *look)
{
	const struct fort_loaded *loaded = look->program.loaded;

	if (!look->machine.n_bytes) {
		fort_text_add(s->why, "engine %s makes no machine code", loaded->engine->name);
		return -EOPNOTSUPP;
	}
	if (s->request->json) {
		json_t *program = json_pack(
			"{s:o, s:o, s:o}", "name", fort_json_text(bpf_program__name(s->prog)),
			"section", fort_json_text(bpf_program__section_name(s->prog)), "type",
			fort_json_text(libbpf_bpf_prog_type_str(bpf_program__type(s->prog))));

		fort_machine_add_json(look, program);
		json_array_append_new(s->programs, program);
		return 0;
	}
	printf("%s: %s, section %s, engine %s, isolation %s: %u instructions, %u bytes\n",
	       bpf_program__name(s->prog), libbpf_bpf_prog_type_str(bpf_program__type(s->prog)),
	       bpf_program__section_name(s->prog), loaded->engine->name,
	       fort_isolation_name(loaded->isolation), look->code->n_insns, look->machine.n_bytes);
	fort_machine_print(look);
	putchar('\n');
	return 0;
}

static int visit_loaded(void *owner, struct bpf_object *object, struct bpf_program *prog)
{
	struct session *s = owner;
	struct fort_loading loading;
	struct fort_look look;

	s->prog = prog;
	fort_program_load(s->front, object, prog, &loading);
	if (loading.err) {
		s->rejected = loading.reached;
		fort_verdict_explain(prog, &loading, fort_front_words(s->front), true, s->why);
		return loading.err;
	}
	s->err = fort_look_open(&look, s->front, bpf_program__fd(prog));
	if (s->err)
		fort_text_add(s->why, "%s", strerror(-s->err));
	return s->err ? s->err : print_machine(s, &look);
}

/* --- the verb --- */

static int visit(void *owner, struct bpf_object *object, struct bpf_program *prog)
{
	struct session *s = owner;
	struct fort_front_tap tap = {.before = dump_instead, .owner = s};
	struct bpf_program *other;
	int err;

	s->object = object;
	s->prog = prog;
	s->dumped = false;
	bpf_object__for_each_program (other, object)
		bpf_program__set_autoload(other, other == prog);
	fort_front_set_tap(s->front, &tap);
	err = bpf_object__load(object);
	fort_front_set_tap(s->front, NULL);
	if (s->dumped)
		return s->err;
	fort_text_add(s->why, "%s: %s: %s", s->request->file, bpf_program__name(prog),
		      fort_front_words(s->front));
	return err ? err : -EINVAL;
}

static int run_session(struct session *s)
{
	int err = fort_file_read(s->request->file, &s->file, s->why);

	if (err)
		return err;
	err = fort_front_open(&s->front);
	err = err ? err : fort_log_room_open(&s->log, FORT_LOG_STATS);
	if (err) {
		fort_text_add(s->why, "%s", strerror(-err));
		return err;
	}
	err = choose_engine(s);
	if (err)
		return err;
	return fort_file_visit(&s->file, s->front, &s->log, s->request->name,
			       wants_machine(s->request) ? visit_loaded : visit, s, s->why);
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {0};
	struct fort_text why = fort_text_new();
	struct session s = {
		.request = &request, .file.fd = -1, .programs = json_array(), .why = &why};
	int status = fort_verb_start(verb, argc, argv, &request);

	if (status < 0) {
		if (run_session(&s)) {
			status = fort_verb_fail(request.json, "%s", why.data);
			status = s.rejected ? FORT_EXIT_NO : status;
		} else {
			status = FORT_EXIT_YES;
			if (request.json)
				fort_json_print(json_pack("{s:o, s:O}", "file",
							  fort_json_text(request.file), "programs",
							  s.programs));
		}
	}
	fort_front_close(s.front);
	fort_log_room_close(&s.log);
	fort_file_close(&s.file);
	json_decref(s.programs);
	fort_text_free(&why);
	return status;
}

#define AT(member) offsetof(struct request, member)
static const struct fort_option options[] = {
	{"name", "PROG", "only this program", FORT_OPTION_TEXT, AT(name)},
	{"jited", NULL, "machine code between its instructions and source lines", FORT_OPTION_FLAG,
	 AT(jited)},
	FORT_OPTION_ENGINE(AT(engine)),
	FORT_OPTION_ISOLATION(AT(isolation)),
	{"--json", NULL, "print {\"file\", \"programs\": [{\"name\", \"insns\": [...]}]}",
	 FORT_OPTION_FLAG, AT(json)},
};

const struct fort_verb fort_verb_prog_dump = {
	.words = {"prog", "dump", "file"},
	.summary = "Print the instructions of an object's programs, with their source lines.",
	.operand = "FILE.o",
	.operand_at = AT(file),
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Instructions are shown as they would be loaded: relocated and linked, maps by "
		 "name. With `jited`, an engine or an isolation, programs are verified and\n"
		 "compiled (by x64 unless another is named), and shown as they run.\n"
		 "Exit status: 0 done, 1 a program was rejected, 2 it could not be done.\n",
	.run = run,
};
