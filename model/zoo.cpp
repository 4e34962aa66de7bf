#include "model/zoo.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <filesystem>

#include "base/error.h"

namespace rook {

io::Cfg find_cfg(const std::string& name, const io::CfgOptions& options) {
  if (std::filesystem::is_regular_file(name)) return io::read_cfg(name, options);
  std::vector<std::string> names;
  for (const ZooEntry& entry : zoo()) {
    if (entry.name == name) return io::parse_cfg(entry.text, fmt::format("{}.cfg", name), options);
    names.emplace_back(entry.name);
  }
  const auto near = io::did_you_mean(name, names);
  throw Error(fmt::format("network '{}' is neither a cfg file nor one of ours ({}){}", name, fmt::join(names, ", "),
                          near ? fmt::format("; did you mean {}?", *near) : ""));
}

}  // namespace rook
