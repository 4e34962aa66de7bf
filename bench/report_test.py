#!/usr/bin/env python3
"""bench/report.py and bench/onnx_file.py on made-up data. Exit status 77 where NumPy is missing."""

import json
import pathlib
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no NumPy (python3-numpy)")
    sys.exit(77)

import common
import darknet
import onnx_file
import report
import report_html

HEADING = {"date": "2026-01-02T03:04:05Z", "device": "a <CPU>", "threads": 2, "commit": "abc"}


def figures(ms, peak=100):
    return {"ms_median": ms, "ms_min": ms, "ms_max": ms, "images_per_s": 1e3 / ms, "peak_mb": peak}


def comparison(arch="net"):
    measured = {"rook f32": [figures(10), figures(12), figures(11)], "torch f32": [figures(22, 400), figures(24, 400), figures(20, 400)]}
    return HEADING | {"versions": {"rook": "rook 1", "torch": "2"}, "bench": "infer", "arch": arch, "size": 64, "batch": 1, "measured": measured,
                      "ratios": [common.ratios(measured, "rook f32", ["torch f32"])], "start_s": {"rook f32": 0.1, "torch f32": 2.0}}


def operation(op, row, ms, over):
    return {"op": op, "case": "8x8x3 > 16, 3x3/1", "batch": 1, "type": "f32", "row": row, "ms_median": ms, "ms_min": ms, "ms_max": ms, "flops": 1e6,
            "bytes": 1e4, "tflops": 1e6 / ms / 1e9, "gb_s": 1e4 / ms / 1e6, "ceiling_percent": 50, "over_library": over, "unsteady": False}


def operations():
    rows = [operation("conv fprop", "onednn", 0.2, 1.0), operation("conv fprop", "ours", 0.1, 2.0), operation("conv wgrad", "onednn", 0.2, 1.0)]
    return HEADING | {"versions": {}, "bench": "ops", "rows": rows, "unsteady_rows": 0,
                      "ceilings": {"copy_gb_s": 10.0, "products": [{"type": "f32", "tflops": 0.3, "row": "onednn"}]}}


def beside_torch(op, ratio):
    row = {"op": op, "case": "1", "batch": 1, "type": "f32", "ms_median": 1.0, "ms_min": 1.0, "ms_max": 1.0}
    return [row | {"row": "rook", "over_torch": ratio, "over_torch_min": ratio / 2, "over_torch_max": 2 * ratio, "difference": 0.0},
            row | {"row": "torch", "ms_median": ratio}]


def torch_operations():
    rows = beside_torch("activation_forward mish", 2.0) + beside_torch("activation_backward mish", 8.0) + beside_torch("conv fprop, bias, leaky", 1.5)
    return HEADING | {"versions": {"torch": "2"}, "bench": "torch-ops", "rounds": 5, "rows": rows, "other_load_percent": 0.0}


class Measuring(unittest.TestCase):
    def test_in_turn(self):
        asked = []

        def contestant(name, ms):
            return lambda: asked.append(name) or figures(ms)

        def broken():
            raise RuntimeError("command\nno such mode")

        found = common.in_turn({"rook": contestant("rook", 2), "a": contestant("a", 4), "b": broken}, 3)
        self.assertEqual(asked, ["rook", "a"] * 3)
        self.assertEqual(found["left_out"], {"b": "no such mode"})
        self.assertEqual([len(rounds) for rounds in found["measured"].values()], [3, 3])
        self.assertEqual(common.ratios(found["measured"], "rook", ["a", "b"])["per_round"], [2.0] * 3)
        with self.assertRaises(RuntimeError):
            common.in_turn({"rook": broken}, 1)

    def test_a_machine_that_is_not_quiet_is_said(self):
        steady, wild = [figures(10), figures(11)], [figures(10), figures(12)]
        self.assertEqual(common.warnings({"measured": {"a": steady}, "other_load_percent": 1.0}), [])
        self.assertIn("a", common.warnings({"measured": {"b": steady, "a": wild}})[0])
        self.assertIn("40 %", common.warnings({"measured": {}, "other_load_percent": 40.2})[0])

    def test_load_of_other_programs(self):
        load = common.OtherLoad()
        if load.start is None:
            self.skipTest("no /proc/stat")
        busy, whole, own = load.start
        load.start, load.now = (busy - 6, whole - 20, own - 1), lambda: (busy, whole, own)  # 6 s of 20 busy, one its own
        self.assertEqual(load.percent(), 25.0)


class Report(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)

    def results(self, *found):
        files = []
        for i, result in enumerate(found):
            files.append(self.path / f"{i}.json")
            files[-1].write_text(common.dumps(result))
        return report.Results(files)

    def test_rows_have_a_line_each_and_read_back(self):
        text = common.dumps(operations())
        self.assertEqual(json.loads(text), operations())
        self.assertEqual(sum('"op"' in line for line in text.splitlines()), 3)

    def test_table(self):
        text = report.markdown(self.results(comparison(), operations()))
        self.assertIn("| inference, net, batch 1, ms | rook f32: 11.0 | torch f32: 22.0 | 2.00 (1.82-2.20) |", text)
        self.assertIn("| peak memory of inference, net, MB | rook f32: 100 | torch f32: 400 | 4.00 |", text)
        self.assertIn("| start to the first boxes, net, s | rook f32: 0.10 | torch f32: 2.00 | 20.00 |", text)
        self.assertIn("| conv fprop | f32 | 1 | 1 | 2.00 | 2.00-2.00 |", text)
        self.assertNotIn("conv wgrad", text)  # the library alone is no comparison

    def test_operations_beside_torch_and_warnings(self):
        loud = comparison() | {"rounds": 3, "other_load_percent": 30.0}
        text = report.markdown(self.results(loud, torch_operations()))
        self.assertIn("| activation | f32 | 1 | 2 | 4.00 | 2.00-8.00 |", text)
        self.assertIn("| conv fprop | f32 | 1 | 1 | 1.50 | 1.50-1.50 |", text)
        self.assertIn("Medians of 3 rounds", text)
        self.assertIn("not quiet", text)
        self.assertIn("30 % of the cores meanwhile (infer net torch)", text)
        self.assertNotIn("not quiet", report.markdown(self.results(torch_operations())))

    def test_front_and_operations(self):
        results = self.results(comparison(), operations(), torch_operations())
        front, page = report.front(results, "bench/operations.md"), report.operations_page(results)
        self.assertIn("| inference, net, batch 1, ms |", front)
        self.assertNotIn("| conv fprop |", front)
        self.assertIn("([bench/operations.md](bench/operations.md)): our convolutions are 2.0 to 2.0 times as fast", front)
        self.assertIn("3 of 3 cases beat PyTorch's on its own tensors, geometric mean 2.88 (1.50-8.00)", front)
        self.assertIn("| conv fprop | f32 | 1 | 1 | 2.00 | 2.00-2.00 |", page)
        self.assertIn("| activation | f32 | 1 | 2 | 4.00 | 2.00-8.00 |", page)
        self.assertIn("| activation_forward mish | 1 | 1 | f32 | 1.000 | 2.000 | 2.00 (1.00-4.00) |", page)
        self.assertNotIn("| inference, net", page)
        self.assertNotIn("operations.md", report.front(self.results(comparison()), "bench/operations.md"))

    def test_markers(self):
        file = self.path / "README.md"
        file.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
        report.put_between_markers(file, "new")
        report.put_between_markers(file, "newer")
        self.assertEqual(file.read_text(), f"before\n{report.BEGIN}\n\nnewer\n\n{report.END}\nafter\n")
        file.write_text("none")
        with self.assertRaises(SystemExit):
            report.put_between_markers(file, "new")
        self.assertEqual(file.read_text(), "none")

    def test_page(self):
        results = self.results(comparison(), operations(), torch_operations())
        page = report_html.page(results, report.markdown(results))
        drawings = re.findall(r"<svg.*?</svg>", page, flags=re.S)
        self.assertEqual(len(drawings), 5)  # speed, start, memory, operations beside PyTorch, roofline
        for drawing in drawings:
            xml.etree.ElementTree.fromstring(drawing)
        self.assertEqual(drawings[-1].count("<title>"), 3)
        self.assertIn("a &lt;CPU&gt;", page)
        self.assertNotRegex(page, r"(src|href)=")  # opens from disk, loads nothing

    def test_readme_has_the_markers(self):
        text = (common.ROOT / "README.md").read_text()
        self.assertEqual((text.count(report.BEGIN), text.count(report.END)), (1, 1))


class Onnx(unittest.TestCase):
    def test_encoding(self):
        self.assertEqual(onnx_file.varint(300), b"\xac\x02")  # the protobuf documentation's example
        self.assertEqual(onnx_file.text(2, "testing"), b"\x12\x07testing")
        self.assertEqual(len(onnx_file.varint(-1)), 10)

    def test_every_network_of_the_zoo_has_its_convolutions(self):
        for cfg in sorted((common.ROOT / "model" / "zoo").glob("*.cfg")):
            sections = darknet.read_cfg(cfg)
            with tempfile.TemporaryDirectory() as folder:
                file, weights, _ = darknet.prepare(folder, cfg)
                try:
                    onnx_file.write(f"{folder}/net.onnx", file, weights)
                except ValueError as error:
                    self.assertIn("not known here", str(error))
                    continue
                data = pathlib.Path(f"{folder}/net.onnx").read_bytes()
            convolutions = darknet.convolutions(sections)
            self.assertEqual(data.count(b"\x22\x04Conv"), len(convolutions))
            self.assertGreater(len(data), 4 * sum(int(np.prod(s)) for s in convolutions.values()))


if __name__ == "__main__":
    unittest.main()
