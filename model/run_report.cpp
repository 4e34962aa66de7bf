#include "model/run_report.h"

#include <fmt/format.h>
#include <algorithm>
#include <numeric>

#include "io/image.h"
#include "model/report.h"
#include "model/report_html.h"
#include "model/run_folder.h"

namespace fs = std::filesystem;

namespace rook {
namespace {

constexpr int kPictures = 6;        // of each kind
constexpr int kPictureWidth = 640;  // pixels

// Found boxes in their class's colour with score, truths dashed.
ReportPicture picture(const ImageResult& result, const std::string& file, double f1, double conf,
                      const std::vector<std::string>& classes) {
  io::Image image = fit_width(io::read_image(file), kPictureWidth);
  const float w = static_cast<float>(image.width), h = static_cast<float>(image.height);
  std::vector<io::DrawnBox> boxes;
  const auto add = [&](float x, float y, float bw, float bh, int color, std::string label, bool dashed) {
    boxes.push_back({.left = (x - bw / 2) * w,
                     .top = (y - bh / 2) * h,
                     .width = bw * w,
                     .height = bh * h,
                     .color = color,
                     .label = std::move(label),
                     .dashed = dashed});
  };
  for (const Truth& t : result.truths) add(t.x, t.y, t.w, t.h, t.cls, "", true);
  int shown = 0;
  for (const Detection& d : result.detections) {
    if (d.score < conf) continue;
    add(d.x, d.y, d.w, d.h, d.cls, fmt::format("{} {:.2f}", classes[d.cls], d.score), false);
    ++shown;
  }
  io::draw_boxes(image, boxes);
  return {.caption =
              fmt::format("{}: F1 {:.2f}, {} truths (dashed), {} found", result.name, f1, result.truths.size(), shown),
          .image = std::move(image)};
}

}  // namespace

fs::path write_run_report(const fs::path& folder, Trainer& trainer, const PhotoCache& photos,
                          const std::vector<std::string>& classes) {
  const std::vector<ImageResult> results = trainer.detect_all(photos);
  const Run run = read_run(folder);
  ReportInput input{.run_folder = folder,
                    .config = run.config,
                    .metrics = run.metrics,
                    .evaluation = evaluate(results, classes),
                    .worst = {},
                    .best = {},
                    .title = folder.filename().string()};
  input.evaluation.preprocess = to_text(trainer.config().preprocess);
  std::vector<int> order(results.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<double>& f1 = input.evaluation.image_f1;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return f1[a] < f1[b]; });
  const int count = std::min<int>(kPictures, static_cast<int>(order.size()));
  const auto make = [&](int i) { return picture(results[i], photos.file(i), f1[i], input.evaluation.conf, classes); };
  fs::create_directories(folder / "samples");
  for (int i = 0; i < count; ++i) {
    input.worst.push_back(make(order[i]));
    input.best.push_back(make(order[order.size() - 1 - i]));
    io::write_image(folder / "samples" / fmt::format("worst-{}.jpg", i + 1), input.worst.back().image);
    io::write_image(folder / "samples" / fmt::format("best-{}.jpg", i + 1), input.best.back().image);
  }
  const fs::path report = folder / "report.html";
  write_report(report, input);
  return report;
}

}  // namespace rook
