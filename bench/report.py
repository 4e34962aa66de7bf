#!/usr/bin/env python3
"""One report of the result files of a run: the table in README.md between its markers, a page of single operations, and
an HTML page with all of it.

    report.py [--readme README.md --operations bench/operations.md] [--html bench/results/report.html] FILE.json...

Of files of the same kind and network the last one named counts.
"""

import argparse
import json
import math
import pathlib
import statistics

import common
import report_html

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
RIVALS = ("torch", "OpenCV", "onnxruntime", "darknet")


class Results:
    """The result files by what they are about."""

    def __init__(self, files):
        self.infer, self.train, self.memory = {}, {}, {}  # of comparisons: {(arch, rival): result}
        self.ops = self.net = self.parts = self.torch_ops = None
        self.noise = {}  # {what was wrong: [labels of results]}
        self.heading = None
        for file in files:
            self.add(json.loads(pathlib.Path(file).read_text()))

    def add(self, result):
        self.heading = self.heading or result
        kind, rows = result["bench"], "rows" in result
        for text in common.warnings(result):
            self.noise.setdefault(text.split(":")[0], []).append(label(result))  # without the names of contestants
        if rows:
            setattr(self, {"ops": "ops", "net": "net", "train": "parts", "torch-ops": "torch_ops"}[kind], result)
        else:
            getattr(self, kind)[result["arch"], rival_of(result)] = result

    def archs(self, kind):
        return list(dict.fromkeys(arch for arch, _ in getattr(self, kind)))

    def contestants(self, kind, arch):
        """{name: [figures of all rounds]} of all comparisons of a network; rook's own rounds are put together."""
        found = {}
        for (a, _), result in getattr(self, kind).items():
            if a == arch:
                for name, rounds in result["measured"].items():
                    found.setdefault(name, []).extend(rounds)
        return found

    def versions(self):
        found = {}
        for group in (self.infer, self.train, self.memory):
            for result in group.values():
                found |= result["versions"]
        return found or self.heading["versions"]


def label(result):
    """What a result is about, in a few words."""
    return " ".join(filter(None, (result["bench"], result.get("arch"), rival_of(result) if "versions" in result else "")))


def rival_of(result):
    for name in ("torch", "opencv", "onnxruntime", "darknet"):
        if name in result["versions"]:
            return name
    return "none"


def is_rook(name):
    return name.startswith("rook")


def milliseconds(rounds):
    return statistics.median(r["ms_median"] for r in rounds)


def comparison_rows(results):
    """[what, rook, rival, ratio] for each comparison, in each precision of rook."""
    rows = []
    for kind, unit in (("infer", "inference"), ("train", "training step")):
        for (arch, _), result in getattr(results, kind).items():
            for r in result["ratios"]:
                if not r:
                    continue
                ours, theirs = result["measured"][r["ours"]], result["measured"][r["rival"]]
                low, high = min(r["per_round"]), max(r["per_round"])
                rows.append([f"{unit}, {arch}, batch {result['batch']}, ms", f"{r['ours']}: {milliseconds(ours):.1f}",
                             f"{r['rival']}: {milliseconds(theirs):.1f}", f"{r['median']:.2f} ({low:.2f}-{high:.2f})"])
    return rows


def memory_rows(results):
    rows = []
    for (arch, _), result in results.memory.items():
        peaks = result["peak_mb"]
        best = min((n for n in peaks if not is_rook(n)), key=peaks.get)
        for name in filter(is_rook, peaks):
            rows.append([f"peak memory of training, {arch}, batch {result['batch']}, MB", f"{name}: {peaks[name]:.0f}",
                         f"{best}: {peaks[best]:.0f}", f"{peaks[best] / peaks[name]:.2f}"])
    for (arch, _), result in results.infer.items():
        peak = {n: max(r["peak_mb"] for r in rounds) for n, rounds in result["measured"].items()}
        rivals = {n: p for n, p in peak.items() if not is_rook(n) and p > 0}
        if rivals and "rook f32" in peak:
            best = min(rivals, key=rivals.get)
            rows.append([f"peak memory of inference, {arch}, MB", f"rook f32: {peak['rook f32']:.0f}", f"{best}: {rivals[best]:.0f}",
                         f"{rivals[best] / peak['rook f32']:.2f}"])
        started = result.get("start_s", {})
        for name, seconds in started.items():
            if not is_rook(name):
                rows.append([f"start to the first boxes, {arch}, s", f"rook f32: {started['rook f32']:.2f}", f"{name}: {seconds:.2f}",
                             f"{seconds / started['rook f32']:.2f}"])
    return rows


def geomean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values))


def conv_rows(results):
    """Our best convolution row over the best library's, by direction, type and batch."""
    cases = {}
    for row in results.ops["rows"] if results.ops else []:
        if "over_library" in row:
            cases.setdefault((row["op"], row["type"], row["batch"]), {}).setdefault(row["case"], []).append(row)
    rows = []
    for (op, kind, batch), by_case in cases.items():
        ours = [max((r["over_library"] for r in c if not r["row"].startswith(("onednn", "cudnn", "cublas"))), default=None)
                for c in by_case.values()]
        ours = [v for v in ours if v]
        if ours:
            rows.append([op, kind, batch, len(ours), f"{geomean(ours):.2f}", f"{min(ours):.2f}-{max(ours):.2f}"])
    return rows


def torch_rows(results):
    """Our operations over PyTorch's on the same tensors, by kind, type and batch."""
    cases = {}
    for row in results.torch_ops["rows"] if results.torch_ops else []:
        if "over_torch" in row:
            kind = row["op"].split(",")[0]
            if not kind.startswith("conv"):
                kind = kind.split()[0].removesuffix("_forward").removesuffix("_backward").removesuffix("_update")
            cases.setdefault((kind, row["type"], row["batch"]), []).append(row["over_torch"])
    return [[kind, dtype, batch, len(found), f"{geomean(found):.2f}", f"{min(found):.2f}-{max(found):.2f}"]
            for (kind, dtype, batch), found in cases.items()]


COMPARISON_HEADER = ["", "rook", "rival", "ratio (rounds)"]
CONV_HEADER = ["our convolutions", "type", "batch", "shapes", "over the best library, geometric mean", "range"]
TORCH_HEADER = ["operations on PyTorch's tensors", "type", "batch", "cases", "over PyTorch, geometric mean", "range"]


def heading(results, guide="bench/README.md"):
    """What was measured with what, and when. `guide`: how to link to bench/README.md."""
    h = results.heading
    versions = ", ".join(f"{n} {v.removeprefix(n).strip()}" for n, v in results.versions().items())
    rounds = {r["rounds"] for group in (results.infer, results.train) for r in group.values() if "rounds" in r}
    taken = f" Medians of {' or '.join(map(str, sorted(rounds)))} rounds, in turn." if rounds else ""
    return (f"{h['device']}, {h['threads']} threads; {versions}; commit {h['commit']}; {h['date']}.{taken} Ratios above 1: rook is faster, or "
             "smaller; in brackets the least and the most of the rounds. "
             f"Made by `./run bench`; how it is measured: [{guide}]({guide}).")


def noise(results):
    """A paragraph on how loud the machine was; none where it was quiet."""
    why = "; ".join(f"{text} ({', '.join(labels)})" for text, labels in results.noise.items())
    return [f"**The machine was not quiet**, read with care: {why}. The result files have each round."] if why else []


def comparison_tables(results):
    rows = comparison_rows(results) + memory_rows(results)
    return [common.markdown_table(COMPARISON_HEADER, rows)] if rows else []


def operation_tables(results):
    tables = ((CONV_HEADER, conv_rows(results)), (TORCH_HEADER, torch_rows(results)))
    return [common.markdown_table(header, rows) for header, rows in tables if rows]


def markdown(results):
    return "\n\n".join([heading(results), *noise(results), *comparison_tables(results), *operation_tables(results)])


def operations_page(results):
    parts = ["# Single operations", heading(results, "README.md"), *operation_tables(results)]
    if results.torch_ops:
        parts += ["## Case by case beside PyTorch", common.operations_beside_torch(results.torch_ops)]
    return "\n\n".join(parts) + "\n"


def operations_in_short(results, page):
    """One paragraph on the operations, with a link to their page; none where none were measured."""
    said = []
    if rows := conv_rows(results):
        means = [float(row[4]) for row in rows]
        said.append(f"our convolutions are {min(means):.1f} to {max(means):.1f} times as fast as the best library's "
                    "(geometric means by direction and batch)")
    if ratios := [row["over_torch"] for row in results.torch_ops["rows"] if "over_torch" in row] if results.torch_ops else []:
        said.append(f"{sum(r > 1 for r in ratios)} of {len(ratios)} cases beat PyTorch's on its own tensors, geometric mean {geomean(ratios):.2f} "
                    f"({min(ratios):.2f}-{max(ratios):.2f})")
    return [f"Operation by operation ([{page}]({page})): {'; '.join(said)}."] if said else []


def front(results, operations):
    """What the README shows."""
    return "\n\n".join([heading(results), *noise(results), *comparison_tables(results), *operations_in_short(results, operations)])


def put_between_markers(file, text):
    whole = file.read_text()
    if whole.count(BEGIN) != 1 or whole.count(END) != 1:
        common.die(f"{file}: needs the lines {BEGIN} and {END}, once each, where the table goes")
    before, rest = whole.split(BEGIN)
    after = rest.split(END)[1]
    common.replace_text(file, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.json")
    parser.add_argument("--readme", help="a Markdown file with the markers")
    parser.add_argument("--operations", metavar="FILE.md", help="the page of single operations to write; the README links to it")
    parser.add_argument("--html", help="the page to write")
    options = parser.parse_args()
    if bool(options.readme) != bool(options.operations):
        parser.error("--readme and --operations go together: the one links to the other")
    results = Results(options.files)
    if options.readme:
        common.replace_text(options.operations, operations_page(results))
        put_between_markers(pathlib.Path(options.readme), front(results, options.operations))
    if options.html:
        common.replace_text(options.html, report_html.page(results, markdown(results)))
        common.say(f"written: {options.html}")
    if not options.readme and not options.html:
        print(markdown(results))


if __name__ == "__main__":
    common.one_line_errors(main)
