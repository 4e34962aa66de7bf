// rook data: look at labelled photos, check them, convert them.
#include <fmt/format.h>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "app/common.h"
#include "base/error.h"
#include "io/census.h"
#include "io/dataset_write.h"
#include "io/image.h"
#include "io/temporary_folder.h"
#include "kernels/ops.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct Options {
  std::string data, json, draw, out, format = "coco", resize;
  std::vector<std::string> merge;
  bool keep_unused = false, missing_is_negative = false;
  int samples = 12, most_faults = 20;
};

io::Dataset read(const Options& o, bool find_duplicates) {
  DataOptions options{.data = o.data,
                      .split = "",
                      .merge = o.merge,
                      .keep_unused = o.keep_unused,
                      .missing_is_negative = o.missing_is_negative};
  return options.read(find_duplicates);
}

// Photos of each split, evenly spread over it, with their boxes.
void draw_samples(const io::Dataset& dataset, const Options& o) {
  fs::create_directories(o.draw);
  int drawn = 0;
  for (const io::Split& split : dataset.splits) {
    const int count = std::min<int>(o.samples, static_cast<int>(split.images.size()));
    for (int i = 0; i < count; ++i) {
      const io::LabelledImage& labelled = split.images[split.images.size() * i / count];
      io::Image image = io::read_image(labelled.file);
      std::vector<io::DrawnBox> boxes;
      const float w = static_cast<float>(image.width), h = static_cast<float>(image.height);
      for (const io::LabelBox& box : labelled.boxes)
        boxes.push_back({.left = (box.x - box.w / 2) * w,
                         .top = (box.y - box.h / 2) * h,
                         .width = box.w * w,
                         .height = box.h * h,
                         .color = box.cls,
                         .label = dataset.classes[box.cls]});
      io::draw_boxes(image, boxes);
      io::write_image(fs::path(o.draw) / fmt::format("{}-{}.jpg", split.name, fs::path(labelled.name).stem().string()),
                      image);
      ++drawn;
    }
  }
  fmt::print("{} photos with boxes drawn: {}\n", drawn, o.draw);
}

void check(const Options& o) {
  const io::Dataset dataset = read(o, true);
  const io::Census census = io::take_census(dataset);
  if (!o.json.empty()) write_json(o.json, io::to_json(census));
  if (o.json != "-") {
    fmt::print("{}", io::to_text(census));
    int shown = 0;
    for (const io::Fault& fault : dataset.faults) {
      if (o.most_faults > 0 && ++shown > o.most_faults) break;
      fmt::print("{}:{}: {}: {}\n", fault.file.string(), fault.line, name_of(fault.kind), fault.message);
    }
    if (o.most_faults > 0 && static_cast<int>(dataset.faults.size()) > o.most_faults)
      fmt::print("... and {} more faults (--faults 0 lists all)\n", dataset.faults.size() - o.most_faults);
  }
  if (!o.draw.empty()) draw_samples(dataset, o);
  if (std::any_of(dataset.faults.begin(), dataset.faults.end(), [](const io::Fault& fault) { return fault.fatal; }))
    exit_status = 1;
}

// "416x416" -> width, height
std::pair<int, int> size_of(const std::string& text) {
  int width = 0, height = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%dx%d%c", &width, &height, &rest) != 2 || width < 1 || height < 1 ||
      std::max(width, height) > 16384)
    throw UsageError(fmt::format("--resize {}: write WIDTHxHEIGHT in pixels, like 416x416", text));
  return {width, height};
}

io::Image stretched(const io::Image& image, int width, int height) {
  io::Image result{.width = width, .height = height, .channels = image.channels};
  result.pixels.resize(static_cast<std::size_t>(width) * height * image.channels);
  cpu::resize({.pixels = image.pixels.data(),
               .width = image.width,
               .height = image.height,
               .channels = image.channels,
               .y = make_tensor(result.pixels.data(), DType::u8, 1, height, width, image.channels),
               .resampling = Resampling::area,
               .fit = Fit::stretch});
  return result;
}

// The photos of a data set in another size, as PNG where they were that, else as JPEG; boxes are relative and stay.
void resize_photos(io::Dataset& dataset, const fs::path& folder, int width, int height) {
  int number = 0;
  for (io::Split& split : dataset.splits)
    for (io::LabelledImage& labelled : split.images) {
      const fs::path own = folder / std::to_string(number++);  // names may repeat
      fs::create_directory(own);
      fs::path file = own / labelled.file.filename();
      const std::string ending = file.extension().string();
      if (ending != ".png" && ending != ".jpg" && ending != ".jpeg") file.replace_extension(".jpg");
      io::write_image(file, stretched(io::read_image(labelled.file), width, height));
      labelled.file = file;
      labelled.width = width;
      labelled.height = height;
    }
}

void convert(const Options& o) {
  if (fs::exists(o.out) && !fs::is_empty(o.out))
    throw Error(fmt::format("{}: exists and is not empty; name a new folder", o.out));
  std::optional<io::TemporaryFolder> photos;
  io::Dataset dataset = read(o, false);
  if (!o.resize.empty()) {
    const auto [width, height] = size_of(o.resize);
    resize_photos(dataset, photos.emplace(o.out).path(), width, height);
  }
  io::write_dataset(dataset, o.out, o.format);
  fmt::print("{} written as {}\n", o.out, o.format);
}

}  // namespace

void add_data(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("data", "look at labelled photos, check and convert them");
  c->require_subcommand(1);
  const auto common = [o](CLI::App* sub) {
    sub->add_option("data", o->data, "folder or file of labelled photos")->required();
    sub->add_option("--merge", o->merge, "join or rename a class, FROM=TO; may be repeated");
    sub->add_flag("--keep-unused", o->keep_unused, "keep classes without any box");
    sub->add_flag("--missing-is-negative", o->missing_is_negative, "a photo without a label file has nothing on it");
  };
  CLI::App* checks = c->add_subcommand(
      "check", "census and every fault, with file and line; exit status 1 when boxes or photos must be left out");
  common(checks);
  checks->footer("Example:\n  rook data check chess --draw samples");
  checks->add_option("--draw", o->draw, "folder for sample photos with their boxes drawn on them");
  checks->add_option("--samples", o->samples, "how many of each split")->capture_default_str();
  checks->add_option("--faults", o->most_faults, "how many faults to list (0: all)")->capture_default_str();
  checks->add_option("--json", o->json, "the census as JSON to a file, or to standard output (-)");
  checks->callback([o] { check(*o); });
  CLI::App* converts = c->add_subcommand("convert", "write the data set in another format");
  common(converts);
  converts->footer("Example:\n  rook data convert chess chess-yolo --format yolo");
  converts->add_option("out", o->out, "new folder")->required();
  converts
      ->add_option("--format", o->format,
                   "coco, yolo, voc, darknet, or coco+yolo for both sets of labels beside the photos")
      ->capture_default_str()
      ->check(CLI::IsMember({"coco", "yolo", "voc", "darknet", "coco+yolo"}));
  converts->add_option("--resize", o->resize, "photos stretched to WIDTHxHEIGHT pixels");
  converts->callback([o] { convert(*o); });
  c->footer(
      "Examples:\n  rook data check chess --draw samples\n  rook data convert chess chess-yolo --format yolo\n"
      "  rook data convert chess chess-small --resize 416x416");
}

}  // namespace rook::app
