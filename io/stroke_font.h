// A small vector font for labels on pictures: every printable ASCII character as a few straight strokes, to be drawn
// with a round pen, so that it is clean at any size.
#pragma once

#include <string_view>
#include <vector>

namespace rook::io {

// From (x0, y0) to (x1, y1); both the same for a dot.
struct Stroke {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

struct StrokedText {
  std::vector<Stroke> strokes;
  float width = 0;
};

// In font units, y down: capitals reach from 0 to kCapHeight, descenders to kDescent; lines are one unit thick.
inline constexpr float kCapHeight = 6, kDescent = 8;

// Lays out one line from x = 0. Control characters, and whole UTF-8 sequences outside of ASCII, become '?'. Text that
// would be wider than `most_width` is cut after the last character that fits.
StrokedText stroke_text(std::string_view text, float most_width);

}  // namespace rook::io
