#!/usr/bin/env python3
"""Registers, shared memory and spills of every CUDA kernel, as ptxas reported them while rook was built.

usage: ptxas.py BUILD [--check FILE | --write FILE]

BUILD is a build folder with the CUDA kernels in it. Without a flag the table goes to the terminal. --check compares with
a table written before, where it was made by the same compiler, and fails when it differs, or when any kernel spills.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPILING = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def demangled(names):
    result = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, result.stdout.splitlines()))


def short(name):
    """A kernel's name without its namespaces, template arguments and parameters."""
    name = re.sub(r"\(anonymous namespace\)::|rook::cuda::(conv_\w+::)?", "", name)
    name = name.removeprefix("void ")
    end = min((name.index(c) for c in "<(" if c in name), default=len(name))
    return name[:end]


class Files:
    """Which .cu file a kernel is of, where several were compiled as one (cmake/cuda.cmake)."""

    def __init__(self, build):
        self.groups = {}
        for group in pathlib.Path(build).glob("cuda/group_*.cu"):
            files = re.findall(r'#include "(.*)"', group.read_text())
            self.groups[group.name] = {pathlib.Path(f).name: (ROOT / f).read_text() for f in files}

    def of(self, compiled, kernel):
        """`compiled`, or the file in it that defines the kernel or what the kernel is a template of."""
        if compiled not in self.groups:
            return compiled
        for word in re.findall(r"\w+", kernel):
            definition = re.compile(rf"^(?:struct|class) (?:alignas\(\w+\) )?{word}\b|__global__[^;{{]*\b{word}\(", re.M)
            for file, text in self.groups[compiled].items():
                if definition.search(text):
                    return file
        sys.exit(f"ptxas.py: none of {', '.join(self.groups[compiled])} defines {kernel}")


def read(build):
    """{(file, kernel): {architecture: {instances, registers, shared, stack, spills}}}: the largest of all instances."""
    library = pathlib.Path(build) / "librook_cuda.a"
    if not library.exists():
        sys.exit(f"ptxas.py: {build} has no CUDA kernels; build it with ROOK_CUDA=ON")
    # A build folder keeps reports of files that were compiled in other groups before.
    objects = subprocess.run(["ar", "t", library], capture_output=True, text=True, check=True).stdout.split()
    logs = sorted(log for log in pathlib.Path(build).rglob("*.cu.o.ptxas") if log.name.removesuffix(".ptxas") in objects)
    if not logs:
        sys.exit(f"ptxas.py: {build} has no report of ptxas; compile its CUDA kernels anew")
    entries = []
    for log in logs:
        file = log.name.removesuffix(".o.ptxas")
        entry = None
        for line in log.read_text().splitlines():
            if found := COMPILING.search(line):
                entry = {"file": file, "name": found[1], "arch": found[2], "registers": 0, "shared": 0, "stack": 0,
                         "spills": 0}
                entries.append(entry)
            elif entry and (found := STACK.search(line)):
                entry["stack"] = int(found[1])
                entry["spills"] = int(found[2]) + int(found[3])
            elif entry and (found := USED.search(line)):
                entry["registers"] = int(found[1])
                shared = SHARED.search(line)
                entry["shared"] = int(shared[1]) if shared else 0
                entry = None
    names = demangled(sorted({e["name"] for e in entries}))
    files = Files(build)
    table = {}
    for e in entries:
        name = names[e["name"]]
        cell = table.setdefault((files.of(e["file"], name), short(name)), {}).setdefault(
            e["arch"], {"instances": 0, "registers": 0, "shared": 0, "stack": 0, "spills": 0})
        cell["instances"] += 1
        for key in ("registers", "shared", "stack", "spills"):
            cell[key] = max(cell[key], e[key])
    return table


def compiler():
    version = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return "nvcc " + re.search(r"release [\d.]+, V([\d.]+)", version)[1]


def markdown(table):
    architectures = sorted({a for cells in table.values() for a in cells})
    lines = ["# What each CUDA kernel takes of a multiprocessor", "",
             f"By {compiler()}; the largest of all instances of a kernel template. Static shared memory in bytes; a kernel",
             "that spills registers fails the test `ptxas`. Written by `bench/ptxas.py BUILD --write bench/ptxas.md`.", "",
             "| file | kernel | instances | " + " | ".join(f"registers {a} | shared {a} | stack {a}" for a in architectures) + " |",
             "|--|--|--:|" + "--:|--:|--:|" * len(architectures)]
    for (file, kernel), cells in sorted(table.items()):
        row = [file, kernel, str(max(c["instances"] for c in cells.values()))]
        for a in architectures:
            c = cells.get(a)
            row += [str(c["registers"]), str(c["shared"]), str(c["stack"])] if c else ["", "", ""]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", metavar="FILE")
    action.add_argument("--write", metavar="FILE")
    options = parser.parse_args()
    table = read(options.build)
    spilling = [f"{file}: {kernel} for {arch}" for (file, kernel), cells in table.items() for arch, c in cells.items()
                if c["spills"]]
    text = markdown(table)
    if options.write:
        pathlib.Path(options.write).write_text(text)
    elif not options.check:
        print(text, end="")
    if spilling:
        sys.exit("ptxas.py: registers spill in " + "; ".join(sorted(spilling)))
    if options.check:
        before = pathlib.Path(options.check).read_text()
        if f"By {compiler()};" not in before:
            print(f"ptxas.py: {options.check} was made by another compiler than {compiler()}; nothing spills")
        elif before != text:
            changed = sorted(set(text.splitlines()) ^ set(before.splitlines()))
            sys.exit(f"ptxas.py: {options.check} is out of date; `bench/ptxas.py {options.build} --write "
                     f"{options.check}` writes it anew. Lines that differ:\n" + "\n".join(changed))
        else:
            print(f"{sum(len(c) for c in table.values())} kernels as in {options.check}; nothing spills")


if __name__ == "__main__":
    main()
