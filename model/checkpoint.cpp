#include "model/checkpoint.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_reason.h"
#include "io/safetensors.h"
#include "kernels/float16.h"

namespace rook {
namespace {

constexpr const char* kFormat = "rook-checkpoint-2";
constexpr const char* kFirstFormat = "rook-checkpoint-1";  // the same without a digest
constexpr const char* kDigest = "digest";
constexpr const char* kEmaPrefix = "ema.";
constexpr const char* kOptimizerPrefix = "optimizer.";

// 64 bits that any one damaged byte changes: each word is mixed in by steps that can be undone. Against chance, not
// against somebody who means harm.
class Digest {
 public:
  void add(std::span<const std::byte> bytes) {
    mix(bytes.size());
    while (!bytes.empty()) {
      std::uint64_t word = 0;
      const std::size_t count = std::min(bytes.size(), sizeof word);
      std::memcpy(&word, bytes.data(), count);
      mix(word);
      bytes = bytes.subspan(count);
    }
  }
  void add(const std::string& text) { add(std::as_bytes(std::span(text))); }
  std::string text() const { return fmt::format("{:016x}", state_); }

 private:
  void mix(std::uint64_t word) { state_ = std::rotl(state_ ^ word, 29) * 0x9e3779b97f4a7c15u; }
  std::uint64_t state_ = 0;
};

// Of all metadata but itself, and of all arrays.
std::string digest_of(const io::SafeTensors& file) {
  Digest digest;
  for (const auto& [key, value] : file.metadata) {
    if (key == kDigest) continue;
    digest.add(key);
    digest.add(value);
  }
  for (const auto& [name, tensor] : file.tensors) {
    digest.add(name);
    digest.add(tensor.dtype);
    digest.add(std::as_bytes(std::span(tensor.shape)));
    digest.add(tensor.bytes);
  }
  return digest.text();
}

void add_f16(io::SafeTensors& file, const std::string& name, const std::vector<std::int64_t>& shape,
             std::span<const float> values) {
  std::vector<std::uint16_t> halves;
  halves.reserve(values.size());
  for (const float value : values) {
    halves.push_back(float_to_f16(value));
    if (!std::isfinite(f16_to_float(halves.back())))
      throw Error(fmt::format("{}: {} holds {}, which f16 cannot; store it as f32", file.file, name, value));
  }
  const auto bytes = std::as_bytes(std::span(halves));
  file.tensors.insert_or_assign(name, io::SafeTensor{"F16", shape, {bytes.begin(), bytes.end()}});
}

// `half`: the weights of convolutions as f16. What there is one of per channel is little, and f16 is too coarse for
// variances.
void add_arrays(io::SafeTensors& file, const std::string& prefix, const Params& layout, std::span<const float> values,
                bool half) {
  if (static_cast<std::int64_t>(values.size()) != layout.total())
    throw Error("checkpoint: the arrays do not belong to this network");
  for (const Param& param : layout.all()) {
    const auto part = values.subspan(param.offset, static_cast<std::size_t>(param.spec.count()));
    if (half && param.spec.role == ParamRole::weights)
      add_f16(file, prefix + param.name, param.spec.shape, part);
    else
      file.add_f32(prefix + param.name, param.spec.shape, part);
  }
}

void copy_f16(const io::SafeTensor& tensor, std::span<float> to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, tensor.bytes.data() + i * sizeof half, sizeof half);
    to[i] = f16_to_float(half);
  }
}

std::vector<float> take_arrays(const io::SafeTensors& file, const std::string& prefix, const Params& layout) {
  std::vector<float> values(static_cast<std::size_t>(layout.total()));
  for (const Param& param : layout.all()) {
    const io::SafeTensor& tensor = file.at(prefix + param.name);
    const bool half = tensor.dtype == "F16" && param.spec.role == ParamRole::weights;
    if (tensor.dtype != "F32" && !half)
      throw Error(fmt::format("{}: {}{} is {}; checkpoints hold F32, or F16 for the weights of convolutions", file.file,
                              prefix, param.name, tensor.dtype));
    if (tensor.shape != param.spec.shape)
      throw Error(
          fmt::format("{}: {}{} has another shape than the network in its own cfg", file.file, prefix, param.name));
    const auto to = std::span(values).subspan(param.offset, static_cast<std::size_t>(param.spec.count()));
    if (half)
      copy_f16(tensor, to);
    else
      std::ranges::copy(tensor.f32(), to.begin());
  }
  return values;
}

std::string metadata(const io::SafeTensors& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end())
    throw Error(fmt::format("{}: is not a rook checkpoint: '{}' is missing from its metadata", file.file, key));
  return found->second;
}

nlohmann::json parse_json(const io::SafeTensors& file, const std::string& key) {
  try {
    return nlohmann::json::parse(metadata(file, key));
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: '{}' in its metadata is not valid JSON: {}", file.file, key, json_reason(error)));
  }
}

// Lenient: whoever trained with this cfg has accepted what it warns of.
io::Cfg parse_own_cfg(const Checkpoint& checkpoint, const std::string& file) {
  return io::parse_cfg(checkpoint.cfg, file, {.lenient = true});
}

// JSON is UTF-8: what is not (a class named in Latin-1) is replaced by U+FFFD rather than lost with the whole run.
std::string to_json_text(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

io::DarknetHeader header_from_json(const nlohmann::json& json, const std::string& file) {
  try {
    return {.major = json.at("major").get<std::int32_t>(),
            .minor = json.at("minor").get<std::int32_t>(),
            .revision = json.at("revision").get<std::int32_t>(),
            .seen = json.at("seen").get<std::uint64_t>(),
            .bytes = json.at("bytes").get<int>()};
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: the darknet header in its metadata cannot be read: {}", file, json_reason(error)));
  }
}

std::string to_utf8(const std::string& text) {
  return nlohmann::json::parse(to_json_text(text)).get<std::string>();
}

}  // namespace

namespace {

io::SafeTensors to_file(const std::string& name, const Network& network, const Params& layout,
                        const Checkpoint& checkpoint) {
  io::SafeTensors file;
  file.file = name;
  file.metadata = {{"format", kFormat},
                   {"cfg", to_utf8(network.cfg.to_text())},
                   {"cfg_name", to_utf8(network.cfg.name)},
                   {"names", to_json_text(checkpoint.names)},
                   {"resize", name_of(checkpoint.preprocess.resampling)},
                   {"fit", name_of(checkpoint.preprocess.fit)},
                   {"state", to_json_text(checkpoint.state)}};
  if (!checkpoint.note.empty()) file.metadata["note"] = to_utf8(checkpoint.note);
  add_arrays(file, "", layout, checkpoint.values, checkpoint.half);
  if (!checkpoint.ema.empty()) add_arrays(file, kEmaPrefix, layout, checkpoint.ema, checkpoint.half);
  for (const auto& [array, values] : checkpoint.optimizer)
    file.add_f32(kOptimizerPrefix + array, {static_cast<std::int64_t>(values.size())}, values);
  file.metadata[kDigest] = digest_of(file);
  return file;
}

Checkpoint from_file(const io::SafeTensors& file) {
  const std::string format = metadata(file, "format");
  if (format != kFormat && format != kFirstFormat)
    throw Error(fmt::format("{}: format '{}' is not known to this version of rook", file.file, format));
  if (format == kFormat && metadata(file, kDigest) != digest_of(file))
    throw Error(
        fmt::format("{}: is damaged: it is not what was written (its digest differs); copy it again", file.file));
  Checkpoint checkpoint;
  checkpoint.cfg = metadata(file, "cfg");
  checkpoint.cfg_name = metadata(file, "cfg_name");
  try {
    checkpoint.names = parse_json(file, "names").get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception&) {
    throw Error(fmt::format("{}: 'names' in its metadata is not a list of names", file.file));
  }
  checkpoint.preprocess = {.resampling = resampling_from_name(metadata(file, "resize")),
                           .fit = fit_from_name(metadata(file, "fit"))};
  checkpoint.state = parse_json(file, "state");
  if (const auto note = file.metadata.find("note"); note != file.metadata.end()) checkpoint.note = note->second;
  const auto network = build_network(parse_own_cfg(checkpoint, file.file));
  const Params layout(network->graph);
  checkpoint.values = take_arrays(file, "", layout);
  checkpoint.half = std::any_of(file.tensors.begin(), file.tensors.end(),
                                [](const auto& entry) { return entry.second.dtype == "F16"; });
  const bool has_ema = std::any_of(file.tensors.begin(), file.tensors.end(),
                                   [](const auto& entry) { return entry.first.starts_with(kEmaPrefix); });
  if (has_ema) checkpoint.ema = take_arrays(file, kEmaPrefix, layout);
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.starts_with(kOptimizerPrefix)) continue;
    const auto from = tensor.f32();
    checkpoint.optimizer.emplace_back(name.substr(std::string(kOptimizerPrefix).size()),
                                      std::vector<float>(from.begin(), from.end()));
  }
  return checkpoint;
}

}  // namespace

std::vector<std::byte> checkpoint_bytes(const std::string& name, const Network& network, const Params& layout,
                                        const Checkpoint& checkpoint) {
  return io::safetensors_bytes(to_file(name, network, layout, checkpoint), name);
}

void write_checkpoint(const std::filesystem::path& file, const Network& network, const Params& layout,
                      const Checkpoint& checkpoint) {
  io::write_safetensors(file, to_file(file.string(), network, layout, checkpoint));
}

Checkpoint read_checkpoint(const std::filesystem::path& file) {
  return from_file(io::read_safetensors(file));
}

Checkpoint parse_checkpoint(std::span<const std::byte> bytes, const std::string& name) {
  return from_file(io::parse_safetensors(bytes, name));
}

nlohmann::json to_json(const io::DarknetHeader& header) {
  return {{"major", header.major},
          {"minor", header.minor},
          {"revision", header.revision},
          {"seen", header.seen},
          {"bytes", header.bytes}};
}

bool holds_training(const Checkpoint& checkpoint) {
  if (!checkpoint.state.is_object()) return false;
  const auto config = checkpoint.state.find("config");
  return config != checkpoint.state.end() && config->is_object() && config->contains("recipe");
}

Model to_model(const Checkpoint& checkpoint, const std::string& source, bool live) {
  io::Cfg cfg = parse_own_cfg(checkpoint, source);
  cfg.name = checkpoint.cfg_name;
  Model model;
  model.network = build_network(cfg);
  model.params = std::make_unique<Params>(model.network->graph);
  const std::vector<float>& values = checkpoint.ema.empty() || live ? checkpoint.values : checkpoint.ema;
  std::copy(values.begin(), values.end(), model.params->values().begin());
  model.names = checkpoint.names;
  if (static_cast<int>(model.names.size()) != model.network->classes())
    throw Error(
        fmt::format("{}: has {} class names for {} classes", source, model.names.size(), model.network->classes()));
  model.preprocess = checkpoint.preprocess;
  model.source = source;
  // What was trained at another size than the cfg's (--size) knows objects and anchors at that one.
  const auto config = checkpoint.state.is_object() ? checkpoint.state.find("config") : checkpoint.state.end();
  if (config != checkpoint.state.end() && config->is_object()) {
    const auto side = [&](const char* key, int otherwise) {
      const auto found = config->find(key);
      return found != config->end() && found->is_number_integer() && *found > 0 ? found->get<int>() : otherwise;
    };
    model.network->width = side("width", model.network->width);
    model.network->height = side("height", model.network->height);
  }
  if (checkpoint.state.is_object() && checkpoint.state.contains("darknet"))
    model.header = header_from_json(checkpoint.state["darknet"], source);
  return model;
}

}  // namespace rook
