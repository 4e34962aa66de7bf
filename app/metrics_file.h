// metrics.jsonl of a run folder.
#pragma once

#include <fmt/format.h>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "io/atomic_file.h"
#include "model/report_html.h"

namespace rook::app {

// Lines of metrics.jsonl, each written whole.
class MetricsFile {
 public:
  // Goes on behind the lines up to `iteration`; what a killed run wrote after its last checkpoint is done again.
  MetricsFile(const std::filesystem::path& file, std::int64_t iteration) {
    std::string kept;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
      const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
      if (json.is_object() && number_of(json, "iteration").value_or(0) <= static_cast<double>(iteration))
        kept += line + "\n";
    }
    io::write_file_atomically(file, kept);
    file_ = std::fopen(file.c_str(), "a");
    if (!file_) throw Error(fmt::format("{}: cannot be written", file.string()));
  }
  ~MetricsFile() { std::fclose(file_); }
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  void write(const nlohmann::json& line) {
    std::fputs((line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n").c_str(), file_);
    std::fflush(file_);
  }

 private:
  std::FILE* file_ = nullptr;
};

}  // namespace rook::app
