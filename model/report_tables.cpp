// What the evaluation says, class by class: average precision, curves, confusion.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "model/report_html.h"
#include "model/report_parts.h"

namespace rook {
namespace {

// A cell with a bar before the figure; `share` in 0..1.
std::string bar_cell(double share, bool any) {
  if (!any) return "<td class=\"number\">&#8211;</td>";
  return fmt::format("<td><div class=\"bar\"><span><i style=\"width:{:.1f}%\"></i></span><b>{:.1f}</b></div></td>",
                     100 * std::clamp(share, 0.0, 1.0), 100 * share);
}

std::string number_cell(int value) {
  return fmt::format("<td class=\"number\">{}</td>", value);
}

std::string class_row(const ClassResult& result) {
  const bool any = result.boxes > 0;
  return fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(result.name)) + number_cell(result.boxes) +
         bar_cell(result.ap50, any) + bar_cell(result.ap50_95, any) + number_cell(result.true_positives) +
         number_cell(result.false_positives) + number_cell(result.false_negatives) + "</tr>";
}

// A cell of the confusion matrix, deeper in colour with its share of the row.
std::string heat_cell(int count, int row_sum, bool diagonal, const std::string& title) {
  if (count == 0) return "<td></td>";
  const double share = static_cast<double>(count) / row_sum;
  constexpr double kPalest = 0.12;
  return fmt::format("<td class=\"{}{}\" style=\"--heat:{:.2f}\" title=\"{}\">{}</td>", diagonal ? "right" : "wrong",
                     share > 0.65 ? " deep" : "", kPalest + (1 - kPalest) * share, title, count);
}

// The precision and recall at the last score above `conf`; none when nothing exceeds it.
std::vector<ChartPoint> point_at(const std::vector<PrPoint>& curve, double conf) {
  std::vector<ChartPoint> point;
  for (const PrPoint& p : curve) {
    if (p.conf > conf) point = {{p.recall, p.precision}};
  }
  return point;
}

// At most `most` points of a curve, the first and the last among them.
std::vector<ChartPoint> sampled(const std::vector<PrPoint>& curve, std::size_t most) {
  std::vector<ChartPoint> points;
  const std::size_t count = std::min(curve.size(), most);
  for (std::size_t i = 0; i < count; ++i) {
    const PrPoint& p = curve[count > 1 ? i * (curve.size() - 1) / (count - 1) : 0];
    points.push_back({p.recall, p.precision});
  }
  return points;
}

// Mean of the classes' interpolated precision; a class adds nothing at recalls it does not reach.
std::vector<ChartPoint> mean_curve(const std::vector<ClassResult>& classes) {
  std::vector<ChartPoint> mean;
  double counted = 0;
  for (const ClassResult& result : classes) {
    if (result.boxes == 0) continue;
    ++counted;
    const std::vector<ChartPoint> curve = interpolated_curve(result.curve);
    for (std::size_t i = 0; i < curve.size(); ++i) {
      if (i == mean.size()) mean.push_back({curve[i].x, 0});
      mean[i].y += curve[i].y;
    }
  }
  for (ChartPoint& point : mean) point.y /= counted;
  return mean;
}

}  // namespace

std::vector<ChartPoint> interpolated_curve(std::span<const PrPoint> curve) {
  std::vector<double> highest(curve.size());
  double best = 0;
  for (std::size_t i = curve.size(); i-- > 0;) highest[i] = best = std::max(best, curve[i].precision);
  std::vector<ChartPoint> points;
  std::size_t at = 0;
  for (int i = 0; i <= 100; ++i) {
    const double recall = i * 0.01;
    while (at < curve.size() && curve[at].recall < recall) ++at;
    if (at == curve.size() || highest[at] == 0) break;
    points.push_back({recall, highest[at]});
  }
  return points;
}

std::string classes_section(const Evaluation& evaluation) {
  std::string html =
      "<section><h2>Classes</h2><div class=\"scroll\"><table class=\"classes\"><thead><tr><th>class</th>"
      "<th class=\"number\">boxes</th><th>AP50, %</th><th>AP50:95, %</th><th class=\"number\">found</th>"
      "<th class=\"number\">false</th><th class=\"number\">missed</th></tr></thead><tbody>";
  ClassResult all;
  all.name = "all";
  all.ap50 = evaluation.map50;
  all.ap50_95 = evaluation.map50_95;
  for (const ClassResult& result : evaluation.classes) {
    html += class_row(result);
    all.boxes += result.boxes;
    all.true_positives += result.true_positives;
    all.false_positives += result.false_positives;
    all.false_negatives += result.false_negatives;
  }
  return html + "</tbody><tfoot>" + class_row(all) +
         fmt::format(
             "</tfoot></table></div><p class=\"note\">Found, false and missed at confidence {:.3g} and IoU 0.5.</p>"
             "</section>",
             evaluation.conf);
}

std::string pr_section(const Evaluation& evaluation) {
  constexpr std::size_t kMostPoints = 200;
  std::string html;
  for (const ClassResult& result : evaluation.classes) {
    if (result.boxes == 0) continue;
    html += draw_pr_chart({.title = result.name,
                           .note = fmt::format("{:.1f}", 100 * result.ap50),
                           .measured = sampled(result.curve, kMostPoints),
                           .envelope = interpolated_curve(result.curve),
                           .threshold = point_at(result.curve, evaluation.conf)});
  }
  if (html.empty()) return "";
  const std::string mean = draw_pr_chart({.title = "mean of all",
                                          .note = fmt::format("{:.1f}", 100 * evaluation.map50),
                                          .measured = {},
                                          .envelope = mean_curve(evaluation.classes),
                                          .threshold = {}});
  return fmt::format(
      "<section><h2>Precision over recall</h2><p class=\"note\">At IoU 0.5, with AP50 in %. Thin: as measured; "
      "bold: the highest precision at that recall or a greater one; dot: confidence {:.3g}.</p>"
      "<div class=\"prs\">{}{}</div></section>",
      evaluation.conf, mean, html);
}

std::string confusion_section(const Evaluation& evaluation) {
  const auto& matrix = evaluation.confusion;
  if (matrix.size() < 2) return "";
  const std::size_t background = matrix.size() - 1;
  std::vector<std::string> rows, columns;
  for (const ClassResult& result : evaluation.classes) rows.push_back(escape_html(result.name));
  columns = rows;
  rows.emplace_back("nothing there");
  columns.emplace_back("not found");
  std::string html =
      "<section><h2>Confusion</h2><p class=\"note\">Rows: what is there. Columns: what was detected, "
      "at IoU 0.5. Colour: share of the row.</p><div class=\"scroll\"><table class=\"confusion\"><thead><tr><th></th>";
  for (const std::string& column : columns) {
    html += fmt::format("<th scope=\"col\" title=\"{0}\"><span>{0}</span></th>", column);
  }
  html += "</tr></thead><tbody>";
  for (std::size_t r = 0; r < matrix.size(); ++r) {
    int sum = 0;
    for (const int count : matrix[r]) sum += count;
    html += fmt::format("<tr><th scope=\"row\" title=\"{0}\">{0}</th>", rows[r]);
    for (std::size_t c = 0; c < matrix[r].size(); ++c) {
      html += heat_cell(matrix[r][c], sum, r == c && r != background, rows[r] + " &#8594; " + columns[c]);
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div></section>";
}

}  // namespace rook
