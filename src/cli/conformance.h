/* bpfort-conformance-plugin: one program from standard input, its r0 on standard output. The
 * protocol is that of the public bpf_conformance runner.
 *
 *   bpfort-conformance-plugin [MEM] [--engine E] [--isolation I] [--profile isa|kernel]
 *                             [--elf | --program HEX]
 *
 * MEM is the context memory as hex bytes. The program is one line of hex bytes, or with --elf an
 * object file. Success: r0 in hex and exit status 0. Failure: a message on standard error, 1.
 */
#pragma once

int bpfort_conformance_main(int argc, char **argv);
