// What a terminal shows in the end, and what a log holds.
#include "model/progress.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace rook::test {
namespace {

// A file in memory.
class Memory {
 public:
  Memory() : file_(open_memstream(&data_, &size_)) { REQUIRE(file_ != nullptr); }
  ~Memory() {
    std::fclose(file_);
    std::free(data_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::FILE* file() { return file_; }
  std::string text() {
    std::fflush(file_);
    return {data_, size_};
  }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* file_;
};

// The lines a terminal of endless width shows; `widest` is the longest it ever showed.
struct Screen {
  std::vector<std::string> lines = {""};
  std::size_t column = 0, widest = 0, redraws = 0;

  explicit Screen(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') {
        lines.emplace_back();
        column = 0;
      } else if (text[i] == '\r') {
        column = 0;
        ++redraws;
      } else if (text.substr(i, 3) == "\x1b[K") {
        lines.back().resize(column);
        i += 2;
      } else {
        lines.back().resize(std::max(lines.back().size(), column + 1), ' ');
        lines.back()[column++] = text[i];
        widest = std::max(widest, column);
      }
    }
  }
};

ProgressStep step_at(std::int64_t iteration) {
  return {.iteration = iteration,
          .iterations = 200,
          .epoch = static_cast<double>(iteration) / 20,
          .epochs = 10,
          .loss = 123.456 / static_cast<double>(iteration),
          .box = 0.5,
          .objectness = 0.25,
          .classes = 0.125,
          .images = 40,
          .seconds = 0.5};
}

// A progress whose clock stands where the test puts it.
struct Watched {
  double now = 0;
  Progress progress;

  Watched(std::FILE* out, bool terminal, int columns = 80) : progress(out, terminal, columns, [this] { return now; }) {}
  void step(std::int64_t iteration, double at) {
    now = at;
    progress.step(step_at(iteration));
  }
};

}  // namespace

TEST_CASE("progress: a terminal shows one line, written over") {
  Memory memory;
  {
    Watched watched(memory.file(), true, 120);
    for (int i = 1; i <= 100; ++i) watched.step(i, i);
    watched.progress.evaluated(5, 0.8765, 0.6, true);
  }
  const Screen screen(memory.text());
  REQUIRE(screen.lines.size() == 2);
  // 100 iterations are left, one a second.
  CHECK(screen.lines[0] == "epoch 5.0/10  loss 1.23 (box 0.5 obj 0.25 cls 0.125)  mAP50 0.876  1:40 left  80 img/s");
  CHECK(screen.lines[1].empty());
}

TEST_CASE("progress: epochs to a tenth") {
  for (const auto& [epochs, shown] : {std::pair{230 / 25.5, "0.1/9 "}, {2.5, "0.1/2.5 "}, {1500.0, "0.1/1500 "}}) {
    Memory memory;
    {
      Watched watched(memory.file(), true, 120);
      ProgressStep step = step_at(1);
      step.epochs = epochs;
      watched.progress.step(step);
    }
    CHECK(Screen(memory.text()).lines[0].starts_with(std::string("epoch ") + shown));
  }
}

TEST_CASE("progress: never wider than the terminal, whatever the numbers") {
  for (const int columns : {20, 33, 47, 60, 79, 80, 200}) {
    Memory memory;
    {
      Watched watched(memory.file(), true, columns);
      ProgressStep step = step_at(1);
      watched.progress.step(step);
      for (const double value : {1e300, -1e-300, std::numeric_limits<double>::quiet_NaN(), 0.0}) {
        step.iteration += 1;
        watched.now += 1e6;
        step.loss = step.box = step.objectness = step.classes = step.seconds = value;
        step.epochs = 1e7;
        watched.progress.step(step);
        watched.progress.evaluated(1, value, value, false);
      }
    }
    const Screen screen(memory.text());
    CHECK(screen.widest < static_cast<std::size_t>(columns));
    CHECK(screen.lines.size() == 2);
    CHECK(screen.lines[0].starts_with("epoch 0.1/1e+07"));
  }
}

TEST_CASE("progress: at most ten times a second on a terminal") {
  Memory memory;
  Watched watched(memory.file(), true);
  for (int i = 1; i < 200; ++i) watched.step(i, i * 0.015625);  // 64 a second, for 3.1 seconds
  const Screen screen(memory.text());
  CHECK(screen.redraws <= 32);
  CHECK(screen.redraws >= 25);
}

TEST_CASE("progress: notes stand above the line") {
  Memory memory;
  {
    Watched watched(memory.file(), true);
    watched.progress.note("starts");
    watched.step(1, 1);
    watched.progress.note("a remark");
    watched.step(2, 2);
    watched.progress.finish();
    watched.progress.note("done");
  }
  const Screen screen(memory.text());
  REQUIRE(screen.lines.size() == 5);
  CHECK(screen.lines[0] == "starts");
  CHECK(screen.lines[1] == "a remark");
  CHECK(screen.lines[2].starts_with("epoch 0.1/10"));
  CHECK(screen.lines[3] == "done");
}

TEST_CASE("progress: a log has a line every five seconds, one at the end, and the evaluations") {
  Memory memory;
  {
    Watched watched(memory.file(), false);
    for (int i = 1; i <= 200; ++i) {
      watched.step(i, i * 0.25);
      if (i == 100) watched.progress.evaluated(5, 0.5, 0.25, true);
    }
    watched.progress.note("done");
  }
  const std::string text = memory.text();
  CHECK(text.find('\r') == std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  const Screen screen(text);
  // Iterations 1, 21, ..., 181 and 200, the evaluation, the note, and the end of the last line.
  REQUIRE(screen.lines.size() == 14);
  CHECK(screen.lines[0].starts_with("iteration 1/200  epoch 0.1/10  loss 123 "));
  CHECK(screen.lines[1].starts_with("iteration 21/200  "));
  CHECK(screen.lines[1].find("0:45 left") != std::string::npos);  // 179 of them at 0.25 s
  CHECK(screen.lines[5] == "epoch 5.0: mAP50 0.5000, mAP50:95 0.2500, the best so far");
  CHECK(screen.lines[11].starts_with("iteration 200/200  "));
  CHECK(screen.lines[12] == "done");
}

TEST_CASE("progress: nothing to write to, nothing to say") {
  Watched nowhere(nullptr, true);
  nowhere.step(1, 1);
  nowhere.progress.evaluated(1, 0.5, 0.5, false);
  nowhere.progress.note("unheard");
  Memory memory;
  { const Watched silent(memory.file(), true); }
  CHECK(memory.text().empty());
}

TEST_CASE("progress: durations") {
  CHECK(clock_text(0) == "0:00");
  CHECK(clock_text(59.6) == "1:00");
  CHECK(clock_text(725) == "12:05");
  CHECK(clock_text(5025) == "1:23:45");
  CHECK(clock_text(-1) == "-");
  CHECK(clock_text(std::numeric_limits<double>::quiet_NaN()) == "-");
  CHECK(clock_text(1e300) == "-");
}

}  // namespace rook::test
