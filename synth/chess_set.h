// A data set of rendered chess photos.
#pragma once

#include <filesystem>
#include <functional>

#include "synth/chess.h"

namespace rook::synth {

struct ChessSetOptions {
  ChessOptions picture;
  int images = 200;
  int threads = 0;  // 0: as many as OpenMP takes
};

// Called after each picture with the number of those done, never by two threads at once; false ends the work.
using Done = std::function<bool(int)>;

// Renders the pictures and writes them as JPEG with COCO and YOLO labels (io::write_dataset "coco+yolo"): the first 70
// % train, the next 20 % valid, the rest test. The same options give the same bytes whatever the number of threads.
// False, with nothing written, when `done` ended it. Throws Error: folder in use, disk full, no picture asked for.
bool write_chess_set(const ChessSetOptions& options, const std::filesystem::path& folder, const Done& done);

// The first pictures beside each other in rows of `columns`.
io::Image contact_sheet(const ChessOptions& options, int images, int columns);

}  // namespace rook::synth
