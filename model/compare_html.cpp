// The page of `rook compare`.
#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "io/image.h"
#include "model/compare.h"
#include "model/drawn_box.h"
#include "model/report_html.h"
#include "model/report_parts.h"
#include "model/report_svg.h"

namespace rook {
namespace {

constexpr int kPhotos = 6;        // that the runs disagree on most
constexpr int kPhotoWidth = 720;  // pixels
// Of the palette boxes are drawn with (io/draw.cpp).
constexpr int kRed = 0, kYellow = 1, kGreen = 3, kPale = 13;

std::string number_cell(const std::string& text, bool best = false) {
  return fmt::format("<td class=\"number{}\">{}</td>", best ? " best" : "", text);
}

std::string percent(double share) {
  return fmt::format("{:.2f}", 100 * share);
}

std::string signed_percent(double share) {
  return fmt::format("{:+.2f}", 100 * share);
}

// A run's cell, bold where it is the best and not all are equal.
std::string cells(const Comparison& comparison, double (*value)(const ComparedRun&), const ComparedRun& run) {
  double best = value(run), least = best;
  for (const ComparedRun& other : comparison.runs) {
    best = std::max(best, value(other));
    least = std::min(least, value(other));
  }
  return number_cell(percent(value(run)), best > least && value(run) == best);
}

std::string figures_section(const Comparison& comparison) {
  std::string html = fmt::format(
      "<section><h2>Figures</h2><p class=\"note\">On {}, in %; precision, recall and F1 at confidence {:.3g} and IoU "
      "0.5.</p><div class=\"scroll\"><table class=\"compare\"><thead><tr><th>run</th><th>trained on</th>",
      escape_html(comparison.data), comparison.runs.front().evaluation.conf);
  for (const char* name : {"mAP50", "mAP50:95", "precision", "recall", "F1", "minutes", "ms a photo"})
    html += fmt::format("<th class=\"number\">{}</th>", name);
  for (const double target : comparison.targets)
    html += fmt::format("<th class=\"number\">min to {}</th>", short_number(100 * target));
  html += "</tr></thead><tbody>";
  for (const ComparedRun& run : comparison.runs) {
    html +=
        fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td>", escape_html(run.name), escape_html(run.summary.data));
    html += cells(
        comparison, [](const ComparedRun& r) { return r.evaluation.map50; }, run);
    html += cells(
        comparison, [](const ComparedRun& r) { return r.evaluation.map50_95; }, run);
    html += cells(
        comparison, [](const ComparedRun& r) { return r.evaluation.precision; }, run);
    html += cells(
        comparison, [](const ComparedRun& r) { return r.evaluation.recall; }, run);
    html += cells(
        comparison, [](const ComparedRun& r) { return r.evaluation.f1; }, run);
    html += number_cell(fmt::format("{:.1f}", run.summary.minutes)) + number_cell(fmt::format("{:.1f}", run.ms));
    for (const double target : comparison.targets) {
      const auto reached = first_reached(run.run, target);
      html += number_cell(reached ? fmt::format("{:.2f}", reached->minutes) : "&#8211;");
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div></section>";
}

std::string chance_section(const Comparison& comparison) {
  if (comparison.runs.size() < 2) return "";
  std::string html = fmt::format(
      "<section><h2>Difference or chance</h2><p class=\"note\">mAP50 against {}, in points. The same {} photos drawn "
      "again with replacement, {} times: 95 % of the differences lie in the interval. Where it holds 0, other photos "
      "might turn the order round. It says nothing of another seed of the training.</p><div class=\"scroll\"><table "
      "class=\"compare\"><thead><tr><th>run</th><th class=\"number\">difference</th><th class=\"number\">from</th><th "
      "class=\"number\">to</th><th class=\"number\">better in</th><th>so it is</th></tr></thead><tbody>",
      escape_html(comparison.runs.front().name), comparison.files.size(), comparison.resamples);
  for (std::size_t r = 1; r < comparison.runs.size(); ++r) {
    const Interval& i = comparison.runs[r].against_first;
    html += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(comparison.runs[r].name)) +
            number_cell(signed_percent(i.difference)) + number_cell(signed_percent(i.low)) +
            number_cell(signed_percent(i.high)) + number_cell(fmt::format("{:.0f} %", 100 * i.b_better)) +
            fmt::format("<td>{}</td></tr>", i.noise()          ? "noise"
                                            : i.difference > 0 ? "better"
                                                               : "worse");
  }
  return html + "</tbody></table></div></section>";
}

// A number of the metrics' lines of that type over another, for each run.
Chart chart_of(const Comparison& comparison, const char* title, const char* x_label, const char* type, const char* x,
               double x_scale, const char* y) {
  constexpr std::size_t kMostPoints = 200;
  Chart chart{.title = title, .x_label = x_label, .series = {}};
  for (std::size_t r = 0; r < comparison.runs.size(); ++r) {
    Series series{.name = comparison.runs[r].name, .points = {}, .color = static_cast<int>(r), .bold = true};
    for (const nlohmann::json& line : comparison.runs[r].run.metrics) {
      if (const auto found = line.find("type"); found == line.end() || *found != type) continue;
      const auto at = number_of(line, x), value = number_of(line, y);
      if (at && value) series.points.push_back({*at * x_scale, *value});
    }
    series.points = thin(series.points, kMostPoints);
    chart.series.push_back(std::move(series));
  }
  return chart;
}

std::string curves_section(const Comparison& comparison) {
  Chart by_epoch = chart_of(comparison, "mAP50 by epoch", "epoch", "eval", "epoch", 1, "map50");
  Chart by_minute = chart_of(comparison, "mAP50 by minute", "minute", "eval", "seconds", 1.0 / 60, "map50");
  Chart strict = chart_of(comparison, "mAP50:95 by epoch", "epoch", "eval", "epoch", 1, "map50_95");
  Chart loss = chart_of(comparison, "Loss by epoch", "epoch", "train", "epoch", 1, "loss");
  by_epoch.unit_y = by_minute.unit_y = strict.unit_y = true;
  loss.log_when_wide = true;
  std::string html;
  for (const Chart& chart : {by_epoch, by_minute, strict, loss})
    if (std::any_of(chart.series.begin(), chart.series.end(), [](const Series& s) { return !s.points.empty(); }))
      html += draw_chart(chart);
  return html.empty()
             ? ""
             : "<section><h2>Curves</h2><p class=\"note\">As each run measured itself while it trained, on its "
               "own validation photos.</p><div class=\"charts\">" +
                   html + "</div></section>";
}

std::string classes_section_of(const Comparison& comparison) {
  std::string html =
      "<section><h2>Classes</h2><p class=\"note\">AP50 in %, and the difference from the first run in "
      "points.</p><div class=\"scroll\"><table class=\"compare\"><thead><tr><th>class</th><th "
      "class=\"number\">boxes</th>";
  for (std::size_t r = 0; r < comparison.runs.size(); ++r)
    html += fmt::format("<th class=\"number\">{}</th>{}", escape_html(comparison.runs[r].name),
                        r ? "<th class=\"number\">&#177;</th>" : "");
  html += "</tr></thead><tbody>";
  for (std::size_t cls = 0; cls < comparison.classes.size(); ++cls) {
    const ClassResult& first = comparison.runs.front().evaluation.classes[cls];
    html += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(comparison.classes[cls])) +
            number_cell(fmt::format("{}", first.boxes));
    double best = 0, least = 1;
    for (const ComparedRun& run : comparison.runs) {
      best = std::max(best, run.evaluation.classes[cls].ap50);
      least = std::min(least, run.evaluation.classes[cls].ap50);
    }
    for (std::size_t r = 0; r < comparison.runs.size(); ++r) {
      const double ap = comparison.runs[r].evaluation.classes[cls].ap50;
      html += number_cell(first.boxes ? percent(ap) : "&#8211;", best > least && ap == best);
      if (r) html += number_cell(first.boxes ? signed_percent(ap - first.ap50) : "");
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div></section>";
}

// What the configurations do not have in common.
std::string settings_section(const Comparison& comparison) {
  std::map<std::string, std::vector<std::string>> values;
  for (std::size_t r = 0; r < comparison.runs.size(); ++r)
    for (const auto& [key, value] : flat_config(comparison.runs[r].run.config)) {
      values[key].resize(comparison.runs.size());
      values[key][r] = value;
    }
  std::string rows;
  for (const auto& [key, texts] : values) {
    if (key == "cfg" || key == "started" || std::count(texts.begin(), texts.end(), texts.front()) == std::ssize(texts))
      continue;
    rows += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(key));
    for (const std::string& text : texts) rows += fmt::format("<td>{}</td>", escape_html(text));
    rows += "</tr>";
  }
  if (rows.empty()) return "";
  std::string head = "<tr><th></th>";
  for (const ComparedRun& run : comparison.runs) head += fmt::format("<th>{}</th>", escape_html(run.name));
  return "<section><h2>Settings that differ</h2><div class=\"scroll\"><table class=\"config\"><tbody>" + head +
         "</tr>" + rows + "</tbody></table></div></section>";
}

std::string photo_of(const Comparison& comparison, const io::Image& small, std::size_t run, std::size_t photo,
                     const Disagreement& different) {
  const ImageResult& result = comparison.runs[run].results[photo];
  std::vector<io::DrawnBox> boxes;
  const auto add = [&](const auto& box, int color, const std::string& label, bool dashed) {
    boxes.push_back(drawn_box(box, small, color, label));
    boxes.back().dashed = dashed;
  };
  const auto label = [&](const Detection& d) {
    return fmt::format("{} {:.2f}", comparison.classes[static_cast<std::size_t>(d.cls)], d.score);
  };
  for (const int d : different.agreed) add(result.detections[static_cast<std::size_t>(d)], kPale, "", false);
  for (const int t : different.missed) {
    const Truth& truth = result.truths[static_cast<std::size_t>(t)];
    add(truth, kYellow, comparison.classes[static_cast<std::size_t>(truth.cls)], true);
  }
  for (const auto& [list, color] : {std::pair(&different.right, kGreen), std::pair(&different.wrong, kRed)})
    for (const int d : *list) {
      const Detection& box = result.detections[static_cast<std::size_t>(d)];
      add(box, color, label(box), false);
    }
  io::Image drawn = small;
  io::draw_boxes(drawn, boxes);
  const std::string caption =
      fmt::format("{}: {} agreed, {} right and {} wrong of its own, {} missed", comparison.runs[run].name,
                  different.agreed.size(), different.right.size(), different.wrong.size(), different.missed.size());
  return fmt::format("<figure><img src=\"{}\" alt=\"{}\"/><figcaption>{}</figcaption></figure>", data_url(drawn),
                     escape_html(caption), escape_html(caption));
}

std::string photos_section(const Comparison& comparison) {
  const std::size_t count = comparison.files.size(), runs = comparison.runs.size();
  std::vector<std::vector<Disagreement>> all;
  std::vector<std::size_t> differing(count, 0), order(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<const ImageResult*> photos;
    for (const ComparedRun& run : comparison.runs) photos.push_back(&run.results[i]);
    all.push_back(disagreements(photos, comparison.runs.front().evaluation.conf));
    for (const Disagreement& d : all.back()) differing[i] += d.right.size() + d.wrong.size() + d.missed.size();
  }
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return differing[a] > differing[b]; });
  const auto with =
      static_cast<std::size_t>(std::count_if(differing.begin(), differing.end(), [](std::size_t n) { return n > 0; }));
  if (with == 0 || runs < 2)
    return runs < 2
               ? ""
               : "<section><h2>Photos</h2><p class=\"note\">The runs show the same boxes on all of them.</p></section>";
  std::string html = fmt::format(
      "<section><h2>Photos they disagree on</h2><p class=\"note\">{} of {}, the worst first. Boxes of all runs are "
      "pale; "
      "of some:<span class=\"key\" style=\"background:#06d6a0\"></span>right<span class=\"key\" "
      "style=\"background:#e63946\"></span>wrong<span class=\"key\" style=\"background:#ffbe0b\"></span>missed, though "
      "another run has found it.</p>",
      with, count);
  for (std::size_t p = 0; p < std::min<std::size_t>(with, kPhotos); ++p) {
    const std::size_t i = order[p];
    const io::Image small = fit_width(io::read_image(comparison.files[i]), kPhotoWidth);
    html += fmt::format("<p class=\"note\">{}</p><div class=\"beside\" style=\"grid-template-columns:repeat({},1fr)\">",
                        escape_html(comparison.runs.front().results[i].name), std::min<std::size_t>(runs, 3));
    for (std::size_t r = 0; r < runs; ++r) html += photo_of(comparison, small, r, i, all[i][r]);
    html += "</div>";
  }
  return html + "</section>";
}

}  // namespace

std::string compare_html(const Comparison& comparison) {
  std::string title;
  for (const ComparedRun& run : comparison.runs) title += (title.empty() ? "" : ", ") + run.name;
  return page_begin(title, "Runs compared on " + comparison.data) + figures_section(comparison) +
         chance_section(comparison) + curves_section(comparison) + classes_section_of(comparison) +
         photos_section(comparison) + settings_section(comparison) + page_end();
}

}  // namespace rook
