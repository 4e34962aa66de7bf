// The parts of `rook data`: each adds its subcommands.
#pragma once

#include "app/common.h"
#include "io/store.h"

namespace rook::app {

void add_data_check(CLI::App& data);
void add_data_convert(CLI::App& data);
void add_data_anchors(CLI::App& data);
void add_data_sets(CLI::App& data);     // new, list, show, remove, verify
void add_data_add(CLI::App& data);      // add
void add_data_version(CLI::App& data);  // version
void add_data_diff(CLI::App& data);     // diff
void add_data_export(CLI::App& data);   // export

// --store, which every command about data sets has.
struct StoreOptions {
  std::string folder;
  void add(CLI::App& app);
  io::Store store() const { return io::Store(io::store_root(folder)); }
};

// --merge, --keep-unused, --missing-is-negative of check, convert and add.
void add_reading(CLI::App& app, DataOptions& options);

// "; 3 ignored regions (crowds, difficult objects) left out: yolo has no place for them"; empty where none is.
std::string left_out_text(const io::Dataset& dataset, const std::string& format);

// "416x416" -> width, height
std::pair<int, int> size_of(const std::string& text);

}  // namespace rook::app
