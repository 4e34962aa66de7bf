// rook data: look at labelled photos, check and convert them; data sets with versions.
#include "app/data/data.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "base/error.h"
#include "io/dataset_write.h"

namespace rook::app {

void StoreOptions::add(CLI::App& app) {
  app.add_option("--store", folder, "folder where the data sets live (default: $ROOK_DATA, else data)");
}

void add_reading(CLI::App& app, DataOptions& options) {
  app.add_option("--merge", options.merge, "join or rename a class, FROM=TO; may be repeated");
  app.add_flag("--keep-unused", options.keep_unused, "keep classes without any box");
  app.add_flag("--missing-is-negative", options.missing_is_negative, "a photo without a label file has nothing on it");
}

std::pair<int, int> size_of(const std::string& text) {
  int width = 0, height = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%dx%d%c", &width, &height, &rest) != 2 || width < 1 || height < 1 ||
      std::max(width, height) > 16384)
    throw UsageError(fmt::format("--resize {}: write WIDTHxHEIGHT in pixels, like 416x416", text));
  return {width, height};
}

std::string left_out_text(const io::Dataset& dataset, const std::string& format) {
  const std::int64_t count = io::regions_without_place(dataset, format);
  if (count == 0) return "";
  return fmt::format("; {} ignored region{} (crowds, difficult objects) left out: {} has no place for them", count,
                     count == 1 ? "" : "s", format);
}

void add_data(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "labelled photos: look at them, check, convert; data sets with versions");
  data->require_subcommand(1);
  add_data_check(*data);
  add_data_convert(*data);
  add_data_anchors(*data);
  add_data_sets(*data);
  add_data_add(*data);
  add_data_version(*data);
  add_data_diff(*data);
  add_data_export(*data);
  data->footer(
      "Examples:\n  rook data check photos --draw samples\n  rook data convert photos photos-yolo --format yolo\n"
      "  rook data new chess\n  rook data add chess photos\n  rook data version chess --resize 416x416 --stretch\n"
      "  rook train --data chess/v1");
}

}  // namespace rook::app
