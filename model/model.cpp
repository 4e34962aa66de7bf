#include "model/model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/darknet_import.h"
#include "model/zoo.h"

namespace fs = std::filesystem;

namespace rook {
namespace {

std::vector<std::string> numbered_names(int classes) {
  std::vector<std::string> names;
  for (int i = 0; i < classes; ++i) names.push_back(fmt::format("class_{}", i));
  return names;
}

// The checkpoint of a run folder or the file itself; empty when it is neither.
fs::path checkpoint_of(const std::string& what) {
  if (fs::is_directory(what)) {
    for (const char* name : {"best.safetensors", "last.safetensors"})
      if (fs::is_regular_file(fs::path(what) / name)) return fs::path(what) / name;
    throw Error(
        fmt::format("{}: is a folder without best.safetensors or last.safetensors, so not a run of rook", what));
  }
  if (what.ends_with(".safetensors")) {
    if (!fs::is_regular_file(what)) throw Error(fmt::format("{}: there is no such checkpoint", what));
    return what;
  }
  return {};
}

bool is_partial(const fs::path& file) {
  return file.filename().string().find(".conv.") != std::string::npos;
}

Model load_darknet(const std::string& network, const std::string& file, const LoadOptions& options) {
  io::Cfg cfg = find_cfg(network, {.lenient = options.lenient});
  if (options.bn_eps > 0) cfg.sections.front().set("bn_eps", fmt::format("{}", options.bn_eps));
  Model model = make_model(cfg, {}, 0);
  const io::DarknetWeights weights = io::read_darknet_weights(file);
  const ImportReport report = import_darknet(*model.network, *model.params, weights);
  if (report.kind != ImportKind::exact)
    throw Error(fmt::format("{}: {}; such weights can start a training (`rook train --from {}`) but not detect", file,
                            report.text(), file));
  model.source = file;
  // Otherwise the import has read the header in the other size.
  if (static_cast<std::int64_t>(weights.payload.size()) == model.params->total()) model.header = weights.header;
  model.preprocess.fit = model.network->letter_box ? Fit::letterbox : Fit::stretch;
  return model;
}

}  // namespace

std::vector<std::string> read_names(const fs::path& file) {
  std::ifstream in(file);
  if (!in)
    throw Error(fmt::format("{}: cannot be opened; --names takes a file with one class name per line", file.string()));
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.pop_back();
    names.push_back(line);
  }
  while (!names.empty() && names.back().empty()) names.pop_back();
  const auto blank = std::find(names.begin(), names.end(), "");
  if (blank != names.end())
    throw Error(fmt::format("{}:{}: a class name is blank", file.string(), blank - names.begin() + 1));
  if (names.empty()) throw Error(fmt::format("{}: holds no class names", file.string()));
  return names;
}

Model make_model(const io::Cfg& cfg, std::vector<std::string> names, std::uint64_t seed) {
  Model model;
  model.network = build_network(cfg);
  model.params = std::make_unique<Params>(model.network->graph);
  model.params->initialise(seed);
  model.names = names.empty() ? numbered_names(model.network->classes()) : std::move(names);
  model.source = cfg.name;
  return model;
}

Model load_model(const std::string& what, const LoadOptions& options) {
  Model model;
  if (const fs::path checkpoint = checkpoint_of(what); !checkpoint.empty()) {
    model = to_model(read_checkpoint(checkpoint), checkpoint.string(), options.live);
  } else if (const std::size_t colon = what.rfind(':'); colon != std::string::npos && colon + 1 < what.size()) {
    model = load_darknet(what.substr(0, colon), what.substr(colon + 1), options);
  } else {
    throw Error(
        fmt::format("model '{}' is not a run folder, a checkpoint (.safetensors), or NETWORK.cfg:FILE.weights", what));
  }
  if (!options.names_file.empty()) model.names = read_names(options.names_file);
  if (static_cast<int>(model.names.size()) != model.network->classes())
    throw Error(fmt::format("{}: has {} class names, {} has {} classes", options.names_file, model.names.size(),
                            model.source, model.network->classes()));
  return model;
}

namespace {

// Copies from another network what has the same name and shape.
StartReport copy_matching(Model& model, const Params& from, const Network& from_network) {
  StartReport report;
  std::vector<bool> fresh(static_cast<std::size_t>(model.network->graph.size()), false);
  std::vector<bool> has(fresh.size(), false);
  const auto shape_text = [](const ParamSpec& spec) { return fmt::format("{}", fmt::join(spec.shape, "x")); };
  for (const Param& param : model.params->all()) {
    has[param.node] = true;
    const Param* source = param.node < from_network.graph.size() ? from.find(param.node, param.spec.role) : nullptr;
    if (source && source->spec.shape == param.spec.shape) continue;
    if (!fresh[param.node])
      report.fresh.push_back(fmt::format("{}: {} {} here, {} there", model.network->graph.nodes()[param.node].name,
                                         name_of(param.spec.role), shape_text(param.spec),
                                         source ? shape_text(source->spec) : "nothing"));
    if (!fresh[param.node]) report.fresh_nodes.push_back(param.node);
    fresh[param.node] = true;
  }
  for (const Param& param : model.params->all()) {
    if (fresh[param.node]) continue;
    const auto source = from.value(*from.find(param.node, param.spec.role));
    std::copy(source.begin(), source.end(), model.params->value(param).begin());
  }
  report.loaded =
      static_cast<int>(std::count(has.begin(), has.end(), true) - std::count(fresh.begin(), fresh.end(), true));
  return report;
}

StartReport start_from_darknet(Model& model, const std::string& from) {
  const ImportReport imported = import_darknet(*model.network, *model.params, io::read_darknet_weights(from));
  StartReport report;
  std::vector<int> with_params;
  for (const Param& param : model.params->all())
    if (with_params.empty() || with_params.back() != param.node) with_params.push_back(param.node);
  std::sort(with_params.begin(), with_params.end());
  with_params.erase(std::unique(with_params.begin(), with_params.end()), with_params.end());
  report.loaded = static_cast<int>(with_params.size() - imported.skipped.size());
  report.fresh_nodes = imported.skipped;
  for (const int layer : imported.skipped)
    report.fresh.push_back(fmt::format("{}: {}", model.network->graph.nodes()[layer].name,
                                       imported.kind == ImportKind::partial
                                           ? "not in the file"
                                           : fmt::format("{} classes there", imported.file_classes)));
  return report;
}

}  // namespace

std::string StartReport::text() const {
  if (source == "scratch") return "all layers start at random";
  return fmt::format("{}: {} layers loaded, {} start at random{}", source, loaded, fresh.size(),
                     fresh.empty() ? "" : fmt::format(":\n  {}", fmt::join(fresh, "\n  ")));
}

StartReport start_from(Model& model, const std::string& from, const LoadOptions& options) {
  StartReport report;
  if (from == "scratch") {
    for (const Param& param : model.params->all())
      if (param.spec.role == ParamRole::weights) report.fresh_nodes.push_back(param.node);
  } else {
    if (const fs::path checkpoint = checkpoint_of(from); !checkpoint.empty()) {
      const Model other = to_model(read_checkpoint(checkpoint), checkpoint.string(), options.live);
      report = copy_matching(model, *other.params, *other.network);
    } else if (const std::size_t colon = from.rfind(':'); colon != std::string::npos && !fs::exists(from)) {
      const Model other = load_model(from, options);
      report = copy_matching(model, *other.params, *other.network);
    } else if (fs::is_regular_file(from) && (from.ends_with(".weights") || is_partial(from))) {
      report = start_from_darknet(model, from);
    } else {
      throw Error(fmt::format(
          "--from {}: is not a .weights or .conv.N file, a run folder, a checkpoint, or the word scratch", from));
    }
  }
  report.source = from;
  return report;
}

}  // namespace rook
