// The one thing rook wants from a photo's EXIF data: which way up it is.
#pragma once

#include <cstdint>
#include <span>

namespace rook::io {

// The orientation, 1..8, in a TIFF structure (what follows "Exif\0\0" in a JPEG, or all of a PNG's eXIf chunk). 1,
// upright, when it says nothing or is damaged: a photo with broken metadata is still a photo. Never reads outside of
// `tiff`.
int exif_orientation(std::span<const std::uint8_t> tiff);

}  // namespace rook::io
