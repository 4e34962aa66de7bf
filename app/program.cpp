#include "app/program.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "app/common.h"
#include "app/unknown_word.h"
#include "app/waiting.h"
#include "base/error.h"
#include "base/json_reason.h"

namespace rook::app {
namespace {

// The program may have been compiled for the machine it was built on (ROOK_MARCH=native) and then been copied.
bool cpu_fits() {
  bool fits = true;
#if defined(__AVX2__)
  fits = fits && __builtin_cpu_supports("avx2");
#endif
#if defined(__FMA__)
  fits = fits && __builtin_cpu_supports("fma");
#endif
#if defined(__AVX512F__)
  fits = fits && __builtin_cpu_supports("avx512f");
#endif
#if defined(__AVX512BF16__)
  fits = fits && __builtin_cpu_supports("avx512bf16");
#endif
  return fits;
}

int run(int argc, char** argv) {
  if (!cpu_fits()) {
    std::fputs(
        "rook: this program was built for a newer CPU than this one; build it here, or with -DROOK_MARCH=x86-64-v2\n",
        stderr);
    return 1;
  }
  watch_for_busy_processors();
  CLI::App app("rook: trains and runs YOLO-family detectors", "rook");
  app.require_subcommand(1);
  app.set_version_flag("--version", "rook 0.1.0");
  app.footer(
      "Each command explains itself: rook detect --help\n"
      "Example:\n  rook detect --model yolov4-tiny.cfg:yolov4-tiny.weights --names coco.names photo.jpg --out drawn");
  add_detect(app);
  add_train(app);
  add_eval(app);
  add_runs(app);
  add_compare(app);
  add_serve(app);
  add_inspect(app);
  add_tune(app);
  add_bench(app);
  add_diff(app);
  add_weights(app);
  add_data(app);
  add_label(app);
  add_synth(app);
  try {
    app.parse(argc, argv);
    return exit_status;
  } catch (const CLI::ParseError& error) {
    const std::string unknown = error.get_exit_code() == 0 ? "" : unknown_word(app);
    if (unknown.empty()) return app.exit(error) == 0 ? 0 : 2;
    fmt::print(stderr, "rook: {}\n", unknown);
    return 2;
  } catch (const UsageError& error) {
    fmt::print(stderr, "rook: {}\n", error.what());
    return 2;
  } catch (const Error& error) {
    fmt::print(stderr, "rook: {}\n", error.what());
    if (std::getenv("ROOK_DEBUG"))
      fmt::print(stderr, "  raised at {}:{}\n", error.where().file_name(), error.where().line());
    return interrupted() ? interrupt_status() : 1;
  } catch (const std::bad_alloc&) {
    std::fputs("rook: out of memory; take a smaller batch or picture\n", stderr);
    return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "rook: {}\n", json_reason(error));
    return 1;
  }
}

}  // namespace

int run_program(int argc, char** argv) {
  return finish_output(run(argc, argv));
}

}  // namespace rook::app
