#include "model/model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "base/error.h"
#include "io/class_names.h"
#include "model/checkpoint.h"
#include "model/darknet_import.h"
#include "model/zoo.h"

namespace fs = std::filesystem;

namespace rook {

std::vector<std::string> numbered_names(int classes) {
  std::vector<std::string> names;
  for (int i = 0; i < classes; ++i) names.push_back(fmt::format("class_{}", i));
  return names;
}

namespace {

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

// The model of a checkpoint, wherever it lies; nothing when `what` is none.
std::optional<Model> own_model(const std::string& what, bool live) {
  if (what == kRendered) return to_model(parse_checkpoint(rendered_weights(), what), what, live);
  const fs::path checkpoint = checkpoint_of(what);
  if (checkpoint.empty()) return std::nullopt;
  return to_model(read_checkpoint(checkpoint), checkpoint.string(), live);
}

// Whether `from` is NETWORK:FILE.weights.
bool names_network(const std::string& from) {
  return from.find(':') != std::string::npos && !fs::exists(from);
}

bool is_partial(const fs::path& file) {
  return file.filename().string().find(".conv.") != std::string::npos;
}

// All parameters 0, for somebody who fills them all: to draw them at random takes longer than to read them.
Model blank_model(const io::Cfg& cfg, std::vector<std::string> names) {
  Model model;
  model.network = build_network(cfg);
  model.params = std::make_unique<Params>(model.network->graph);
  model.names = names.empty() ? numbered_names(model.network->classes()) : std::move(names);
  model.source = cfg.name;
  return model;
}

Model load_darknet(const std::string& network, const std::string& file, const LoadOptions& options) {
  io::Cfg cfg = find_cfg(network, {.lenient = options.lenient});
  if (options.bn_eps > 0) cfg.sections.front().set("bn_eps", fmt::format("{}", options.bn_eps));
  Model model = blank_model(cfg, {});
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

Model make_model(const io::Cfg& cfg, std::vector<std::string> names, std::uint64_t seed) {
  Model model = blank_model(cfg, std::move(names));
  model.params->initialise(seed);
  return model;
}

Model load_model(const std::string& what, const LoadOptions& options) {
  Model model;
  if (std::optional<Model> own = own_model(what, options.live)) {
    model = std::move(*own);
  } else if (const std::size_t colon = what.rfind(':'); colon != std::string::npos && colon + 1 < what.size()) {
    model = load_darknet(what.substr(0, colon), what.substr(colon + 1), options);
  } else {
    throw Error(fmt::format(
        "model '{}' is not a run folder, a checkpoint (.safetensors), the word {}, or NETWORK.cfg:FILE.weights", what,
        kRendered));
  }
  if (!options.names_file.empty()) model.names = io::read_class_names(options.names_file);
  if (static_cast<int>(model.names.size()) != model.network->classes())
    throw Error(fmt::format("{}: has {} class names, {} has {} classes", options.names_file, model.names.size(),
                            model.source, model.network->classes()));
  return model;
}

namespace {

// Which class there each class here is, by name; -1: none.
std::vector<int> by_name(const std::vector<std::string>& here, const std::vector<std::string>& there) {
  std::vector<int> from;
  for (const std::string& name : here) {
    const auto found = std::find(there.begin(), there.end(), name);
    from.push_back(found == there.end() ? -1 : static_cast<int>(found - there.begin()));
  }
  return from;
}

// The head in `other` that reads the same node in the same way but for its classes; null when there is none.
const Head* same_head(const Head& head, const Network& other) {
  for (const Head& candidate : other.heads) {
    const HeadSpec &a = head.spec, &b = candidate.spec;
    if (candidate.source == head.source && a.kind == b.kind && a.anchors == b.anchors && a.new_coords == b.new_coords)
      return &candidate;
  }
  return nullptr;
}

// Copies a parameter of the convolution before a head, a row of it per logit: what all classes share as it is, the rows
// of a class from where that class is there.
void copy_head(std::span<float> to, const HeadSpec& here, std::span<const float> from, const HeadSpec& there,
               const std::vector<int>& classes) {
  const int shared = here.entries() - here.classes;
  const std::size_t row = to.size() / static_cast<std::size_t>(here.anchors * here.entries());
  for (int anchor = 0; anchor < here.anchors; ++anchor)
    for (int entry = 0; entry < here.entries(); ++entry) {
      const int source = entry < shared ? entry : classes[static_cast<std::size_t>(entry - shared)];
      if (source < 0) continue;
      const int from_entry = anchor * there.entries() + source + (entry < shared ? 0 : shared);
      const int to_entry = anchor * here.entries() + entry;
      std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(from_entry) * row), row,
                  to.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(to_entry) * row));
    }
}

// Heads of `model` with other classes than in `other` that have some in common, each with its counterpart. Names that
// are but numbers say nothing: such heads are copied whole or not at all.
std::map<int, std::pair<const Head*, const Head*>> heads_to_adapt(const Model& model, const Model& other,
                                                                  const std::vector<int>& classes) {
  std::map<int, std::pair<const Head*, const Head*>> pairs;
  const bool any = std::any_of(classes.begin(), classes.end(), [](int from) { return from >= 0; });
  if (model.names == other.names || !any) return pairs;
  if (other.names == numbered_names(other.network->classes())) return pairs;
  for (const Head& head : model.network->heads)
    if (const Head* there = same_head(head, *other.network)) pairs[head.source] = {&head, there};
  return pairs;
}

// Copies from another network what has the same name and shape, and heads class by class.
StartReport copy_matching(Model& model, const Model& other) {
  StartReport report;
  const Params& from = *other.params;
  std::vector<bool> fresh(static_cast<std::size_t>(model.network->graph.size()), false);
  std::vector<bool> has(fresh.size(), false);
  const auto shape_text = [](const ParamSpec& spec) { return fmt::format("{}", fmt::join(spec.shape, "x")); };
  const std::vector<int> classes = by_name(model.names, other.names);
  const auto adapted = heads_to_adapt(model, other, classes);
  for (const Param& param : model.params->all()) {
    has[param.node] = true;
    if (adapted.contains(param.node)) continue;
    const Param* source = param.node < other.network->graph.size() ? from.find(param.node, param.spec.role) : nullptr;
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
    if (const auto heads = adapted.find(param.node); heads != adapted.end())
      copy_head(model.params->value(param), heads->second.first->spec, source, heads->second.second->spec, classes);
    else
      std::copy(source.begin(), source.end(), model.params->value(param).begin());
  }
  report.loaded =
      static_cast<int>(std::count(has.begin(), has.end(), true) - std::count(fresh.begin(), fresh.end(), true));
  if (adapted.empty()) return report;
  for (const auto& heads : adapted) report.adapted_nodes.push_back(heads.first);
  for (std::size_t cls = 0; cls < classes.size(); ++cls)
    (classes[cls] < 0 ? report.new_classes : report.kept_classes).push_back(model.names[cls]);
  for (const std::string& name : other.names)
    if (std::find(model.names.begin(), model.names.end(), name) == model.names.end())
      report.lost_classes.push_back(name);
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
  std::string text = fmt::format("{}: {} layers loaded, {} start at random{}", source, loaded, fresh.size(),
                                 fresh.empty() ? "" : fmt::format(":\n  {}", fmt::join(fresh, "\n  ")));
  if (adapted_nodes.empty()) return text;
  text += fmt::format("\nother classes than there: {} keep their weights, found by name", kept_classes.size());
  if (!new_classes.empty()) text += fmt::format("; new: {}", fmt::join(new_classes, ", "));
  if (!lost_classes.empty()) text += fmt::format("; given up: {}", fmt::join(lost_classes, ", "));
  return text;
}

std::optional<io::Cfg> network_of(const std::string& from, const LoadOptions& options) {
  if (const std::optional<Model> own = own_model(from, options.live)) {
    io::Cfg cfg = own->network->cfg;
    cfg.sections.front().set("width", fmt::format("{}", own->network->width));
    cfg.sections.front().set("height", fmt::format("{}", own->network->height));
    return cfg;
  }
  if (names_network(from)) return find_cfg(from.substr(0, from.rfind(':')), {.lenient = options.lenient});
  return std::nullopt;
}

StartReport start_from(Model& model, const std::string& from, const LoadOptions& options) {
  StartReport report;
  if (from == "scratch") {
    for (const Param& param : model.params->all())
      if (param.spec.role == ParamRole::weights) report.fresh_nodes.push_back(param.node);
  } else {
    if (const std::optional<Model> own = own_model(from, options.live)) {
      report = copy_matching(model, *own);
    } else if (names_network(from)) {
      const Model other = load_model(from, options);
      report = copy_matching(model, other);
    } else if (fs::is_regular_file(from) && (from.ends_with(".weights") || is_partial(from))) {
      report = start_from_darknet(model, from);
    } else {
      throw Error(
          fmt::format("--from {}: is not a .weights or .conv.N file, a run folder, a checkpoint, or one of the words "
                      "scratch and {}",
                      from, kRendered));
    }
  }
  report.source = from;
  return report;
}

}  // namespace rook
