// The subcommands of `rook bench`: each adds itself.
#pragma once

#include "app/common.h"

namespace rook::app {

void add_bench_ops(CLI::App& bench);
void add_bench_net(CLI::App& bench);
void add_bench_train(CLI::App& bench);
void add_bench_compare(CLI::App& bench);

}  // namespace rook::app
