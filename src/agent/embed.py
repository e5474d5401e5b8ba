"""Writes an assembler file that holds a file's bytes. Usage: embed.py FILE OUTPUT."""
import pathlib
import sys

path, output = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
output.write_text(f"""\
	.section .rodata
	.balign 16
	.globl fort_agent_image_start, fort_agent_image_end
	.hidden fort_agent_image_start, fort_agent_image_end
fort_agent_image_start:
	.incbin "{path}"
fort_agent_image_end:
	.section .note.GNU-stack, "", @progbits
""")
