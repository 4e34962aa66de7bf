// rook data convert: labelled photos in another format, or another size.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>

#include "app/data/data.h"
#include "base/error.h"
#include "io/dataset_write.h"
#include "io/image.h"
#include "io/temporary_folder.h"
#include "model/preprocess.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct DataConvertFlags {
  DataOptions data;
  std::string out, format = "coco", resize;
};

// The photos of a data set in another size, as PNG where they were that, else as JPEG; boxes are relative and stay.
void resize_photos(io::Dataset& dataset, const fs::path& folder, int width, int height) {
  int number = 0;
  for (io::Split& split : dataset.splits)
    for (io::LabelledImage& labelled : split.images) {
      if (interrupted()) throw Error("interrupted: nothing was written");
      const fs::path own = folder / std::to_string(number++);  // names may repeat
      fs::create_directory(own);
      fs::path file = own / labelled.file.filename();
      const std::string ending = file.extension().string();
      if (ending != ".png" && ending != ".jpg" && ending != ".jpeg") file.replace_extension(".jpg");
      io::write_image(file, resized(io::read_image(labelled.file), width, height, {.resampling = Resampling::area}));
      labelled.file = file;
      labelled.width = width;
      labelled.height = height;
    }
}

void convert(const DataConvertFlags& o) {
  if (fs::exists(o.out) && !fs::is_empty(o.out))
    throw Error(fmt::format("{}: exists and is not empty; name a new folder", o.out));
  std::optional<io::TemporaryFolder> photos;
  io::DatasetOptions reading = o.data.options();
  reading.regions_use_classes = true;
  io::Dataset dataset = io::read_dataset(o.data.path(), reading);
  install_interrupt();
  if (!o.resize.empty()) {
    const auto [width, height] = size_of(o.resize);
    resize_photos(dataset, photos.emplace(o.out).path(), width, height);
  }
  // What the store holds must not change with what was written.
  io::write_dataset(dataset, o.out, o.format, dataset.format == "rook" ? io::PlacePhotos::copy : io::PlacePhotos::link,
                    &interrupted());
  fmt::print("{} written as {}{}\n", o.out, o.format, left_out_text(dataset, o.format));
}

}  // namespace

void add_data_convert(CLI::App& data) {
  auto o = std::make_shared<DataConvertFlags>();
  CLI::App* converts = data.add_subcommand("convert", "write the data set in another format");
  converts->add_option("data", o->data.data, "folder or file of labelled photos, or a data set")->required();
  converts->add_option("--store", o->data.store, "folder where data sets live (default: $ROOK_DATA, else data)");
  add_reading(*converts, o->data);
  converts->footer(
      "Examples:\n  rook data convert chess chess-yolo --format yolo\n"
      "  rook data convert chess chess-small --resize 416x416");
  converts->add_option("out", o->out, "new folder")->required();
  converts
      ->add_option("--format", o->format,
                   "coco, yolo, voc, darknet, or coco+yolo for both sets of labels beside the photos")
      ->capture_default_str()
      ->check(CLI::IsMember({"coco", "yolo", "voc", "darknet", "coco+yolo"}));
  converts->add_option("--resize", o->resize, "photos stretched to WIDTHxHEIGHT pixels");
  converts->callback([o] { convert(*o); });
}

}  // namespace rook::app
