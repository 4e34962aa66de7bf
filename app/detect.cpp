// rook detect: boxes on pictures.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "app/common.h"
#include "app/pictures.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "io/image.h"
#include "model/detections.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct DetectFlags {
  ModelOptions model;
  ComputeOptions compute;
  DetectionOptions detection;
  std::vector<std::string> inputs;
  std::string out, json;
  bool quiet = false;
};

// Where the drawn copies go: NAME.jpg, or NAME-2.jpg where there is such a name already. A copy must not take the place
// of a photo.
std::vector<fs::path> places_in(const fs::path& folder, const std::vector<fs::path>& files) {
  std::vector<fs::path> places;
  std::set<std::string> taken;
  for (const fs::path& file : files) {
    const std::string stem = file.stem().string();
    std::string name = stem + ".jpg";
    for (int number = 2; !taken.insert(name).second; ++number) name = fmt::format("{}-{}.jpg", stem, number);
    places.push_back(folder / name);
    std::error_code none;
    const fs::path from = file.has_parent_path() ? file.parent_path() : fs::path(".");
    if (fs::exists(places.back(), none) && fs::equivalent(folder, from, none))
      throw UsageError(fmt::format("--out {}: the copy of {} would be written over {}; name another folder",
                                   folder.string(), file.string(), places.back().string()));
  }
  return places;
}

void draw(const fs::path& to, io::Image image, const std::vector<Detection>& boxes,
          const std::vector<std::string>& names) {
  std::vector<io::DrawnBox> drawn;
  for (auto d = boxes.rbegin(); d != boxes.rend(); ++d) {  // the surest on top
    const PixelBox box = to_pixels(*d, image.width, image.height);
    drawn.push_back({.left = box.left,
                     .top = box.top,
                     .width = box.width,
                     .height = box.height,
                     .color = d->cls,
                     .label = fmt::format("{} {:.2f}", names[d->cls], d->score)});
  }
  io::draw_boxes(image, drawn);
  io::write_image(to, image);
}

void print(const fs::path& file, const io::Image& image, const std::vector<Detection>& boxes, double ms,
           const std::vector<std::string>& names) {
  fmt::print("{}: {}x{}, {} boxes, {:.1f} ms\n", file.string(), image.width, image.height, boxes.size(), ms);
  for (const Detection& d : boxes) {
    const PixelBox box = to_pixels(d, image.width, image.height);
    fmt::print("  {:<20} {:.3f}  left {:.0f} top {:.0f} width {:.0f} height {:.0f}\n", names[d.cls], d.score, box.left,
               box.top, box.width, box.height);
  }
}

// Photos that are looked at together: which of the files they are, and their pixels.
struct Batch {
  std::vector<std::size_t> files;
  std::vector<io::Image> images;
};

// From `next` on, which moves. What cannot be read is named on standard error, and the program then ends with 1.
Batch read_batch(const std::vector<fs::path>& files, std::size_t& next, int most, int channels) {
  Batch batch;
  for (; next < files.size() && batch.images.size() < static_cast<std::size_t>(most); ++next) {
    try {
      batch.images.push_back(io::read_image(files[next], channels));
      batch.files.push_back(next);
    } catch (const Error& error) {
      fmt::print(stderr, "rook: {}\n", error.what());
      exit_status = 1;
    }
  }
  return batch;
}

// Where the drawn copies go; nowhere when none are wanted.
std::vector<fs::path> make_places(const std::string& out, const std::vector<fs::path>& files) {
  if (out.empty()) return {};
  if (fs::exists(out) && !fs::is_directory(out))
    throw UsageError(fmt::format("--out {}: is a file; name a folder for the copies", out));
  std::vector<fs::path> places = places_in(out, files);
  io::make_folder(out);
  return places;
}

void run(const DetectFlags& options) {
  const std::vector<fs::path> files = pictures_of(options.inputs);
  const std::vector<fs::path> places = make_places(options.out, files);
  Model model = options.model.read();
  options.detection.apply(model.preprocess);
  DetectorOptions detector_options = options.detection.detector(*model.network, options.compute);
  detector_options.batch = std::min<int>(detector_options.batch, static_cast<int>(files.size()));
  Detector detector(*model.network, *model.params, model.preprocess, detector_options);
  nlohmann::json report = nlohmann::json::array();
  for (std::size_t next = 0; next < files.size() && !interrupted();) {
    Batch batch = read_batch(files, next, detector.batch(), model.network->channels);
    const int count = static_cast<int>(batch.images.size());
    if (count == 0) continue;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) detector.load(i, batch.images[i]);
    const auto boxes = detector.run(count);
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / count;
    for (int i = 0; i < count; ++i) {
      io::Image& image = batch.images[i];
      const fs::path& file = files[batch.files[i]];
      if (options.json != "-" && !options.quiet) print(file, image, boxes[i], ms, model.names);
      if (!options.json.empty())
        report.push_back(to_json(file.string(), image.width, image.height, ms, boxes[i], model.names));
      if (!options.out.empty()) draw(places[batch.files[i]], std::move(image), boxes[i], model.names);
    }
  }
  if (!options.json.empty()) write_json(options.json, report);
  if (interrupted()) exit_status = interrupt_status();
}

}  // namespace

void add_detect(CLI::App& app) {
  auto options = std::make_shared<DetectFlags>();
  CLI::App* command =
      app.add_subcommand("detect", "find objects on pictures; exit status 1 when some could not be read");
  options->model.add(*command);
  options->detection.add(*command, "best");
  options->compute.add(*command);
  command->add_option("pictures", options->inputs, "pictures, or folders of them")->required()->type_name("IMAGE|DIR");
  command->add_option("--out", options->out, "folder for copies with the boxes drawn on them");
  command->add_option("--json", options->json, "write the boxes as JSON to a file, or to standard output (-)");
  command->add_flag("--quiet", options->quiet, "print nothing");
  command->footer(
      "Examples:\n  rook detect --model runs/chess photo.jpg --out drawn\n"
      "  rook detect --model yolov4-tiny.cfg:yolov4-tiny.weights --names coco.names photos/ --json boxes.json");
  command->callback([options] {
    install_interrupt();
    run(*options);
  });
}

}  // namespace rook::app
