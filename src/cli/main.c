/* The bpfort program. It goes by several names: what argv[0] ends in decides. */
#include <stdio.h>
#include <string.h>

#include "cli/conformance.h"

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc ? argv[0] : "";

	if (!strcmp(name, "bpfort-conformance-plugin"))
		return bpfort_conformance_main(argc, argv);
	fputs("bpfort: run as bpfort-conformance-plugin\n", stderr);
	return 2;
}
