// How a run is doing, for someone who watches: one line on a terminal that is written over, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

namespace rook {

struct ProgressStep {
  std::int64_t iteration = 0, iterations = 0;
  double epoch = 0, epochs = 0;
  double loss = 0, box = 0, objectness = 0, classes = 0;
  int images = 0;      // of this step
  double seconds = 0;  // that it took
};

class Progress {
 public:
  using Clock = std::function<double()>;  // seconds since any moment, never falling

  // For standard error as it is: terminal or not, its width.
  Progress();
  // `terminal`: the line is written over, at most ten times a second, and cut to `columns`. Otherwise a line every five
  // seconds, and one at the last iteration. `out` must outlive the object; nothing is written if it is null.
  Progress(std::FILE* out, bool terminal, int columns, Clock clock);
  // Ends the line that stands on a terminal.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(const ProgressStep& step);
  // The figures of an evaluation: a plain line, or part of the terminal's line from now on.
  void evaluated(double epoch, double map50, double map50_95, bool best);
  // A line of its own, above the one that is written over.
  void note(const std::string& text);
  // Leaves the last state standing and starts a new line. Done by the destructor if not before.
  void finish();

 private:
  std::string describe(std::size_t columns) const;
  void draw();

  std::FILE* out_;
  bool terminal_;
  std::size_t columns_;
  Clock clock_;
  std::optional<ProgressStep> last_;
  std::int64_t first_iteration_ = 0;  // seen, and when
  double first_at_ = 0, last_at_ = 0, shown_at_ = 0;
  double images_per_s_ = 0;  // of the steps between the last two lines
  double pending_images_ = 0, pending_seconds_ = 0;
  std::optional<double> map50_;
  bool line_open_ = false;
};

// "1:23:45", "12:05"; "-" for what is no duration.
std::string clock_text(double seconds);

}  // namespace rook
