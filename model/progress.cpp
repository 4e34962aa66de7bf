#include "model/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace rook {
namespace {

constexpr double kRedrawSeconds = 0.1, kPlainSeconds = 5;

// Time left at the pace since the first step that was seen: a resumed run does not start at iteration 0.
std::optional<double> seconds_left(const ProgressStep& first, const ProgressStep& now) {
  const auto done = static_cast<double>(now.iteration - first.iteration);
  const auto left = static_cast<double>(now.iterations - now.iteration);
  if (!(done > 0) || left < 0) return std::nullopt;
  return (now.seconds - first.seconds) / done * left;
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

Progress::Progress(std::FILE* out, bool terminal, int columns)
    : out_(out), terminal_(terminal), columns_(static_cast<std::size_t>(std::max(columns, 20))) {}

Progress::~Progress() {
  finish();
}

Progress Progress::on_stderr() {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  winsize size{};
  const bool known = terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return {stderr, terminal, known ? size.ws_col : 80};
}

// As many of the parts, in the order of what one wants to know first, as fit.
std::string Progress::describe(const ProgressStep& step, std::size_t columns) const {
  std::vector<std::string> parts = {fmt::format("epoch {:.1f}/{:g}", step.epoch, step.epochs),
                                    fmt::format("loss {:.3g} (box {:.3g} obj {:.3g} cls {:.3g})", step.loss, step.box,
                                                step.objectness, step.classes)};
  if (map50_) parts.push_back(fmt::format("mAP50 {:.3f}", *map50_));
  const std::optional<double> left = seconds_left(*first_, step);
  if (left) parts.push_back(clock_text(*left) + " left");
  parts.push_back(fmt::format("{:.0f} img/s", step.images_per_s));
  std::string line = parts[0].substr(0, columns);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (line.size() + 2 + parts[i].size() <= columns) line += "  " + parts[i];
  }
  return line;
}

void Progress::draw() {
  // One column stays free: some terminals wrap when the last one is written. \x1b[K clears to the end of the line.
  fmt::print(out_, "\r{}\x1b[K", describe(*last_, columns_ - 1));
  std::fflush(out_);
  drawn_at_ = last_->seconds;
  line_open_ = true;
}

void Progress::step(const ProgressStep& step) {
  if (out_ == nullptr) return;
  if (!first_) first_ = step;
  last_ = step;
  const double pause = terminal_ ? kRedrawSeconds : kPlainSeconds;
  const bool due = !drawn_at_ || step.seconds - *drawn_at_ >= pause || step.iteration >= step.iterations;
  if (!due) return;
  if (terminal_) {
    draw();
    return;
  }
  constexpr std::size_t kAnyWidth = 1000;
  fmt::print(out_, "iteration {}/{}  {}\n", step.iteration, step.iterations, describe(step, kAnyWidth));
  std::fflush(out_);
  drawn_at_ = step.seconds;
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
