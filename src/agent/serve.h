/* Requests of the loader. */
#pragma once

#include "attach/channel.h"

/* Carries out one request and fills the answer; descriptors that came with it stay the caller's.
 * True when the agent shall leave.
 */
bool fort_serve(const struct fort_message *message, struct fort_answer *answer);

/* Programs have crashed: those that are to be detached for it are. */
void fort_serve_crashes(void);

/* Lets the parked main thread go, if there is one. */
void fort_serve_release(void);

/* Frees packages; no hit is under way. */
void fort_serve_close(void);
