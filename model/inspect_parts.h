// The sections of the page about a network's inside, and how they draw on the photo.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/inspect.h"

namespace rook {

// Added to the report's style sheet. Colours on the photo (k0..k7) are the same in both schemes.
extern const char* const kInspectStyle;
inline constexpr int kOverlayColors = 8;

std::string graph_section(const Inspection& inspection);
std::string layers_section(const NetworkFacts& facts);
std::string photo_section(const Inspection& inspection);
std::string maps_section(const Inspection& inspection);
std::string heads_section(const Inspection& inspection);
std::string claims_section(const Inspection& inspection);
std::string gradients_section(const Inspection& inspection);

// The view once, for all drawings to use.
std::string photo_definition(const PhotoInside& photo);

// Drawings on the photo; all coordinates are shares of the network's input.
class Overlay {
 public:
  explicit Overlay(const PhotoInside& photo);

  void dim();  // the photo, so that what follows stands out
  void box(double left, double top, double right, double bottom, const std::string& classes,
           const std::string& title = "");
  void box(const Truth& truth, const std::string& classes, const std::string& title = "");
  // Over the point, or below it where it would not fit.
  void label(double left, double top, const std::string& text, int color);
  void grid(int columns, int rows);
  // Everything but the window is darkened.
  void spotlight(double left, double top, double right, double bottom);
  // Values [rows, columns] as heat from 0 (clear) to `most`.
  void heat(std::span<const float> values, int columns, int rows, double most);

  // <figure> with the drawing; `caption` is HTML.
  std::string figure(const std::string& name, const std::string& caption) const;

 private:
  double width_, height_, letter_;
  std::string svg_;
};

// A channel's values between its least and its greatest, as a picture's address. Larger maps are made smaller.
std::string map_url(const ChannelMap& map, Shape shape);

}  // namespace rook
