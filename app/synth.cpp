// rook synth: rendered photos with exact labels.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <chrono>

#include "app/checks.h"
#include "app/common.h"
#include "app/counter.h"
#include "base/error.h"
#include "io/image.h"
#include "model/progress.h"
#include "synth/chess_set.h"

namespace rook::app {
namespace {

struct SynthFlags {
  synth::ChessSetOptions set;
  std::string out, sheet;
  bool quiet = false;
};

void draw_sheet(const SynthFlags& o) {
  constexpr int kImages = 12, kColumns = 4, kQuality = 82;
  io::write_image(o.sheet, synth::contact_sheet(o.set.picture, kImages, kColumns), kQuality);
  fmt::print("{} pictures beside each other: {}\n", kImages, o.sheet);
}

void draw_set(const SynthFlags& o) {
  install_interrupt();
  const auto start = std::chrono::steady_clock::now();
  bool finished = false;
  {
    Counter counter("pictures", o.set.images, !o.quiet);
    finished = synth::write_chess_set(o.set, o.out, [&](int done) {
      counter.show(done);
      return !interrupted();
    });
  }
  if (!finished) {
    fmt::print(stderr, "interrupted: nothing was written\n");
    exit_status = interrupt_status();
    return;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{} pictures of {}x{} in {}: {}\n", o.set.images, o.set.picture.size, o.set.picture.size,
             clock_text(seconds), o.out);
}

void run(const SynthFlags& o) {
  if (o.out.empty() && o.sheet.empty())
    throw UsageError("nothing to do: name a folder with --out, or a picture with --sheet");
  if (!o.sheet.empty()) draw_sheet(o);
  if (!o.out.empty()) draw_set(o);
}

}  // namespace

void add_synth(CLI::App& app) {
  auto o = std::make_shared<SynthFlags>();
  CLI::App* c = app.add_subcommand("synth", "render photos with exact labels");
  c->require_subcommand(1);
  CLI::App* chess = c->add_subcommand("chess", "chess positions: 12 classes, COCO and YOLO labels, split 70/20/10");
  chess->add_option("--images", o->set.images, "how many pictures")->capture_default_str();
  chess->add_option("--size", o->set.picture.size, "width and height in pixels")->capture_default_str();
  chess->add_option("--seed", o->set.picture.seed, "the same seed gives the same bytes")->capture_default_str();
  chess->add_option("--out", o->out, "new folder for the data set");
  chess->add_option("--sheet", o->sheet, "picture (.jpg, .png) of the first twelve beside each other");
  chess
      ->add_option("--visible", o->set.picture.least_share,
                   "a piece of which less than this share would be seen is left out of the picture")
      ->capture_default_str()
      ->check(between(0.01, 1.0));
  chess
      ->add_option("--sets", o->set.picture.sets,
                   "how many different chess sets the pictures show, each at its place (board, table, lamps, and a "
                   "chair to take photos from): 1 is as with photos of one's own board; 0: each picture another, from "
                   "anywhere")
      ->capture_default_str()
      ->check(between(0, 1000000));
  chess->add_option("--threads", o->set.threads, "0: one per core; the pictures do not depend on it")
      ->capture_default_str()
      ->check(between(0, 1024));
  chess->add_flag("--quiet", o->quiet, "no progress bar");
  const char* examples =
      "Examples:\n  rook synth chess --images 200 --size 416 --seed 1 --out rendered\n"
      "  rook data check rendered --draw samples\n  rook train --data rendered --arch yolov4-tiny --from scratch\n"
      "  rook synth chess --images 600 --sets 1 --seed 3 --out my-board\n"
      "  rook synth chess --sheet sheet.jpg --size 312";
  chess->footer(examples);
  c->footer(examples);
  chess->callback([o] { run(*o); });
}

}  // namespace rook::app
