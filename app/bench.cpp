// rook bench: how fast kernels, networks and training are on this machine.
#include <CLI/CLI.hpp>

#include "app/bench/bench.h"

namespace rook::app {

void add_bench(CLI::App& app) {
  CLI::App* c = app.add_subcommand("bench", "time kernels, networks and training on this machine, and compare timings");
  c->require_subcommand(1);
  add_bench_ops(*c);
  add_bench_net(*c);
  add_bench_train(*c);
  add_bench_compare(*c);
  c->footer(
      "Examples:\n  rook bench ops --filter maxpool\n  rook bench net --arch yolov4-tiny --precision bf16\n  rook "
      "bench "
      "train --arch yolov4-tiny --batch 8 --classes 12\n  rook bench compare before.json after.json --percent 5");
}

}  // namespace rook::app
