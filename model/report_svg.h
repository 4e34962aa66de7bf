// Line charts as inline SVG. Colours, fonts and line widths come from the style sheet of the page.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace rook {

inline constexpr int kSeriesColors = 8;  // classes s0..s7 of the style sheet

struct ChartPoint {
  double x = 0, y = 0;
};

struct Series {
  std::string name;
  std::vector<ChartPoint> points;  // by rising x, finite
  int color = 0;
  bool bold = false;
};

struct Chart {
  std::string title, x_label;
  std::vector<Series> series;
  bool unit_y = false;         // the y axis is 0..1, otherwise it fits the points
  bool log_when_wide = false;  // a logarithmic y axis where values spread over more than a factor of 50
};

// <figure class="chart"> with a heading, a legend when there are several series, and the drawing. All text is escaped.
std::string draw_chart(const Chart& chart);

// A small square of precision over recall: the measured curve, its right envelope (which average precision
// integrates), and where the confidence threshold puts the detector. `note` stands at the right of the title.
struct PrChart {
  std::string title, note;
  std::vector<ChartPoint> measured, envelope, threshold;
};
std::string draw_pr_chart(const PrChart& chart);

// About `target` round positions (1, 2 or 5 times a power of ten apart) inside [low, high].
std::vector<double> linear_ticks(double low, double high, int target);
// Powers of ten inside [low, high], with 2 and 5 times them where those are few. low > 0.
std::vector<double> log_ticks(double low, double high);

// At most `most` points: means of runs of equal length.
std::vector<ChartPoint> thin(std::span<const ChartPoint> points, std::size_t most);

}  // namespace rook
