/* An agent that believes: what the checker refuses is taken in as well, if it reads no pointers of
 * its context. What it does then is for that to stop which confines it at run time.
 */
#include "proof/check.h"

bool __real_fort_certificate_check(struct fort_span bytes, struct fort_env *env,
				   struct fort_arena *arena, struct fort_check *check,
				   struct fort_proven *out);
bool __wrap_fort_certificate_check(struct fort_span bytes, struct fort_env *env,
				   struct fort_arena *arena, struct fort_check *check,
				   struct fort_proven *out);

bool __wrap_fort_certificate_check(struct fort_span bytes, struct fort_env *env,
				   struct fort_arena *arena, struct fort_check *check,
				   struct fort_proven *out)
{
	if (__real_fort_certificate_check(bytes, env, arena, check, out))
		return true;
	/* Nothing of it is left out as never reached. */
	for (uint32_t pc = 0; pc < env->graph->program.n_insns; pc++)
		env->access[pc].reached = true;
	*out = (struct fort_proven){.env = env};
	return true;
}
