/* Loads a program of an object into the running kernel and test-runs it there, for comparison.
 * usage: kernel_run OBJECT PROGRAM PACKET_FILE OUT_FILE
 * Prints the return value; writes the packet to OUT_FILE.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

static size_t read_file(const char *path, char *data, size_t room)
{
	FILE *file = fopen(path, "r");
	size_t bytes = file ? fread(data, 1, room, file) : 0;

	if (file)
		fclose(file);
	return bytes;
}

static int test(int fd, char *argv[])
{
	char in[4096], out[4096];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_out = out,
		    .data_size_out = sizeof(out));
	FILE *file;

	opts.data_size_in = (unsigned int)read_file(argv[3], in, sizeof(in));
	if (bpf_prog_test_run_opts(fd, &opts))
		return 1;
	printf("%u\n", opts.retval);
	file = fopen(argv[4], "w");
	if (!file || fwrite(out, 1, opts.data_size_out, file) != opts.data_size_out)
		return 1;
	return fclose(file) != 0;
}

int main(int argc, char *argv[])
{
	struct bpf_object *object = argc == 5 ? bpf_object__open(argv[1]) : NULL;
	struct bpf_program *prog, *wanted;
	int status = 1;

	if (!object)
		return 2;
	wanted = bpf_object__find_program_by_name(object, argv[2]);
	bpf_object__for_each_program (prog, object)
		bpf_program__set_autoload(prog, prog == wanted);
	if (wanted && !bpf_object__load(object))
		status = test(bpf_program__fd(wanted), argv);
	bpf_object__close(object);
	return status;
}
