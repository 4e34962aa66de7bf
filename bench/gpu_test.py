#!/usr/bin/env python3
"""Tests of what gpu.py reads out of logs and writes into tables: `python3 bench/gpu_test.py`."""

import json
import pathlib
import tempfile
import unittest

import gpu


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


class Report(unittest.TestCase):
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
            "cases": {"on_gpu": 80, "passed": 90, "failed": 1},
            "differences": [{"model": "m", "kind": "train", "a": "cpu f32", "b": "cuda f32", "nodes": 3, "relative": 1e-5, "node": "n"}],
            "training": {"seconds": 27.5, "map50": 0.99, "repeatable": True},
            "bench": [entry, {"bench": "train", "network": "yolov4-tiny", "batch": 64, "precision": "f32", "conv": "ours", "error": "broke"}],
            "torch": {"ceilings": {"bf16_tflops": 780.0, "copy_gb_s": 2990.0},
                      "parts": [{"title": "T", "measured": {"rook bf16": [figures]}, "ratios": []}]},
        }
        text = gpu.markdown(result)
        for part in ("NVIDIA H100", "driver 580.1", "cuDNN 9.13.0", "| test | failed | 12 | why |", "80 cases ran on the GPU", "1e-05",
                     "| 27.5 |  | 0.99 |  | yes |", "| yolov4-tiny | 8 | bf16 | ours | 1.250 | 1.200 | 1.500 | 6400 | 44.2 |  |",
                     "broke", "780 TFLOP/s", "| rook bf16 | 500.0 | 2.00 | 1.90 | 2.10 |"):
            self.assertIn(part, text)
        bare = dict.fromkeys(("cases", "training", "bench", "torch")) | {"differences": [], "steps": []}
        self.assertIn("# NVIDIA H100", gpu.markdown(result | bare))


if __name__ == "__main__":
    unittest.main()
