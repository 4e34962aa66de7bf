// A network drawn as it runs: layers from left to right, each at the height of its grid, and what reads what.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "model/inspect_parts.h"
#include "model/report_html.h"
#include "model/report_svg.h"

namespace rook {
namespace {

constexpr double kGraphWidth = 1120, kGraphLeft = 64, kGraphRight = 12, kGraphTop = 26, kLane = 58, kGraphBottom = 34;

struct Kind {
  const char* name;
  int color;
};

Kind kind_of(const std::string& type) {
  if (type == "convolutional") return {"convolution", 0};
  if (type == "maxpool" || type == "avgpool" || type == "local_avgpool") return {"pool", 5};
  if (type == "route") return {"route (joins or cuts)", 3};
  if (type == "shortcut") return {"shortcut (adds)", 2};
  if (type == "upsample" || type == "reorg" || type == "reorg3d") return {"upsample, reorg", 4};
  if (type == "yolo" || type == "Gaussian_yolo" || type == "region") return {"detection head", 1};
  if (type == "scale_channels" || type == "sam") return {"gate (multiplies)", 6};
  return {"other", 7};
}

class GraphDrawing {
 public:
  explicit GraphDrawing(const NetworkFacts& facts) : facts_(facts) {
    grids_.insert({-facts.width, -facts.height});
    for (const LayerFacts& layer : facts.layers) grids_.insert(grid_of(layer));
    step_ = (kGraphWidth - kGraphLeft - kGraphRight) / static_cast<double>(facts.layers.size() + 1);
    height_ = kGraphTop + kLane * static_cast<double>(grids_.size() - 1) + kGraphBottom;
  }

  std::string svg() const {
    std::string svg = fmt::format(
        "<svg class=\"graph\" role=\"img\" aria-label=\"which layer reads which\" viewBox=\"0 0 {} {:.0f}\">",
        kGraphWidth, height_);
    for (const auto& grid : grids_) {
      const double y = lane(grid);
      svg += fmt::format(
          "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text class=\"end\" "
          "x=\"{3}\" y=\"{4:.1f}\">{5}x{6}</text>",
          kGraphLeft, kGraphWidth - kGraphRight, y, kGraphLeft - 8, y + 4, -grid.first, -grid.second);
    }
    for (int i = 0; i < count(); ++i)
      for (const int input : facts_.layers[static_cast<std::size_t>(i)].inputs) svg += edge(input, i);
    for (int i = -1; i < count(); ++i) svg += node(i);
    return svg + "</svg>";
  }

 private:
  using Grid = std::pair<int, int>;  // negative width and height, so that the widest comes first

  static Grid grid_of(const LayerFacts& layer) { return {-layer.output.w, -layer.output.h}; }
  int count() const { return static_cast<int>(facts_.layers.size()); }
  double lane(const Grid& grid) const {
    return kGraphTop + kLane * static_cast<double>(std::distance(grids_.begin(), grids_.find(grid)));
  }
  double x(int node) const { return kGraphLeft + step_ * (node + 1.5); }
  double y(int node) const {
    return lane(node < 0 ? Grid{-facts_.width, -facts_.height}
                         : grid_of(facts_.layers[static_cast<std::size_t>(node)]));
  }
  double node_width() const { return std::min(14.0, step_ * 0.62); }
  double node_height(int node) const {
    const int channels = node < 0 ? 3 : facts_.layers[static_cast<std::size_t>(node)].output.c;
    return 6 + 2.2 * std::log2(std::max(1, channels));
  }

  std::string edge(int from, int to) const {
    const double x0 = x(from), y0 = y(from), x1 = x(to), y1 = y(to);
    if (to - from == 1) return fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>", x0, y0, x1, y1);
    const int color = kind_of(facts_.layers[static_cast<std::size_t>(to)].type).color;
    const double bow = std::min(kLane * 0.7, 16 + 1.4 * step_ * (to - from) * 0.4);
    const double a = y0 == y1 ? y0 - bow : y0, b = y0 == y1 ? y1 - bow : y1;
    const double part = y0 == y1 ? 0.25 : 0.5;
    return fmt::format("<path class=\"skip s{}\" d=\"M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}\"/>",
                       color, x0, y0, x0 + part * (x1 - x0), a, x1 - part * (x1 - x0), b, x1, y1);
  }

  std::string node(int i) const {
    const double wide = node_width(), high = node_height(i);
    std::string title = "the picture", cls = "s7";
    if (i >= 0) {
      const LayerFacts& layer = facts_.layers[static_cast<std::size_t>(i)];
      title = fmt::format("{} [{}] {}x{}x{}, sees {}x{} pixels", i, layer.type, layer.output.w, layer.output.h,
                          layer.output.c, layer.field.width, layer.field.height);
      cls = fmt::format("s{}", kind_of(layer.type).color);
    }
    std::string svg = fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
        "rx=\"2\"><title>{}</title></rect>",
        cls, x(i) - wide / 2, y(i) - high / 2, wide, high, escape_html(title));
    const int every = step_ >= 17 ? 1 : step_ >= 8 ? 5 : 10;
    if (i >= 0 && i % every == 0)
      svg += fmt::format("<text class=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x(i), y(i) + high / 2 + 11, i);
    return svg;
  }

  const NetworkFacts& facts_;
  std::set<Grid> grids_;
  double step_ = 1, height_ = 0;
};

}  // namespace

std::string graph_section(const Inspection& inspection) {
  std::map<int, std::string> kinds;
  for (const LayerFacts& layer : inspection.facts.layers) kinds[kind_of(layer.type).color] = kind_of(layer.type).name;
  std::string legend;
  for (const auto& [color, name] : kinds) legend += fmt::format("<li class=\"s{}\">{}</li>", color, name);
  return "<section><h2>The network</h2><p class=\"note\">Layers from left to right in the order they run, each at the "
         "height of its grid; taller ones have more channels. Curves skip layers.</p><div class=\"card\"><ul "
         "class=\"legend\">" +
         legend + "</ul>" + GraphDrawing(inspection.facts).svg() + "</div></section>";
}

}  // namespace rook
