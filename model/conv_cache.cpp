#include "model/conv_cache.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.h"
#include "base/json_reason.h"
#include "io/atomic_file.h"
#include "io/file_reader.h"
#include "kernels/names.h"

namespace rook {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCacheFormat = "rook convolutions 1";
constexpr const char* kRookVersion = "rook 0.1.0";
constexpr std::array kDirections{ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad};

// The whole numbers of a problem under their names in the file.
struct Number {
  const char* name;
  int& value;
};
std::array<Number, 13> numbers_of(ConvProblem& p) {
  ConvGeometry& g = p.geometry;
  return {{{"n", p.n},
           {"h", p.h},
           {"w", p.w},
           {"c", g.c},
           {"k", g.k},
           {"r", g.r},
           {"s", g.s},
           {"stride_h", g.stride_h},
           {"stride_w", g.stride_w},
           {"pad_h", g.pad_h},
           {"pad_w", g.pad_w},
           {"dilation", g.dilation},
           {"groups", g.groups}}};
}

nlohmann::json to_json(const MeasuredConv& measured) {
  ConvProblem problem = measured.problem;
  nlohmann::json j = {{"direction", name_of(problem.direction)},
                      {"x", name_of(problem.x)},
                      {"y", name_of(problem.y)},
                      {"bias", problem.bias},
                      {"activation", name_of(problem.activation)},
                      {"rows", nlohmann::json::array()}};
  for (const Number& number : numbers_of(problem)) j[number.name] = number.value;
  for (const MeasuredRow& row : measured.rows) j["rows"].push_back({{"row", row.row}, {"ms", row.ms}});
  return j;
}

template <class T>
T known(const std::optional<T>& value, const char* what) {
  if (!value) throw Error(fmt::format("there is no such {}", what));
  return *value;
}

int whole_number(const nlohmann::json& j, const char* name, int least) {
  const std::int64_t value = j.is_number_integer() ? j.get<std::int64_t>() : -1;
  if (value < least || value > std::numeric_limits<int>::max()) throw Error(fmt::format("{} is {}", name, j.dump()));
  return static_cast<int>(value);
}

// Throws a json::exception or an Error.
MeasuredConv measured_from(const nlohmann::json& j) {
  MeasuredConv measured;
  ConvProblem& p = measured.problem;
  const auto direction = std::find_if(kDirections.begin(), kDirections.end(), [&](ConvDirection d) {
    return j.at("direction").get<std::string>() == name_of(d);
  });
  if (direction == kDirections.end()) throw Error("there is no such direction");
  p.direction = *direction;
  p.x = known(dtype_from_name(j.at("x").get<std::string>()), "type");
  p.y = known(dtype_from_name(j.at("y").get<std::string>()), "type");
  p.bias = j.at("bias").get<bool>();
  p.activation = known(activation_from_name(j.at("activation").get<std::string>()), "activation");
  for (const Number& number : numbers_of(p)) {
    const bool padding = std::string_view(number.name).starts_with("pad");
    number.value = whole_number(j.at(number.name), number.name, padding ? 0 : 1);
  }
  for (const nlohmann::json& row : j.at("rows")) {
    measured.rows.push_back({row.at("row").get<std::string>(), row.at("ms").get<double>()});
    if (!(measured.rows.back().ms > 0)) throw Error("a time is not above 0");
  }
  if (measured.rows.empty()) throw Error("a convolution has no rows");
  return measured;
}

struct Section {
  ConvCacheKey key;
  std::vector<MeasuredConv> convolutions;
};

// Nothing where there is no such file. Throws Error that says what is wrong with it.
std::vector<Section> read_sections(const fs::path& file) {
  std::vector<Section> sections;
  std::error_code code;
  if (!fs::exists(file, code)) return sections;
  if (!fs::is_regular_file(file, code)) throw Error("it is not a regular file");
  io::FileReader reader(file);
  std::string text(static_cast<std::size_t>(reader.size()), '\0');
  reader.read(std::as_writable_bytes(std::span(text)));
  try {
    const nlohmann::json j = nlohmann::json::parse(text);
    if (j.at("format").get<std::string>() != kCacheFormat)
      throw Error(fmt::format("its format is '{}' instead of '{}'", j.at("format").get<std::string>(), kCacheFormat));
    for (const nlohmann::json& device : j.at("devices")) {
      sections.push_back({{device.at("device").get<std::string>(), device.at("versions").get<std::string>()}, {}});
      for (const nlohmann::json& conv : device.at("convolutions"))
        sections.back().convolutions.push_back(measured_from(conv));
    }
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(fmt::format("it is no JSON, at byte {}", error.byte));
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("it lacks something ({})", json_reason(error)));
  }
  return sections;
}

}  // namespace

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::map<std::string, std::string> values;
  // Of the first processor: what it is stands in the lines up to an empty one.
  for (std::string line; std::getline(cpuinfo, line) && !line.empty();) {
    const std::size_t key = line.find_last_not_of(" \t", line.find(':') - 1), value = line.find(": ");
    if (key != std::string::npos && value != std::string::npos)
      values[line.substr(0, key + 1)] = line.substr(value + 2);
  }
  const std::string name = values.contains("model name") ? values["model name"] : "unknown processor";
  if (!values.contains("cpu family") || !values.contains("model")) return name;
  return fmt::format("{} (family {}, model {})", name, values["cpu family"], values["model"]);
}

ConvCacheKey conv_cache_key(const Backend& backend) {
  const std::string device = backend.device == Device::cuda
                                 ? backend.runtime->describe()
                                 : fmt::format("{}, {} threads", processor_name(), omp_get_max_threads());
  ConvCacheKey key{.device = fmt::format("{}: {}", backend.name, device), .versions = kRookVersion};
  std::string names;
  for (const ConvRow& row : backend.conv_rows()) {
    names += (names.empty() ? "" : " ") + std::string(row.name);
    if (row.version && !key.versions.ends_with(row.version())) key.versions += ", " + row.version();
  }
  key.versions += ", rows " + names;
  return key;
}

namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

fs::path default_conv_cache() {
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "rook" / "convolutions.json";
  if (const std::string home = variable("HOME"); !home.empty())
    return fs::path(home) / ".cache" / "rook" / "convolutions.json";
  return {};
}

fs::path chosen_conv_cache() {
  const std::string chosen = variable("ROOK_CONV_CACHE");
  return chosen.empty() ? default_conv_cache() : chosen == "none" ? fs::path() : fs::path(chosen);
}

LoadedConvs load_conv_cache(const fs::path& file, const ConvCacheKey& key) {
  LoadedConvs loaded;
  try {
    const std::vector<Section> sections = read_sections(file);
    for (const Section& section : sections) {
      if (section.key.device != key.device) continue;
      if (section.key.versions != key.versions) {
        loaded.warning = fmt::format("{}: was measured with {}; this is {}; its times are ignored, run rook tune again",
                                     file.string(), section.key.versions, key.versions);
        continue;
      }
      auto tuned = std::make_shared<TunedConvs>();
      for (const MeasuredConv& conv : section.convolutions) {
        std::vector<std::string>& names = (*tuned)[conv.problem];
        for (const MeasuredRow& row : conv.rows) names.push_back(row.row);
      }
      return {tuned, ""};
    }
  } catch (const Error& error) {
    loaded.warning = fmt::format("{}: is not what rook tune writes: {}; it is ignored, run rook tune again",
                                 file.string(), error.what());
  }
  return loaded;
}

void save_conv_cache(const fs::path& file, const ConvCacheKey& key, const std::vector<MeasuredConv>& measured) {
  std::vector<Section> sections;
  try {
    sections = read_sections(file);
  } catch (const Error&) {  // whoever reads it has been told
  }
  // Of this device only what these versions measured is of use.
  std::erase_if(sections,
                [&](const Section& s) { return s.key.device == key.device && s.key.versions != key.versions; });
  auto section = std::find_if(sections.begin(), sections.end(), [&](const Section& s) { return s.key == key; });
  if (section == sections.end()) section = sections.insert(sections.end(), {key, {}});
  for (const MeasuredConv& conv : measured) {
    std::erase_if(section->convolutions, [&](const MeasuredConv& old) { return old.problem == conv.problem; });
    section->convolutions.push_back(conv);
  }
  nlohmann::json devices = nlohmann::json::array();
  for (const Section& s : sections) {
    nlohmann::json convolutions = nlohmann::json::array();
    for (const MeasuredConv& conv : s.convolutions) convolutions.push_back(to_json(conv));
    devices.push_back({{"device", s.key.device}, {"versions", s.key.versions}, {"convolutions", convolutions}});
  }
  const std::string text = nlohmann::json{{"format", kCacheFormat}, {"devices", devices}}.dump(
                               1, ' ', false, nlohmann::json::error_handler_t::replace) +
                           "\n";
  if (file.has_parent_path()) {
    std::error_code code;
    fs::create_directories(file.parent_path(), code);
    if (code)
      throw Error(fmt::format("{}: the folder cannot be made: {}", file.parent_path().string(), code.message()));
  }
  io::write_file_atomically(file, text);
}

}  // namespace rook
