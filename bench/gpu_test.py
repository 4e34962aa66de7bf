#!/usr/bin/env python3
"""Tests of what gpu.py reads out of logs and writes into tables: `python3 bench/gpu_test.py`."""

import contextlib
import fnmatch
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
from unittest import mock

try:
    import numpy  # noqa: F401
except ImportError:
    raise SystemExit(77)

import common
import gpu

ROOT = pathlib.Path(__file__).resolve().parent.parent


def log(passed, failed):
    total = passed + failed
    return (f"[doctest] doctest version is \"2.4.9\"\n[doctest] test cases: {total:>5} | {passed:>5} passed | {failed} failed | 0 skipped\n"
            f"[doctest] assertions: 99 | 99 passed | 0 failed |\n")


class Cases(unittest.TestCase):
    def test_counts_are_those_of_test_cases(self):
        self.assertEqual(gpu.counts(log(112, 3)), (112, 3))
        self.assertEqual(gpu.counts("\x1b[0;36m[doctest] \x1b[0mtest cases: \x1b[0m 5 |\x1b[0;32m 5 passed\x1b[0m | 0 failed |"), (5, 0))
        self.assertIsNone(gpu.counts("Segmentation fault"))

    def test_cases_on_the_gpu_are_those_that_fail_without(self):
        self.assertEqual(gpu.cases(log(10, 80), log(90, 0)), {"on_gpu": 80, "passed": 90, "failed": 0})
        self.assertEqual(gpu.cases(log(10, 80), log(88, 2))["failed"], 2)

    def test_nothing_on_the_gpu_is_a_failure(self):
        for hidden, shown in ((log(90, 0), log(90, 0)), (log(10, 80), log(70, 0)), (log(10, 80), "crash"), ("", log(90, 0))):
            with self.assertRaises(SystemExit):
                gpu.cases(hidden, shown)

    def test_some(self):
        gpu.some(log(1, 0))
        for text in (log(0, 0), log(3, 1), ""):
            with self.assertRaises(SystemExit):
                gpu.some(text)


class Groups(unittest.TestCase):
    def test_what_spoils_the_cases_after_it(self):
        for words in ("an illegal memory access was encountered", "misaligned address", "unspecified launch failure"):
            text = f"ERROR: relu: the launch failed: {words}\n" + log(80, 10)
            is_spoilt, why = gpu.spoilt(text)
            self.assertTrue(is_spoilt)
            self.assertIn(why.split('"')[1], words)
        self.assertTrue(gpu.spoilt("Segmentation fault")[0])
        self.assertFalse(gpu.spoilt(log(90, 0))[0])
        self.assertFalse(gpu.spoilt("invalid argument\n" + log(89, 1))[0])

    def test_every_pattern_selects_cases_and_the_last_group_the_rest(self):
        names = [name for file in sorted((ROOT / "tests/kernels/emu").glob("*_test.cpp"))
                 for name in re.findall(r'TEST_CASE\(\s*"([^"]+)"', file.read_text())]
        self.assertGreater(len(names), 90)
        for patterns in gpu.GROUPS.values():
            for pattern in patterns.split(","):
                self.assertTrue(fnmatch.filter(names, pattern), pattern)
        groups = gpu.groups("*libraries' rows*")
        self.assertEqual(groups[0], ("conv", "*conv*", "*libraries' rows*"))
        name, selected, left_out = groups[-1]
        self.assertEqual((name, selected), ("others", "*"))
        self.assertEqual(left_out.split(","), ["*libraries' rows*", *(p for group in gpu.GROUPS.values() for p in group.split(","))])


class Bench(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.out = self.folder / "out"
        self.out.mkdir()
        self.enterContext(mock.patch.dict(os.environ, OUT=str(self.out)))
        self.enterContext(mock.patch.object(gpu, "flops_of", lambda network: 1e9))
        self.enterContext(mock.patch.object(common, "rook_program", lambda: "rook"))
        self.said = self.enterContext(contextlib.redirect_stderr(io.StringIO()))
        self.commands = []

    def run_bench(self, program, seconds=1000):
        def run(command, seconds):
            self.commands.append(command)
            return program(command, seconds)

        with mock.patch.object(common, "run_program", run):
            gpu.bench(self.folder / "bench.json", seconds)

    def entries(self):
        written = (self.folder / "bench.json").read_text()
        self.assertEqual((self.out / "bench.json").read_text(), written)
        return json.loads(written)

    @staticmethod
    def rows(command, seconds=None):
        batches = command[command.index("--batch") + 1].split(",")
        return json.dumps({"rows": [{"batch": int(b), "ms_median": 2.0, "images_per_s": 500.0} for b in batches]})

    def test_one_process_for_several_batches_the_most_telling_first(self):
        self.run_bench(self.rows)
        self.assertEqual(len(self.commands), len(gpu.ENTRIES))
        self.assertEqual(self.commands[0][1:3] + [self.commands[0][i + 1] for i, word in enumerate(self.commands[0])
                                                  if word in ("--precision", "--batch", "--conv")],
                         ["bench", "train", "bf16", "64,8,1", "ours"])
        convolutions = [command[command.index("--conv") + 1] for command in self.commands]
        self.assertEqual(convolutions, sorted(convolutions, reverse=True))  # cudnn comes last
        for command in self.commands:
            if "cudnn" in command:
                self.assertIn("bf16", command)
        first = self.entries()[0]
        self.assertEqual((first["batch"], first["tflops"]), (64, 1.5))

    def test_a_library_that_is_not_there_is_left_out_whatever_its_letters(self):
        def program(command, seconds):
            if "cudnn" in command:
                raise RuntimeError("rook bench: exit status 1\nrook: error: --conv cudnn: cuDNN: libcudnn.so.9 cannot be loaded")
            return self.rows(command)

        self.run_bench(program)
        self.assertFalse([e for e in self.entries() if "error" in e or e["conv"] == "cudnn"])
        self.assertTrue(gpu.is_missing("command\n--conv cuDNN: it is not there", "cudnn"))
        self.assertFalse(gpu.is_missing("rook bench --conv cudnn --json -\ncuDNN: fprop 4x4x16 failed", "cudnn"))

    def test_batches_that_fail_together_run_alone(self):
        def program(command, seconds):
            if command[2] == "train" and "64" in command[command.index("--batch") + 1]:
                raise RuntimeError("rook bench: exit status 1\nout of device memory")
            return self.rows(command)

        with self.assertRaises(SystemExit):
            self.run_bench(program)
        trained = [e for e in self.entries() if e["bench"] == "train" and e["precision"] == "f32"]
        self.assertEqual([(e["batch"], e.get("error")) for e in trained], [(64, "out of device memory"), (8, None), (1, None)])

    def test_nothing_begins_after_the_deadline(self):
        now = [0.0]

        def program(command, seconds):
            self.assertLessEqual(seconds, 100 - now[0])
            now[0] += 40
            return self.rows(command)

        with mock.patch.object(gpu.time, "monotonic", lambda: now[0]):
            self.run_bench(program, 100)
        self.assertEqual(len(self.commands), 3)
        self.assertIn(f"no time was left for {len(gpu.ENTRIES) - 3} of", self.said.getvalue())

    def test_a_program_that_hangs_is_an_error(self):
        with self.assertRaisesRegex(RuntimeError, "took longer than 0 s"):
            common.run_program(["sleep", "10"], seconds=0.05)


PROGRAM = """#!/bin/bash
echo "$(basename "$0") $*" >>"$CALLS"
summary() { echo "[doctest] test cases: $(($1 + $2)) | $1 passed | $2 failed | 0 skipped"; return "$2"; }
[[ ${CUDA_VISIBLE_DEVICES-shown} != "" ]] || { summary 2 5; exit 1; }
"""


class Steps(unittest.TestCase):
    """gpu.sh itself, with stand-ins for the programs and the GPU."""

    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for file in ("gpu.sh", "gpu.py", "common.py", "agree.py", "darknet.py"):
            (self.root / "bench").mkdir(exist_ok=True)
            shutil.copy(ROOT / "bench" / file, self.root / "bench" / file)
        self.calls = self.root / "calls"
        self.script("bin/nvidia-smi", "#!/bin/bash\necho a GPU\n")
        self.out = self.root / "out"

    def script(self, name, text):
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def gpu(self, *steps, path=None):
        environment = {**os.environ, "PATH": path or f"{self.root}/bin:{os.environ['PATH']}", "OUT": str(self.out), "CALLS": str(self.calls),
                       "PYTHON": common.sys.executable, "ROOK_BENCH_RESULTS": str(self.root / "results")}
        done = subprocess.run(["bash", "bench/gpu.sh", *steps], cwd=self.root, env=environment, capture_output=True, text=True)
        self.steps = {line.split("\t")[0]: line.split("\t")[1:] for line in (self.out / "steps.tsv").read_text().splitlines()}
        return done

    def called(self):
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def test_results_are_in_the_folder_step_by_step_and_the_report_needs_neither_program_nor_git(self):
        # The second step looks whether what the first one left has arrived.
        self.script("build/cuda/test_emu", PROGRAM + "summary 7 0")
        self.script("build/cuda/test_model", PROGRAM + f'grep -q passed "{self.out}/steps.tsv" && [[ -s {self.out}/test.log ]] || exit 3\n'
                    "summary 7 0")
        self.script("bin/git", "#!/bin/bash\nexit 127\n")
        done = self.gpu("test", "model")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([self.steps[s][0] for s in ("test", "model")], ["passed", "passed"])
        for name in ("test.log", "test-shown.log", "cases-test.json", "cases-model.json", "device.json"):
            self.assertTrue((self.out / name).exists(), name)
        self.assertIn("| test | 5 | 7 | 0 |", done.stdout)
        self.assertIn("commit unknown", done.stdout)
        self.assertTrue(any("--duration=true" in call and "--test-case-exclude=*libraries' rows*" in call for call in self.called()))

    def test_after_a_sticky_error_each_group_has_its_own_process(self):
        self.script("build/cuda/test_emu", PROGRAM + """case $* in
  *--test-case=nms*) echo "an illegal memory access was encountered"; summary 0 1 ;;
  *--test-case=*) summary 1 0 ;;
  *) echo "an illegal memory access was encountered"; summary 3 4 ;;
esac""")
        done = self.gpu("test", "groups")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.steps["test"][0], "failed")
        self.assertEqual((self.steps["groups"][0], self.steps["groups"][2]), ("failed", "gpu: these groups fail, each by itself: nms"))
        self.assertEqual(sum("--test-case=" in call for call in self.called()), len(gpu.GROUPS) + 1)
        self.assertTrue((self.out / "group-nms.log").exists())
        self.assertIn("| group nms |  | 0 | 1 |", done.stdout)

    def test_without_one_there_are_no_groups(self):
        self.script("build/cuda/test_emu", PROGRAM + "summary 6 1")
        self.gpu("test", "groups")
        self.assertEqual((self.steps["test"][0], self.steps["groups"][0]), ("failed", "skipped"))
        self.assertFalse(any("--test-case=" in call for call in self.called()))

    def test_racecheck_runs_after_memcheck_has_failed(self):
        self.script("build/cuda/test_emu", PROGRAM + "summary 2 0")
        self.script("bin/compute-sanitizer", PROGRAM + """[[ $* != *memcheck* ]] || { echo "Invalid __global__ read"; exit 9; }
summary 2 0""")
        self.gpu("sanitize")
        self.assertEqual((self.steps["sanitize"][0], self.steps["sanitize"][2]), ("failed", "gpu: failed or took too long: memcheck"))
        self.assertEqual(sum(call.startswith("compute-sanitizer") for call in self.called()), 2)
        self.assertTrue((self.out / "racecheck.log").exists())

    def test_a_training_takes_the_program_that_was_built(self):
        for file in ("run", "bench/bundle.sh"):
            shutil.copy(ROOT / file, self.root / file)
        for tool in ("cmake", "apt-get"):
            self.script(f"bin/{tool}", PROGRAM)
        (self.root / "assets/chess").mkdir(parents=True)
        self.script("build/cuda/rook", PROGRAM + """case "$1 $2" in
  "weights convert") echo same >"${@: -1}" ;;
  train*) echo "best mAP50 0.9899, mAP50:95 0.6999 at epoch 15.0: runs/chess/best.safetensors" ;;
esac""")
        with mock.patch.dict(os.environ, ROOK_ASSETS=str(self.root / "assets")):
            done = self.gpu("train")
        self.assertEqual(self.steps["train"][0], "passed", done.stderr)
        self.assertEqual({call.split()[0] for call in self.called()}, {"rook"})
        self.assertTrue(self.called()[1].startswith("rook train --data"), self.called())
        self.assertIn("| 0.9899 | 0.6999 | yes |", done.stdout)

    def test_the_limits_fit_into_the_calls_that_the_documentation_names(self):
        shell = (ROOT / "bench/gpu.sh").read_text()
        limits = {name: int(seconds) for name, seconds in re.findall(r"\[(\w+)\]=(\d+)", shell)}
        self.assertEqual(list(limits), list(gpu.STEPS))
        page = (ROOT / "docs/gpu.md").read_text()
        calls = [line.split("#")[0].split()[2:] for line in page.splitlines() if re.match(r"\./run gpu \w+ \w+", line)]
        self.assertEqual([step for call in calls for step in call], list(gpu.STEPS))
        for call in calls:
            self.assertLess(sum(limits[step] for step in call), 590, call)
        for name, seconds in limits.items():
            self.assertRegex(page, rf"\| `{name}` \|.*\| {seconds} s \|")


class Report(unittest.TestCase):
    def test_versions_are_what_rook_says(self):
        text = "rook 0.1.0, cuDNN 9.13.0, cuBLASLt missing, rows depthwise first mma"
        self.assertEqual(gpu.versions_in(text), {"cuDNN": "9.13.0", "cuBLASLt": "missing"})
        with mock.patch.dict(os.environ, ROOK="/nowhere/rook"):
            self.assertEqual(gpu.library_versions(), {})

    def test_files_half_written_are_passed_over(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for file in ("bench.json", "diff-net-bf16.json", "cases-test.json"):
                (folder / file).write_text('[{"half')
            (folder / "steps.tsv").write_text("bench\tfailed\t3\tstopped\nfuture\tpassed\t1\t\n")
            with mock.patch.dict(os.environ, ROOK="/nowhere/rook", PATH=""):
                found = gpu.gather(folder)
        self.assertEqual((found["bench"], found["differences"], found["tests"], found["commit"]), (None, [], [], "unknown"))
        self.assertEqual([s["step"] for s in found["steps"]], ["bench", "future"])

    def test_training(self):
        text = ("finished after 459 iterations, 27.5 s since start (815.7 photos/s in training steps)\n"
                "best mAP50 0.9899, mAP50:95 0.6999 at epoch 15.0: runs/chess/best.safetensors\n")
        expected = {"iterations": 459, "seconds": 27.5, "photos_per_s": 815.7, "map50": 0.9899, "map50_95": 0.6999}
        self.assertEqual(gpu.trained(text), expected)
        self.assertTrue(gpu.trained(text + "gpu: the same seed gave the same weights twice\n")["repeatable"])
        self.assertFalse(gpu.trained("gpu: the same seed gave different weights\n")["repeatable"])

    def test_difference_is_the_worst_node(self):
        values = [{"name": "0 conv", "relative": 1e-6}, {"name": "3 yolo", "relative": 2e-3}]
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "diff-yolo-fastest-1.1-xl-coco-bf16.json"
            file.write_text(json.dumps({"model": "x/yolo.cfg:y.weights", "a": "cpu f32", "b": "cuda bf16", "values": values}))
            found = gpu.difference(file)
        self.assertEqual((found["kind"], found["node"], found["nodes"], found["relative"]), ("bf16", "3 yolo", 2, 2e-3))

    def test_the_table_has_every_part(self):
        entry = {"bench": "net", "network": "yolov4-tiny", "batch": 8, "precision": "bf16", "conv": "ours", "ms_median": 1.25,
                 "ms_min": 1.2, "ms_max": 1.5, "images_per_s": 6400.0, "tflops": 44.2}
        figures = {"ms_median": 2.0, "ms_min": 1.9, "ms_max": 2.1, "images_per_s": 500.0, "peak_mb": 1.0}
        result = {
            "date": "2026-01-02T03:04:05Z", "commit": "abc", "host": "a processor", "threads": 16,
            "device": {"name": "NVIDIA H100", "driver_version": "580.1", "memory.total": "81559 MiB", "power.limit": "700 W",
                       "clocks.max.sm": "1980 MHz", "cuda": "13.0", "cudnn": "9.13.0", "cublas": "not linked"},
            "steps": [{"step": "test", "outcome": "failed", "seconds": "12", "note": "why"}],
            "tests": [{"tests": "test", "on_gpu": 80, "passed": 90, "failed": 1}],
            "differences": [{"model": "m", "kind": "train", "a": "cpu f32", "b": "cuda f32", "nodes": 3, "relative": 1e-5, "node": "n"}],
            "training": {"seconds": 27.5, "map50": 0.99, "repeatable": True},
            "bench": [entry, {"bench": "train", "network": "yolov4-tiny", "batch": 64, "precision": "f32", "conv": "ours", "error": "broke"}],
            "torch": {"ceilings": {"bf16_tflops": 780.0, "copy_gb_s": 2990.0},
                      "parts": [{"title": "T", "measured": {"rook bf16": [figures]}, "ratios": []}]},
        }
        text = gpu.markdown(result)
        for part in ("NVIDIA H100", "driver 580.1", "cuDNN 9.13.0", "| test | failed | 12 | why |", "| test | 80 | 90 | 1 |", "1e-05",
                     "| 27.5 |  | 0.99 |  | yes |", "| yolov4-tiny | 8 | bf16 | ours | 1.250 | 1.200 | 1.500 | 6400 | 44.2 |  |",
                     "broke", "780 TFLOP/s", "| rook bf16 | 500.0 | 2.00 | 1.90 | 2.10 |"):
            self.assertIn(part, text)
        bare = dict.fromkeys(("training", "bench", "torch")) | {"differences": [], "steps": [], "tests": []}
        self.assertIn("# NVIDIA H100", gpu.markdown(result | bare))


if __name__ == "__main__":
    unittest.main()
