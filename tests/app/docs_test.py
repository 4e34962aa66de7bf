"""The documentation held to the code: README.md and docs/ name files, functions, tests, commands and flags that exist."""

import fnmatch
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("kernels", "engine", "model", "io", "synth", "base", "serve", "app", "bench", "tests", "docs", "cmake")
SOURCES = (".h", ".cpp", ".cu", ".cuh", ".c", ".py", ".sh", ".cmake")


def pages(root):
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def parts(text):
    """Prose and fenced blocks of a page, as lists of (line number, text)."""
    prose, code, fenced = [], [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        else:
            (code if fenced else prose).append((number, line))
    return prose, code


def joined(code):
    """Lines of a fenced block with those that end in a backslash put together, comments left out."""
    lines, begin, sofar = [], 0, ""
    for number, line in code:
        begin, sofar = (begin if sofar else number), sofar + re.sub(r"\s+#.*", "", line)
        if sofar.endswith("\\"):
            sofar = sofar[:-1] + " "
            continue
        lines.append((begin, sofar.strip()))
        sofar = ""
    return lines


def names_in(prose):
    """What stands in backticks: (line number, name)."""
    return [(number, name) for number, line in prose for name in re.findall(r"`([^`]+)`", line)]


def looks_like_file(name):
    placeholder = re.search(r"[A-Z]{3,}", name) and not re.search(r"README|LICENSE|CMakeLists", name)
    if not re.fullmatch(r"[\w./*-]+", name) or name.startswith(".") or placeholder:
        return False
    return name.split("/")[0] in FOLDERS and "/" in name or name.endswith(SOURCES)


class Tree:
    """The files of a checkout, and every word in its sources."""

    def __init__(self, root):
        self.root = root
        self.files = {str(file.relative_to(root)) for folder in FOLDERS for file in (root / folder).rglob("*") if file.is_file()}
        self.files |= {file.name for file in root.iterdir() if file.is_file()}
        self.words, self.tests, self.sections = set(), [], []
        for file in self.files:
            if not file.endswith(SOURCES) or file.endswith("docs_test.py"):
                continue
            text = (root / file).read_text(encoding="utf-8", errors="replace")
            self.sections += [(file, section) for section in re.findall(r"darknet\.md (\d+(?:\.\d+)?)", text)]
            self.words.update(re.findall(r"\w+", re.sub(r"//.*", "", text)))  # what comments alone name is not there
            self.tests += re.findall(r'TEST_CASE\(\s*"([^"]+)"', text)

    def has(self, name, page):
        name = name.rstrip("/")
        if (self.root / name).exists() or (page.parent / name).exists():
            return True
        pattern = name if "/" in name else "*/" + name
        return any(fnmatch.fnmatch(file, pattern) for file in self.files)


def missing_files(page, tree):
    return [(number, name) for number, name in names_in(parts(page.read_text())[0]) if looks_like_file(name) and not tree.has(name, page)]


def missing_links(page):
    found = [(number, target) for number, line in parts(page.read_text())[0] for target in re.findall(r"\]\(([^)\s]+)\)", line)]
    return [(number, target) for number, target in found if not re.match(r"\w+:|#", target) and not (page.parent / target.split("#")[0]).exists()]


def missing_words(page, tree):
    """Names of code that no source file has: two words with an underscore, or with capitals inside, or followed by ()."""
    code = re.compile(r"(?:\w+::)*(?:[a-z]\w*_\w+|k?[A-Z][a-z]\w*[A-Z]\w*|k[A-Z]\w+|\w+\(\))")
    wanted = [(number, name) for number, name in names_in(parts(page.read_text())[0]) if code.fullmatch(name)]
    return [(number, name) for number, name in wanted if not set(re.findall(r"\w+", name)) <= tree.words]


def missing_tests(page, tree):
    found = [(number, pattern) for number, line in joined(parts(page.read_text())[1]) for pattern in [p for quoted in re.findall(r'-tc="([^"]+)"', line) for p in quoted.split(",")]]
    return [(number, pattern) for number, pattern in found if not any(fnmatch.fnmatch(test, pattern) for test in tree.tests)]


def missing_sections(page, tree):
    """Sections of the reference that sources cite and that it does not have."""
    there = set(re.findall(r"^#+ (\d+(?:\.\d+)?)", page.read_text(), re.MULTILINE))
    return [(1, f"{section} ({file})") for file, section in tree.sections if section not in there]


class Program:
    """`rook`, and what its --help says."""

    def __init__(self, program):
        self.program, self.helps = program, {}

    def help(self, *words):
        if words not in self.helps:
            run = subprocess.run([self.program, *words, "--help"], capture_output=True, text=True, timeout=60)
            self.helps[words] = run.stdout
        return self.helps[words]

    def faults(self, line):
        """What of a line `rook COMMAND --flag ...` the program does not know."""
        words, command = line.split()[1:], []
        while kinds := self.subcommands(*command):
            if len(command) == len(words) or not re.fullmatch(r"[a-z]+", words[len(command)]):
                return [f"rook {' '.join(command)} without a subcommand"] if command else []
            command.append(words[len(command)])
            if command[-1] not in kinds:  # --help of what is unknown is that of its parent
                return [f"rook {' '.join(command)}"]
        flags = re.findall(r"(?<=\s)--[a-z][a-z-]*", line)
        return [f"rook {' '.join(command)} {flag}" for flag in flags if not re.search(re.escape(flag) + r"(?![a-z-])", self.help(*command))]

    def subcommands(self, *command):
        return re.findall(r"^  ([a-z]+)(?:\s|$)", self.help(*command).partition("Subcommands:")[2], re.MULTILINE)


def command_lines(page):
    lines = [(number, line) for number, line in joined(parts(page.read_text())[1])]
    return [(number, re.sub(r"^\S*/rook ", "rook ", line)) for number, line in lines if re.match(r"(\S*/)?rook [a-z]", line)]


class Documentation(unittest.TestCase):
    tree = Tree(ROOT)

    def check(self, find, what, chosen=None):
        faults = [f"{page.relative_to(ROOT)}:{number}: {what}: {name}" for page in (pages(ROOT) if chosen is None else chosen) for number, name in find(page)]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_files(self):
        self.check(lambda page: missing_files(page, self.tree), "no such file")

    def test_links(self):
        self.check(missing_links, "no such file")

    def test_names(self):
        self.check(lambda page: missing_words(page, self.tree), "not in the sources", sorted((ROOT / "docs/internals").glob("*.md")))

    def test_tests(self):
        self.check(lambda page: missing_tests(page, self.tree), "no test is called so")

    def test_sections(self):
        self.check(lambda page: missing_sections(page, self.tree), "no such section", [ROOT / "docs/darknet.md"])

    @unittest.skipUnless(os.environ.get("ROOK_PROGRAM"), "ROOK_PROGRAM is not set")
    def test_commands(self):
        program = Program(os.environ["ROOK_PROGRAM"])
        self.check(lambda page: [(number, fault) for number, line in command_lines(page) for fault in program.faults(line)], "the program has no")


class Check(unittest.TestCase):
    """The check itself, on a tree that was made up."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "kernels").mkdir()
        (self.root / "docs").mkdir()
        (self.root / "kernels/pool.h").write_text('void max_pool();\nTEST_CASE("pool: by hand") {}\n')
        self.page = self.root / "docs/pool.md"

    def write(self, text):
        self.page.write_text(text)
        return Tree(self.root)

    def test_files(self):
        tree = self.write("`kernels/pool.h` and `pool.h`, `kernels/` and `kernels/*.h`\n`kernels/pol.h`, `pol.h` and `kernels/x*.h`\n```\n`kernels/no.h`\n```\n")
        self.assertEqual(missing_files(self.page, tree), [(2, "kernels/pol.h"), (2, "pol.h"), (2, "kernels/x*.h")])
        tree = self.write("`runs/chess/report.html`, `photo.jpg`, `a/b`, `x + y.h`, `.cu`, `docs/DATE.md`")
        self.assertEqual(missing_files(self.page, tree), [])

    def test_links(self):
        self.write("[a](pool.md) [b](../kernels/pool.h#top) [c](https://example.org/x) [d](#e)\n![f](g.svg)")
        self.assertEqual(missing_links(self.page), [(2, "g.svg")])

    def test_names(self):
        tree = self.write("`max_pool`, `max_pool()`, `x`, `1e-6`\n`min_pool`, `MaxPool`, `kPool` and `pools()`")
        self.assertEqual([name for _, name in missing_words(self.page, tree)], ["min_pool", "MaxPool", "kPool", "pools()"])

    def test_sections(self):
        (self.root / "kernels/pool.h").write_text("// darknet.md 1.5, darknet.md 2: and darknet.md 3.1.\n// darknet.md 4.")
        tree = self.write("# What\n## 2. Weights\n### 1.5 Layers\n## 4\n")
        self.assertEqual(missing_sections(self.page, tree), [(1, "3.1 (kernels/pool.h)")])

    def test_tests(self):
        tree = self.write('```\ntest_kernels -tc="pool:*"\ntest_kernels \\\n  -tc="pol:*"\n```\n')
        self.assertEqual(missing_tests(self.page, tree), [(3, "pol:*")])

    def test_commands(self):
        program = self.root / "rook"
        program.write_text("#!/bin/sh\ncase \"$1 $2\" in\n'eval --help') echo '  --data TEXT';;\n'data check') echo '  --draw TEXT';;\n"
                           "data*) printf 'Subcommands:\\n  check   faults\\n  convert writes\\n';;\n"
                           "*) printf 'Subcommands:\\n  eval    measure\\n  data    look\\n\\nExamples:\\n  rook fly\\n';;\nesac\n")
        program.chmod(0o755)
        self.write("```\nbuild/rook eval --data x --drawn y  # --no\nrook data check x --draw y --dra z\nrook data look x\nrook fly\nrook data\n```\nrook walk\n")
        faults = [fault for _, line in command_lines(self.page) for fault in Program(str(program)).faults(line)]
        self.assertEqual(faults, ["rook eval --drawn", "rook data check --dra", "rook data look", "rook fly", "rook data without a subcommand"])


if __name__ == "__main__":
    unittest.main()
