#!/usr/bin/env python3
"""bench/experiment.py with a stand-in for rook that trains in no time. Exit status 77 where NumPy is missing."""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

try:
    import numpy  # noqa: F401: bench/common.py needs it
except ImportError:
    print("skipped: this Python has no NumPy (python3-numpy)")
    sys.exit(77)

import common
import experiment

# Answers as rook does: a run's metrics, of which those of a continued run end with a line that has no epoch; scores of a
# run are in the names of its folder and split. FAIL names a run whose training fails.
ROOK = """#!{python}
import json, os, pathlib, sys
words = sys.argv[1:]
said = dict(zip(words, words[1:]))
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(words) + "\\n")
if words[0] == "train":
    run = pathlib.Path(said["--out"])
    if run.name == os.environ.get("FAIL"):
        sys.exit("rook: photo.jpg: is broken")
    lines = [{{"type": "train", "epoch": e / 2, "iteration": e}} for e in range(1, 25)]
    lines += [{{"type": "eval", "epoch": e, "seconds": 30.0 * e, "map50": 0.9 + e / 100}} for e in (2.5, 9.75, 12)]
    if "v1" in said["--from"]:
        lines.append({{"type": "forgetting", "after": {{}}}})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
    (run / "best.safetensors").touch()
elif words[0] == "eval":
    score = 0.98 + int(said["--model"][-1]) / 1000 + (0.01 if said["--split"] == "test" else 0)
    print(json.dumps(dict.fromkeys(["map50", "map50_95", "darknet_map50", "precision", "recall", "f1", "per_class", "extra"], score)))
else:
    print("rook 1")
"""


class Experiment(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "assets/chess/train").mkdir(parents=True)
        rook = self.folder / "rook"
        rook.write_text(ROOK.format(python=sys.executable))
        rook.chmod(0o755)
        nearest = {"v1": {"valid": 0.25, "test": 0.125}}
        for patch in (unittest.mock.patch.dict(os.environ, ROOK=str(rook), ROOK_ASSETS=str(self.folder / "assets"), CALLS=str(self.folder / "calls")),
                      unittest.mock.patch.object(common, "RESULTS", self.folder / "results"),
                      unittest.mock.patch.object(experiment.nearest_photo, "baselines", lambda *_: nearest)):
            patch.start()
            self.addCleanup(patch.stop)

    def run_with(self, *words, out=None):
        """What it prints, with the lines of progress."""
        out = out or io.StringIO()
        command = ["experiment.py", *words, "--out", str(self.folder / "runs")]
        with unittest.mock.patch.object(sys, "argv", command), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            experiment.main()
        return out.getvalue()

    def fails_with(self, text, *words):
        out = io.StringIO()
        with self.assertRaises(SystemExit) as failure:
            self.run_with(*words, out=out)
        self.assertIn(text, f"{out.getvalue()}{failure.exception.code}")

    def trainings(self):
        calls = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return [call for call in calls if call[0] == "train"]

    def test_table_and_result(self):
        text = self.run_with("1", "2", "3", "--variants", "v1,v3", "--v3-args", "--epochs 6")
        (row,) = [line for line in text.splitlines() if line.startswith("| v3")]
        minutes, goal, early, valid, test = [cell.strip() for cell in row.split("|")[2:7]]
        self.assertRegex(minutes, r"^0\.\d \(0\.\d-0\.\d\)$")
        self.assertEqual((goal, early), ("4.9 (4.9-4.9)", "99.75 (99.75-99.75)"))
        self.assertEqual((valid, test), ("98.20 (98.10-98.30)", "99.20 (99.10-99.30)"))
        self.assertIn("| boxes of the nearest of v1 training photos |  |  |  | 25.00 | 12.50 |", text)
        (file,) = (self.folder / "results").iterdir()
        runs = json.loads(file.read_text())["runs"]
        self.assertEqual([(r["variant"], r["seed"], r["epochs"]) for r in runs], [(v, s, 12) for s in (1, 2, 3) for v in ("v1", "v3")])
        self.assertNotIn(str(self.folder), file.read_text())
        self.assertIn("$ROOK_ASSETS/chess", runs[0]["flags"])
        for call in self.trainings():
            said = dict(zip(call, call[1:]))
            few, more = "--train-list" in call, said.get("--epochs") == "6"
            self.assertEqual((few, more), (True, False) if "conv.29" in said["--from"] else (False, True))
            if not few:
                self.assertEqual(pathlib.Path(said["--from"]), self.folder / f"runs/v1-s{said['--seed']}/best.safetensors")

    def test_what_is_there_is_not_trained_over(self):
        self.run_with("1", "--variants", "v1")
        self.fails_with("v1-s1: holds a run already", "1", "--variants", "v1")
        self.assertIn("was there already", self.run_with("1", "--variants", "v1", "--reuse"))
        self.run_with("1", "--variants", "v3")  # v1 of the folder
        self.assertEqual(len(self.trainings()), 2)

    def test_failures_are_said(self):
        self.fails_with("v3 continues v1", "1", "--variants", "v3")
        for variants in ("fast", "v4", ","):
            self.fails_with("--fast-net adds", "1", "--variants", variants)
        with unittest.mock.patch.dict(os.environ, FAIL="v2-s1"):
            self.fails_with("v2, seed 1: exit status 1: rook: photo.jpg: is broken", "1", "--variants", "v1,v2")
        with unittest.mock.patch.dict(os.environ, ROOK_ASSETS=""):
            self.fails_with("no chess photos", "1")
        self.assertFalse((self.folder / "results").exists())


if __name__ == "__main__":
    unittest.main()
