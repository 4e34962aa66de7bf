#include "model/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace rook {
namespace {

constexpr double kRedrawSeconds = 0.1, kPlainSeconds = 5;
constexpr double kLeastSeconds = 0.02;  // that a rate is taken from

bool on_terminal() {
  return isatty(STDERR_FILENO) != 0;
}

int terminal_columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string clock_text(double seconds) {
  constexpr double kMost = 1e9;
  if (!(seconds >= 0 && seconds < kMost)) return "-";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  const std::int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
  return fmt::format("{}:{:02}", minutes, whole % 60);
}

Progress::Progress() : Progress(stderr, on_terminal(), terminal_columns(), steady_seconds) {}

Progress::Progress(std::FILE* out, bool terminal, int columns, Clock clock)
    : out_(out),
      terminal_(terminal),
      columns_(static_cast<std::size_t>(std::max(columns, 20))),
      clock_(std::move(clock)) {}

Progress::~Progress() {
  finish();
}

// As many of the parts, in the order of what one wants to know first, as fit.
std::string Progress::describe(std::size_t columns) const {
  const ProgressStep& step = *last_;
  // Whole steps make 9.0196 of nine epochs.
  std::vector<std::string> parts = {fmt::format("epoch {:.1f}/{:g}", step.epoch, std::round(step.epochs * 10) / 10),
                                    fmt::format("loss {:.3g} (box {:.3g} obj {:.3g} cls {:.3g})", step.loss, step.box,
                                                step.objectness, step.classes)};
  if (map50_) parts.push_back(fmt::format("mAP50 {:.3f}", *map50_));
  // At the pace since the first step that was seen, evaluations included: a resumed run does not start at iteration 0.
  const auto done = static_cast<double>(step.iteration - first_iteration_);
  const auto left = static_cast<double>(step.iterations - step.iteration);
  if (done > 0 && left >= 0) parts.push_back(clock_text((last_at_ - first_at_) / done * left) + " left");
  parts.push_back(fmt::format("{:.0f} img/s", images_per_s_));
  std::string line = parts[0].substr(0, columns);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (line.size() + 2 + parts[i].size() <= columns) line += "  " + parts[i];
  }
  return line;
}

void Progress::draw() {
  // One column stays free: some terminals wrap when the last one is written. \x1b[K clears to the end of the line.
  fmt::print(out_, "\r{}\x1b[K", describe(columns_ - 1));
  std::fflush(out_);
  line_open_ = true;
}

void Progress::step(const ProgressStep& step) {
  if (out_ == nullptr) return;
  last_at_ = clock_();
  const bool first = !last_;
  if (first) {
    first_iteration_ = step.iteration;
    first_at_ = last_at_;
  }
  last_ = step;
  pending_images_ += step.images;
  pending_seconds_ += step.seconds;
  const double pause = terminal_ ? kRedrawSeconds : kPlainSeconds;
  if (!first && last_at_ - shown_at_ < pause && step.iteration < step.iterations) return;
  shown_at_ = last_at_;
  // The last steps of a GPU are reported together: their time says nothing.
  if (pending_seconds_ > kLeastSeconds || (images_per_s_ == 0 && pending_seconds_ > 0))
    images_per_s_ = pending_images_ / pending_seconds_;
  pending_images_ = pending_seconds_ = 0;
  if (terminal_) {
    draw();
    return;
  }
  constexpr std::size_t kAnyWidth = 1000;
  fmt::print(out_, "iteration {}/{}  {}\n", step.iteration, step.iterations, describe(kAnyWidth));
  std::fflush(out_);
}

void Progress::evaluated(double epoch, double map50, double map50_95, bool best) {
  if (out_ == nullptr) return;
  map50_ = map50;
  if (terminal_) {
    if (last_) draw();
    return;
  }
  fmt::print(out_, "epoch {:.1f}: mAP50 {:.4f}, mAP50:95 {:.4f}{}\n", epoch, map50, map50_95,
             best ? ", the best so far" : "");
  std::fflush(out_);
}

void Progress::note(const std::string& text) {
  if (out_ == nullptr) return;
  fmt::print(out_, "{}{}\n", line_open_ ? "\r\x1b[K" : "", text);
  std::fflush(out_);
  if (line_open_) draw();
}

void Progress::finish() {
  if (out_ == nullptr || !line_open_) return;
  draw();
  fmt::print(out_, "\n");
  std::fflush(out_);
  line_open_ = false;
}

}  // namespace rook
