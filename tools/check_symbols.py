"""Check that no code for a newer processor can reach an older one: `check_symbols.py BUILD_FOLDER`.

Two ways it could, both of which compile and pass every test on a new machine:

- an inline function outside the namespace of an instruction set (a standard container, a helper of
  csrc/core) compiled into an AVX-512 object: the linker may keep that copy for everybody;
- a file that should be baseline code but was compiled with the wrong flags (-march=native).

So every global symbol an `isa_<name>` object defines must lie in namespace lowbit::<name>, and no
object may hold instructions above its own level. Object files are read because the linked module
is stripped. Needs binutils (nm, objdump).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Registers and mnemonics that an object of each level may not contain. EVEX, the encoding of
# AVX-512, shows as zmm, as a mask register, or as one of the registers 16 to 31.
EVEX = re.compile(r"%zmm|%k[0-7]|%[xy]mm(?:1[6-9]|2\d|3[01])")
TILES = re.compile(r"%tmm|\b(?:ldtilecfg|tilerelease)")
VEX = re.compile(r"%ymm|^v(?!err|erw|mcall|mx)")
FORBIDDEN = {
    "baseline": [VEX, EVEX, TILES],
    "scalar": [VEX, EVEX, TILES],
    "avx2": [EVEX, TILES],
    "avx512": [TILES],
    "amx": [],
    "neon": [],
    "neon_dot": [],
    "neon_i8mm": [],
}


def run(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def level_of(path: Path) -> str:
    """Instruction set of an object file, from the folder CMake put it in."""
    for part in path.parts:
        if match := re.fullmatch(r"isa_(\w+)\.dir", part):
            return match[1]
    return "baseline"


def stray_symbols(path: Path, level: str) -> Iterator[str]:
    """Global symbols that an object of an instruction set defines outside its namespace."""
    for line in run("nm", "--defined-only", "--extern-only", "--demangle", str(path)):
        symbol = line.split(maxsplit=2)[-1]
        if f"lowbit::{level}::" not in symbol:
            yield f"{path.name} of {level} defines {symbol}"


def stray_instructions(path: Path, level: str) -> Iterator[str]:
    """The first instruction of each function that the object's processors may not know."""
    function, reported = "", ""
    for line in run("objdump", "--disassemble", "--no-show-raw-insn", "--demangle", str(path)):
        if line.endswith(">:"):
            function = line.split(maxsplit=1)[1]
        _, _, instruction = line.partition(":\t")
        if function == reported or not instruction:
            continue
        if any(pattern.search(instruction) for pattern in FORBIDDEN[level]):
            reported = function
            yield f"{path.name} of {level} runs `{instruction.strip()}` in {function}"


def violations(build: Path) -> Iterator[str]:
    """Every broken rule among the object files below `build`, as one line of text."""
    objects = sorted(build.glob("CMakeFiles/*.dir/**/*.o"))
    if not objects:
        raise FileNotFoundError(f"no object files below {build}; name a CMake build folder")
    for path in objects:
        level = level_of(path.relative_to(build))
        if level != "baseline":
            yield from stray_symbols(path, level)
        if FORBIDDEN[level]:
            yield from stray_instructions(path, level)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    found = list(violations(Path(sys.argv[1])))
    print("\n".join(found) if found else "no code outside its instruction set")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
