// Rendered photos of chess positions with their labels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/image.h"

namespace rook::synth {

struct ChessOptions {
  std::uint64_t seed = 1;
  int size = 416;             // pixels, of each side
  float least_share = 0.25f;  // pieces of which less is seen are left out of the picture
  std::uint32_t sets = 0;     // different chess sets in the pictures, each at its place; 0: each its own
};

struct ChessPhoto {
  io::Image image;
  std::vector<io::LabelBox> boxes;
  int jpeg_quality = 90;  // what it should be stored with
};

// "black-bishop" ... "white-rook", in alphabetical order.
std::vector<std::string> chess_classes();

// A picture by its number; pictures do not depend on each other. Throws Error for sizes below 32 or above 4096.
ChessPhoto render_chess(const ChessOptions& options, std::uint32_t picture);

}  // namespace rook::synth
