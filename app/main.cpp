// The `rook` command line.
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
  rook::app::watch_for_busy_processors();
  CLI::App app("rook: trains and runs YOLO-family detectors", "rook");
  app.require_subcommand(1);
  app.set_version_flag("--version", "rook 0.1.0");
  app.footer(
      "Each command explains itself: rook detect --help\n"
      "Example:\n  rook detect --model yolov4-tiny.cfg:yolov4-tiny.weights --names coco.names photo.jpg --out drawn");
  rook::app::add_detect(app);
  rook::app::add_train(app);
  rook::app::add_eval(app);
  rook::app::add_runs(app);
  rook::app::add_compare(app);
  rook::app::add_serve(app);
  rook::app::add_inspect(app);
  rook::app::add_tune(app);
  rook::app::add_bench(app);
  rook::app::add_diff(app);
  rook::app::add_weights(app);
  rook::app::add_data(app);
  rook::app::add_label(app);
  rook::app::add_synth(app);
  try {
    app.parse(argc, argv);
    return rook::app::exit_status;
  } catch (const CLI::ParseError& error) {
    const std::string unknown = error.get_exit_code() == 0 ? "" : rook::app::unknown_word(app);
    if (unknown.empty()) return app.exit(error) == 0 ? 0 : 2;
    fmt::print(stderr, "rook: {}\n", unknown);
    return 2;
  } catch (const rook::app::UsageError& error) {
    fmt::print(stderr, "rook: {}\n", error.what());
    return 2;
  } catch (const rook::Error& error) {
    fmt::print(stderr, "rook: {}\n", error.what());
    if (std::getenv("ROOK_DEBUG"))
      fmt::print(stderr, "  raised at {}:{}\n", error.where().file_name(), error.where().line());
    return rook::app::interrupted() ? rook::app::interrupt_status() : 1;
  } catch (const std::bad_alloc&) {
    std::fputs("rook: out of memory; take a smaller batch or picture\n", stderr);
    return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "rook: {}\n", rook::json_reason(error));
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return rook::app::finish_output(run(argc, argv));
}
