// The program as a user runs it: ROOK_PROGRAM on small data made here.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "io/dataset_write.h"
#include "tests/io/picture_support.h"
#include "tests/model/photos.h"
#include "tests/model/tiny.h"
#include "tests/process.h"

namespace rook::test {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

inline std::string joined(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

inline Words command_of(const Words& arguments) {
  const char* program = std::getenv("ROOK_PROGRAM");
  REQUIRE_MESSAGE((program && *program), "set ROOK_PROGRAM to the program, as ctest does");
  Words command{program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

// Threads that spin while they wait would stand in each other's way where several programs run.
inline const Words kQuietThreads{"OMP_WAIT_POLICY=passive"};

struct Output {
  int status = 0;
  std::string out, err;
};

// Without the line that a rook built for GPUs prints where there is none.
inline std::string without_device(const std::string& err) {
  const std::size_t end = err.find("computing on the CPU (--device cpu)\n");
  return end == std::string::npos || err.find('\n') < end ? err : err.substr(err.find('\n') + 1);
}

inline Output run_program(const Words& arguments) {
  const TempFolder folder;
  Child child(folder / ".", command_of(arguments), kQuietThreads);
  const int status = child.wait();
  return {status, child.out(), without_device(child.err())};
}

// What must work: its standard output.
inline std::string output_of(const Words& arguments) {
  const Output output = run_program(arguments);
  std::string line;
  for (const std::string& word : arguments) line += " " + word;
  REQUIRE_MESSAGE(output.status == 0, "rook", line, ": ", output.err);
  return output.out;
}

inline void append_text(const fs::path& file, std::string_view text) {
  ByteVector bytes = fs::exists(file) ? load(file) : ByteVector();
  add(bytes, text);
  save(file, bytes);
}

inline bool shows(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

// A failure: status 1 (2: bad usage), one line that starts with the program's name and says `what`.
inline void check_failure(const Words& arguments, const std::string& what, int status = 1) {
  const Output output = run_program(arguments);
  INFO("rook ", joined(arguments), "\n", output.err);
  CHECK(output.status == status);
  CHECK(output.err.starts_with("rook: "));
  CHECK(output.err.find('\n') == output.err.size() - 1);
  CHECK(shows(output.err, what));
}

// What must work and report JSON.
inline nlohmann::json json_of(Words words) {
  words.insert(words.end(), {"--json", "-"});
  const nlohmann::json json = nlohmann::json::parse(output_of(words), nullptr, false);
  REQUIRE_MESSAGE(!json.is_discarded(), "standard output is JSON and nothing else");
  return json;
}

using Keys = std::set<std::string>;

inline std::set<std::string> keys_of(const nlohmann::json& json) {
  std::set<std::string> keys;
  for (const auto& item : json.items()) keys.insert(item.key());
  return keys;
}

// A data set of small photos in YOLO's form: train 12, valid 6, test 4.
inline void write_photo_data(const fs::path& folder) {
  const TempFolder photos;
  io::Dataset dataset{.root = {}, .format = "yolo", .classes = kPhotoClasses, .splits = {}, .faults = {}};
  for (const auto& [name, count, seed] : {std::tuple{"train", 12, 1}, {"valid", 6, 2}, {"test", 4, 3}}) {
    dataset.splits.push_back(write_photos(photos / name, count, 64, static_cast<std::uint64_t>(seed)));
    dataset.splits.back().name = name;
  }
  io::write_dataset(dataset, folder, "yolo");
}

inline Words train_words(const fs::path& data, const fs::path& run, const std::string& epochs) {
  return {"train", "--data",   data.string(), "--arch", "rook-nano",  "--size",       "64", "--batch",     "4",  "--lr",
          "0.003", "--epochs", epochs,        "--out",  run.string(), "--eval-every", "2",  "--precision", "f32"};
}

// The data set and a run on it, made once for all tests.
struct TinyRun {
  TinyRun() {
    write_photo_data(data);
    training = output_of(train_words(data, run, "20"));
  }
  TempFolder folder;
  fs::path data = folder / "data", run = folder / "run";
  std::string training;
};

inline const TinyRun& tiny_run() {
  static const TinyRun made;
  return made;
}

}  // namespace rook::test
