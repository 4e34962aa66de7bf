#include "model/report_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "model/report_html.h"

namespace rook {
namespace {

// One direction of a chart: values [low, high] to pixels [from, to].
struct Axis {
  double low = 0, high = 1;
  double from = 0, to = 1;
  bool log = false;

  double at(double value) const {
    const double share = log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return from + share * (to - from);
  }
};

struct Range {
  double low = 0, high = 0;
  bool any = false;

  void add(double value) {
    low = any ? std::min(low, value) : value;
    high = any ? std::max(high, value) : value;
    any = true;
  }
};

constexpr double kWidth = 520, kHeight = 280;  // of the drawing, pixels of its own
constexpr double kLetter = 7.2;                // a digit of the 13 pixel font takes at most this

std::string polyline(const std::vector<ChartPoint>& points, const Axis& x, const Axis& y, const std::string& name) {
  std::string path;
  for (const ChartPoint& point : points) {
    if (y.log && !(point.y > 0)) continue;
    path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", x.at(point.x), y.at(point.y));
  }
  return fmt::format("<polyline class=\"{}\" points=\"{}\"/>", name, path);
}

Axis y_axis(const Chart& chart, double from, double to) {
  Range all, positive;
  for (const Series& series : chart.series) {
    for (const ChartPoint& point : series.points) {
      all.add(point.y);
      if (point.y > 0) positive.add(point.y);
    }
  }
  Axis axis{.low = 0, .high = 1, .from = from, .to = to};
  if (chart.unit_y || !all.any) return axis;
  if (chart.log_when_wide && positive.any && all.low >= 0 && positive.high > 50 * positive.low) {
    axis.log = true;
    axis.low = positive.low * 0.9;
    axis.high = positive.high * 1.1;
    return axis;
  }
  axis.low = std::min(all.low, 0.0);
  axis.high = std::max(all.high, 0.0);
  if (!(axis.high > axis.low)) axis.high = axis.low + 1;
  const std::vector<double> ticks = linear_ticks(axis.low, axis.high, 5);
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : axis.high - axis.low;
  axis.low = std::floor(axis.low / step + 1e-9) * step;
  axis.high = std::ceil(axis.high / step - 1e-9) * step;
  return axis;
}

Axis x_axis(const Chart& chart, double from, double to) {
  Range all;
  for (const Series& series : chart.series) {
    for (const ChartPoint& point : series.points) all.add(point.x);
  }
  const bool from_start = all.low > 0 && all.low < 0.2 * all.high;  // the first line comes after some iterations
  Axis axis{.low = from_start ? 0 : all.low, .high = all.high, .from = from, .to = to};
  if (!(axis.high > axis.low)) axis = {.low = all.low - 1, .high = all.low + 1, .from = from, .to = to};
  return axis;
}

std::string y_grid(const Axis& y, const std::vector<double>& ticks, double left, double right) {
  std::string svg;
  for (const double tick : ticks) {
    const double at = y.at(tick);
    svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>", left,
                       right, at);
    svg +=
        fmt::format("<text class=\"end\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", left - 7, at + 4.5, short_number(tick));
  }
  return svg;
}

std::string x_ticks(const Axis& x, double bottom) {
  std::string svg = fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>",
                                x.from, x.to, bottom);
  for (const double tick : linear_ticks(x.low, x.high, 6)) {
    const double at = x.at(tick);
    svg += fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", at, bottom,
                       bottom + 4);
    svg +=
        fmt::format("<text class=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", at, bottom + 18, short_number(tick));
  }
  return svg;
}

std::string draw_series(const Series& series, const Axis& x, const Axis& y) {
  const std::string color = fmt::format("s{}", series.color % kSeriesColors);
  std::string svg = polyline(series.points, x, y, color + (series.bold ? " bold" : ""));
  constexpr std::size_t kDotsUpTo = 60;
  if (series.points.size() > kDotsUpTo) return svg;
  for (const ChartPoint& point : series.points) {
    if (y.log && !(point.y > 0)) continue;
    svg += fmt::format(
        "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"><title>{}: {:.4g} at {:.6g}</title></circle>",
        color, x.at(point.x), y.at(point.y), escape_html(series.name), point.y, point.x);
  }
  return svg;
}

std::string legend(const std::vector<Series>& all) {
  std::string html = "<ul class=\"legend\">";
  for (const Series& series : all) {
    html += fmt::format("<li class=\"s{}\">{}</li>", series.color % kSeriesColors, escape_html(series.name));
  }
  return html + "</ul>";
}

}  // namespace

std::vector<double> linear_ticks(double low, double high, int target) {
  std::vector<double> ticks;
  if (!(high > low) || target < 1) return ticks;
  const double rough = (high - low) / target, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double share = rough / power;
  const double step = power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
  const double first = std::ceil(low / step - 1e-9), last = std::floor(high / step + 1e-9);
  for (double i = first; i <= last; ++i) ticks.push_back(i * step);
  return ticks;
}

std::vector<double> log_ticks(double low, double high) {
  const double decades = std::log10(high / low);
  std::vector<double> factors = {1};
  if (decades < 3.2) factors = {1, 5};
  if (decades < 2.2) factors = {1, 2, 5};
  std::vector<double> ticks;
  const int step = std::max(1, static_cast<int>(decades / 7));
  for (int power = static_cast<int>(std::floor(std::log10(low))); power <= std::log10(high); power += step) {
    for (const double factor : factors) {
      const double tick = factor * std::pow(10.0, power);
      if (tick >= low && tick <= high) ticks.push_back(tick);
    }
  }
  return ticks;
}

std::vector<ChartPoint> thin(std::span<const ChartPoint> points, std::size_t most) {
  const std::size_t run = most == 0 ? points.size() : (points.size() + most - 1) / most;
  if (run <= 1) return {points.begin(), points.end()};
  std::vector<ChartPoint> thinned;
  for (std::size_t first = 0; first < points.size(); first += run) {
    const auto part = points.subspan(first, std::min(run, points.size() - first));
    ChartPoint mean;
    for (const ChartPoint& point : part) {
      mean.x += point.x / static_cast<double>(part.size());
      mean.y += point.y / static_cast<double>(part.size());
    }
    thinned.push_back(mean);
  }
  return thinned;
}

std::string draw_chart(const Chart& chart) {
  constexpr double kTop = 12, kBottom = kHeight - 44, kRight = kWidth - 18;
  Axis y = y_axis(chart, kBottom, kTop);
  const std::vector<double> ticks = y.log ? log_ticks(y.low, y.high) : linear_ticks(y.low, y.high, 5);
  std::size_t letters = 1;
  for (const double tick : ticks) letters = std::max(letters, short_number(tick).size());
  const double left = 14 + kLetter * static_cast<double>(letters);
  const Axis x = x_axis(chart, left, kRight);

  std::string html = fmt::format("<figure class=\"chart\"><figcaption>{}{}</figcaption>", escape_html(chart.title),
                                 y.log ? " <small>logarithmic</small>" : "");
  if (chart.series.size() > 1) html += legend(chart.series);
  html += fmt::format("<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {}\">", escape_html(chart.title), kWidth,
                      kHeight);
  html += y_grid(y, ticks, left, kRight) + x_ticks(x, kBottom);
  for (const Series& series : chart.series) html += draw_series(series, x, y);
  html += fmt::format("<text class=\"middle label\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", (left + kRight) / 2,
                      kHeight - 6, escape_html(chart.x_label));
  return html + "</svg></figure>";
}

std::string draw_pr_chart(const PrChart& chart) {
  constexpr double kSize = 190, kLeft = 32, kTop = 8, kRight = kSize - 10, kBottom = kSize - 36;
  const Axis x{.low = 0, .high = 1, .from = kLeft, .to = kRight}, y{.low = 0, .high = 1, .from = kBottom, .to = kTop};
  std::string html = fmt::format(
      "<figure class=\"pr\"><figcaption><span title=\"{0}\">{0}</span><b>{1}</b></figcaption>"
      "<svg role=\"img\" aria-label=\"precision over recall: {0}\" viewBox=\"0 0 {2} {2}\">",
      escape_html(chart.title), escape_html(chart.note), kSize);
  html += y_grid(y, {0, 0.5, 1}, kLeft, kRight);
  for (const double tick : {0.0, 0.5, 1.0}) {
    html += fmt::format("<text class=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x.at(tick), kBottom + 16,
                        short_number(tick));
  }
  if (!chart.envelope.empty()) {
    std::vector<ChartPoint> area = chart.envelope;
    area.push_back({area.back().x, 0});
    area.push_back({area.front().x, 0});
    html += polyline(area, x, y, "area");
    html += polyline(chart.measured, x, y, "measured") + polyline(chart.envelope, x, y, "s0 bold");
  }
  for (const ChartPoint& point : chart.threshold) {
    html += fmt::format(
        "<circle class=\"s1\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"><title>precision {:.3f}, recall "
        "{:.3f}</title></circle>",
        x.at(point.x), y.at(point.y), point.y, point.x);
  }
  html += fmt::format("<text class=\"middle label\" x=\"{:.1f}\" y=\"{:.1f}\">recall</text>", (kLeft + kRight) / 2,
                      kSize - 4);
  return html + "</svg></figure>";
}

}  // namespace rook
