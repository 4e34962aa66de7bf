#include "model/report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <map>

#include "io/atomic_file.h"
#include "model/report_html.h"
#include "model/report_parts.h"

namespace rook {
namespace {

std::string tile(const std::string& value, const std::string& label) {
  return fmt::format("<li><b>{}</b><span>{}</span></li>", value, label);
}

std::string percent_html(double share) {
  return fmt::format("{:.1f}<small> %</small>", 100 * share);
}

bool is_of_type(const nlohmann::json& line, const char* type) {
  return line.is_object() && line.contains("type") && line["type"] == type;
}

// The numbers of that name in the lines of these types.
std::vector<double> values_of(std::span<const nlohmann::json> metrics, std::initializer_list<const char*> types,
                              const char* key) {
  std::vector<double> values;
  for (const nlohmann::json& line : metrics) {
    if (std::none_of(types.begin(), types.end(), [&](const char* type) { return is_of_type(line, type); })) continue;
    if (const auto value = number_of(line, key)) values.push_back(*value);
  }
  return values;
}

// Median: the first blocks of a run, and those with an evaluation between, are slow.
double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The lines' `y` over their `x`, as means of at most 300 runs.
Series training_series(std::span<const nlohmann::json> metrics, const char* name, const char* x, const char* y,
                       int color) {
  constexpr std::size_t kMostPoints = 300;
  Series series{.name = name, .points = {}, .color = color};
  for (const nlohmann::json& line : metrics) {
    if (!is_of_type(line, "train")) continue;
    const auto at = number_of(line, x), value = number_of(line, y);
    if (at && value) series.points.push_back({*at, *value});
  }
  series.points = thin(series.points, kMostPoints);
  return series;
}

// mAP over epochs, for each split that was evaluated.
std::vector<Series> evaluation_series(std::span<const nlohmann::json> metrics) {
  std::map<std::string, std::vector<const nlohmann::json*>> splits;
  for (const nlohmann::json& line : metrics) {
    if (!is_of_type(line, "eval")) continue;
    const bool named = line.contains("split") && line["split"].is_string();
    splits[named ? line["split"].get<std::string>() : std::string("valid")].push_back(&line);
  }
  std::vector<Series> all;
  for (const auto& [split, lines] : splits) {
    const std::string suffix = splits.size() > 1 ? ", " + split : "";
    for (const bool strict : {false, true}) {
      Series series{.name = (strict ? "mAP50:95" : "mAP50") + suffix,
                    .points = {},
                    .color = static_cast<int>(all.size()),
                    .bold = !strict};
      for (const nlohmann::json* line : lines) {
        const auto at = number_of(*line, "epoch"), value = number_of(*line, strict ? "map50_95" : "map50");
        if (at && value) series.points.push_back({*at, *value});
      }
      all.push_back(std::move(series));
    }
  }
  return all;
}

std::string chart_if_any(const Chart& chart) {
  const bool any =
      std::any_of(chart.series.begin(), chart.series.end(), [](const Series& s) { return !s.points.empty(); });
  return any ? draw_chart(chart) : "";
}

void flatten(const nlohmann::json& value, const std::string& path,
             std::vector<std::pair<std::string, std::string>>& rows) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, inner] : value.items())
      flatten(inner, path.empty() ? key : fmt::format("{}.{}", path, key), rows);
    return;
  }
  rows.emplace_back(path, value.is_string() ? value.get<std::string>()
                                            : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

std::string headline_section(const ReportInput& input) {
  const Evaluation& e = input.evaluation;
  const std::vector<double> seconds = values_of(input.metrics, {"train", "eval"}, "seconds");
  const std::vector<double> speed = values_of(input.metrics, {"train"}, "images_per_s");
  std::string html = "<ul class=\"tiles\">";
  html += tile(percent_html(e.map50), "mAP50") + tile(percent_html(e.map50_95), "mAP50:95");
  html += tile(percent_html(e.precision), "precision") + tile(percent_html(e.recall), "recall") +
          tile(percent_html(e.f1), "F1");
  if (!seconds.empty()) {
    html += tile(fmt::format("{:.1f}<small> min</small>", *std::max_element(seconds.begin(), seconds.end()) / 60),
                 "training time");
  }
  if (!speed.empty()) html += tile(fmt::format("{:.0f}<small> /s</small>", median(speed)), "images");
  html += "</ul>";
  return html + fmt::format(
                    "<p class=\"note\">{} images with {} boxes{}{}. Precision, recall and F1 at confidence {:.3g} and "
                    "IoU 0.5; "
                    "best F1 {:.3f} at confidence {:.3f}. mAP as COCO defines it; darknet's own mAP50 is {:.1f} %.</p>",
                    e.images, e.boxes, e.preprocess.empty() ? "" : ", brought to size by ", escape_html(e.preprocess),
                    e.conf, e.best_f1.f1, e.best_f1.conf, 100 * e.darknet_map50);
}

std::string training_section(std::span<const nlohmann::json> metrics) {
  Chart loss{.title = "Loss", .x_label = "iteration", .series = {}, .unit_y = false, .log_when_wide = true};
  loss.series.push_back(training_series(metrics, "total", "iteration", "loss", 0));
  loss.series.back().bold = true;
  loss.series.push_back(training_series(metrics, "box", "iteration", "box", 1));
  loss.series.push_back(training_series(metrics, "objectness", "iteration", "objectness", 2));
  loss.series.push_back(training_series(metrics, "classes", "iteration", "classes", 3));
  const Chart quality{
      .title = "Mean average precision", .x_label = "epoch", .series = evaluation_series(metrics), .unit_y = true};
  const Chart rate{.title = "Learning rate",
                   .x_label = "iteration",
                   .series = {training_series(metrics, "learning rate", "iteration", "lr", 4)}};
  const Chart speed{.title = "Images per second",
                    .x_label = "iteration",
                    .series = {training_series(metrics, "images per second", "iteration", "images_per_s", 5)}};
  const std::string charts = chart_if_any(loss) + chart_if_any(quality) + chart_if_any(rate) + chart_if_any(speed);
  return charts.empty() ? "" : "<section><h2>Training</h2><div class=\"charts\">" + charts + "</div></section>";
}

std::string pictures_section(const std::string& heading, const std::string& note,
                             std::span<const ReportPicture> pictures) {
  if (pictures.empty()) return "";
  std::string html = fmt::format("<section><h2>{}</h2><p class=\"note\">{}</p><div class=\"pictures\">",
                                 escape_html(heading), escape_html(note));
  for (const ReportPicture& picture : pictures) {
    html += fmt::format("<figure><img src=\"{}\" alt=\"{}\"/><figcaption>{}</figcaption></figure>",
                        data_url(picture.image), escape_html(picture.caption), escape_html(picture.caption));
  }
  return html + "</div></section>";
}

std::string config_section(const nlohmann::json& config) {
  if (config.is_null() || config.empty()) return "";
  std::string rows;
  for (const auto& [key, value] : flat_config(config))
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape_html(key), escape_html(value));
  return "<section><h2>Configuration</h2><div class=\"scroll\"><table class=\"config\"><tbody>" + rows +
         "</tbody></table></div></section>";
}

std::vector<std::pair<std::string, std::string>> flat_config(const nlohmann::json& config) {
  std::vector<std::pair<std::string, std::string>> rows;
  flatten(config, "", rows);
  return rows;
}

std::string page_begin(const std::string& plain_title, const std::string& note, const std::string& style) {
  const std::string title = escape_html(plain_title);
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
      "<meta name=\"color-scheme\" content=\"light dark\"/>";
  html += "<title>" + title + "</title><style>" + kReportStyle + style + "</style></head><body><header><h1>" + title +
          "</h1>";
  if (!note.empty()) html += "<p class=\"note\">" + escape_html(note) + "</p>";
  return html + "</header><main>";
}

std::string page_end() {
  return "</main><footer>Made by rook.</footer></body></html>\n";
}

std::string report_html(const ReportInput& input) {
  std::string html = page_begin(input.title.empty() ? "Training report" : input.title, input.run_folder.string());
  html += "<section>" + headline_section(input) + "</section>\n";
  html += training_section(input.metrics) + "\n";
  html += classes_section(input.evaluation) + "\n";
  html += pr_section(input.evaluation) + "\n";
  html += confusion_section(input.evaluation) + "\n";
  html += pictures_section("Worst pictures", "Those with the lowest F1.", input.worst) + "\n";
  html += pictures_section("Best pictures", "Those with the highest F1.", input.best) + "\n";
  return html + config_section(input.config) + page_end();
}

void write_report(const std::filesystem::path& file, const ReportInput& input) {
  const std::string html = report_html(input);
  io::write_file_atomically(file, html);
}

}  // namespace rook
