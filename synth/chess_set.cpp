#include "synth/chess_set.h"

#include <fmt/format.h>
#include <omp.h>

#include <atomic>
#include <exception>

#include "base/error.h"
#include "io/dataset_write.h"
#include "io/temporary_folder.h"

namespace rook::synth {

namespace fs = std::filesystem;

namespace {

constexpr int kMostImages = 1000000;

io::LabelledImage store(const ChessSetOptions& options, int number, const fs::path& folder) {
  const ChessPhoto photo = render_chess(options.picture, static_cast<std::uint32_t>(number));
  io::LabelledImage labelled{.name = fmt::format("chess-{:06}.jpg", number),
                             .width = photo.image.width,
                             .height = photo.image.height,
                             .boxes = photo.boxes};
  labelled.file = folder / labelled.name;
  io::write_image(labelled.file, photo.image, photo.jpeg_quality);
  return labelled;
}

std::vector<io::Split> split(std::vector<io::LabelledImage> images) {
  const std::size_t count = images.size(), train = count * 7 / 10, valid = count * 9 / 10;
  std::vector<io::Split> splits = {{"train", {}}, {"valid", {}}, {"test", {}}};
  for (std::size_t i = 0; i < count; ++i)
    splits[i < train ? 0 : i < valid ? 1 : 2].images.push_back(std::move(images[i]));
  return splits;
}

}  // namespace

bool write_chess_set(const ChessSetOptions& options, const fs::path& folder, const Done& done) {
  if (options.images < 10 || options.images > kMostImages)
    throw Error(fmt::format("{} pictures: choose 10 to {}, for three splits", options.images, kMostImages));
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder)))
    throw Error(fmt::format("{}: exists and is not empty; name a new folder", folder.string()));
  const io::TemporaryFolder photos(folder);
  std::vector<io::LabelledImage> images(static_cast<std::size_t>(options.images));
  std::atomic<bool> stopped = false;
  std::exception_ptr failure;
  int finished = 0;
  const int threads = options.threads > 0 ? options.threads : omp_get_max_threads();
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int i = 0; i < options.images; ++i) {
    if (stopped) continue;
    try {
      images[static_cast<std::size_t>(i)] = store(options, i, photos.path());
#pragma omp critical(rook_synth_done)
      if (!done(++finished)) stopped = true;
    } catch (...) {
#pragma omp critical(rook_synth_done)
      if (!failure) failure = std::current_exception();
      stopped = true;
    }
  }
  if (failure) std::rethrow_exception(failure);
  if (stopped) return false;
  io::write_dataset({.root = folder, .classes = chess_classes(), .splits = split(std::move(images)), .faults = {}},
                    folder, "coco+yolo");
  return true;
}

io::Image contact_sheet(const ChessOptions& options, int images, int columns) {
  const int size = options.size, rows = (images + columns - 1) / columns;
  io::Image sheet{.width = size * columns, .height = size * rows, .channels = 3};
  sheet.pixels.assign(static_cast<std::size_t>(sheet.width) * sheet.height * 3, 255);
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < images; ++i) {
    const ChessPhoto photo = render_chess(options, static_cast<std::uint32_t>(i));
    const std::size_t row = static_cast<std::size_t>(size) * 3;
    for (int y = 0; y < size; ++y) {
      const std::size_t to = (static_cast<std::size_t>(i / columns * size + y) * sheet.width +
                              static_cast<std::size_t>(i % columns) * size) *
                             3;
      std::copy_n(photo.image.pixels.begin() + static_cast<std::ptrdiff_t>(y * row), row,
                  sheet.pixels.begin() + static_cast<std::ptrdiff_t>(to));
    }
  }
  return sheet;
}

}  // namespace rook::synth
