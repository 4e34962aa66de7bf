// The file in which `rook tune` keeps what it measured, per device and versions of the libraries: JSON. Every command
// reads it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/conv_table.h"

namespace rook {

// Where and with what something was measured. Times of another device say nothing, and those of other versions, rows or
// numbers of threads little.
struct ConvCacheKey {
  std::string device;    // "cuda: NVIDIA H100 ...", "cpu: AMD EPYC ..., 16 threads"
  std::string versions;  // of rook, of the libraries, and the rows there were
  bool operator==(const ConvCacheKey&) const = default;
};
ConvCacheKey conv_cache_key(const Backend& backend);

struct MeasuredRow {
  std::string row;
  double ms = 0;
  bool operator==(const MeasuredRow&) const = default;
};
struct MeasuredConv {
  ConvProblem problem;
  std::vector<MeasuredRow> rows;  // in order of preference
  bool operator==(const MeasuredConv&) const = default;
};

// $XDG_CACHE_HOME/rook/convolutions.json, else ~/.cache/rook/convolutions.json; empty where neither is known.
std::filesystem::path default_conv_cache();

// $ROOK_CONV_CACHE, else the default; empty where that says "none".
std::filesystem::path chosen_conv_cache();

struct LoadedConvs {
  std::shared_ptr<const TunedConvs> tuned;  // null: nothing that fits
  std::string warning;                      // one line: why the file, or what it has of this device, is ignored
};
// Of a file that may be missing, damaged or out of date.
LoadedConvs load_conv_cache(const std::filesystem::path& file, const ConvCacheKey& key);

// Puts `measured` in place of what the file has of the same key and problems, and keeps the rest; a damaged file is
// replaced. Makes the folder. The file is whole at any time.
void save_conv_cache(const std::filesystem::path& file, const ConvCacheKey& key,
                     const std::vector<MeasuredConv>& measured);

// The processor, as Linux names it, "AMD EPYC (family 25, model 17)": of a machine in a cloud the name alone says
// little.
std::string processor_name();

}  // namespace rook
