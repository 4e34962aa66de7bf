// How a run is doing, for someone who watches: one line on a terminal that is written over, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace rook {

struct ProgressStep {
  std::int64_t iteration = 0, iterations = 0;
  double epoch = 0, epochs = 0;
  double loss = 0, box = 0, objectness = 0, classes = 0;
  double images_per_s = 0;
  double seconds = 0;  // since the start of the run, never falling
};

class Progress {
 public:
  // `terminal`: the line is written over, at most ten times a second, and cut to `columns`. Otherwise a line every five
  // seconds, and one at the last iteration. `out` must outlive the object; nothing is written if it is null.
  Progress(std::FILE* out, bool terminal, int columns = 80);
  // Ends the line that stands on a terminal.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // For standard error as it is: terminal or not, its width.
  static Progress on_stderr();

  void step(const ProgressStep& step);
  // The figures of an evaluation: a plain line, or part of the terminal's line from now on.
  void evaluated(double epoch, double map50, double map50_95, bool best);
  // A line of its own, above the one that is written over.
  void note(const std::string& text);
  // Leaves the last state standing and starts a new line. Done by the destructor if not before.
  void finish();

 private:
  std::string describe(const ProgressStep& step, std::size_t columns) const;
  void draw();

  std::FILE* out_;
  bool terminal_;
  std::size_t columns_;
  std::optional<ProgressStep> first_, last_;
  std::optional<double> drawn_at_;  // seconds of the step that was shown last
  std::optional<double> map50_;
  bool line_open_ = false;
};

// "1:23:45", "12:05"; "-" for what is no duration.
std::string clock_text(double seconds);

}  // namespace rook
