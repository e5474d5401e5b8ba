#include "abi/ctx.h"

#define FORT_FIELD_AT(name, ...)   #name,
#define FORT_FIELD(name, ...)      #name,
#define FORT_SOCK_FIELD(name, ...) #name,

#define TABLE(id) static const char *const names_##id[] = {
#define END \
	}   \
	;
#include "abi/ctx/tables.inc"

#define FORT_PLAIN(name, ...) static const char *const names_##name[] = {#name};
#include "abi/ctx/plain.def"

static const char *const names_none[] = {"none"};

static const char *const *const names[FORT_CTXS] = {
#define FORT_CTX(id, ...) [FORT_CTX_##id] = names_##id,
#include "abi/ctx.def"
};

const char *fort_ctx_field_name(const struct fort_prog_info *prog,
				const struct fort_ctx_field *field)
{
	return names[prog->ctx - fort_ctxs][field - prog->ctx->fields];
}
