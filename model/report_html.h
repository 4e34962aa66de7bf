// Text, numbers and pictures as pieces of an HTML page.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "io/image.h"

namespace rook {

// Text that may come from anywhere, safe between tags and in quoted attributes. What is no UTF-8, or no character of
// XML (control characters), becomes U+FFFD.
std::string escape_html(std::string_view text);

// "data:image/jpeg;base64,..." of a picture, halved or more where a side exceeds `most` pixels.
std::string data_url(const io::Image& image, int most = 1280);

// "data:image/png;base64,...", every pixel as it is; four channels: the last is opacity.
std::string png_url(const io::Image& image);

// Each block of factor x factor pixels as its mean; what is left over at the right and lower edges is dropped.
io::Image shrink(const io::Image& image, int factor);

// The picture made smaller, where it is wider than `width` pixels, by area averages.
io::Image fit_width(const io::Image& image, int width);

// A number for people: "12k", "3.4M", "0.012", "1e-05".
std::string short_number(double value);

// The number of that name, if there is one and it is finite.
std::optional<double> number_of(const nlohmann::json& object, const char* key);

}  // namespace rook
