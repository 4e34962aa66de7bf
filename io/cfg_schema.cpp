// Rows of the cfg table. Defaults are darknet's (AlexeyAB), which is what published weights were trained with.
#include "io/cfg_schema.h"

#include <algorithm>
#include <array>

namespace rook::io {
namespace {

using enum KeyUse;

constexpr double kLowest = std::numeric_limits<double>::lowest();
constexpr double kHighest = std::numeric_limits<double>::max();
constexpr double kMaxCount = 1e6;  // no channel count, size or stride is near it; keeps products of two within 64 bits

constexpr std::string_view kActivations =
    "linear leaky relu relu6 logistic loggy mish swish hard_mish tanh elu selu gelu relie ramp plse stair hardtan "
    "lhtan "
    "revleaky rev_leaky normalize_channels normalize_channels_softmax normalize_channels_softmax_maxval";
constexpr std::string_view kIouKinds = "iou giou diou ciou";

constexpr CfgKey number(std::string_view name, std::string_view fallback, KeyUse use = used, double least = kLowest,
                        double most = kHighest) {
  return {name, KeyType::number, fallback, least, most, use};
}
constexpr CfgKey positive(std::string_view name, std::string_view fallback, KeyUse use = used) {
  return number(name, fallback, use, 0);  // >= 0
}
constexpr CfgKey fraction(std::string_view name, std::string_view fallback, KeyUse use = used) {
  return number(name, fallback, use, 0, 1);
}
constexpr CfgKey integer(std::string_view name, std::string_view fallback, KeyUse use = used, double least = kLowest) {
  return {name, KeyType::integer, fallback, least, kHighest, use};
}
constexpr CfgKey whole(std::string_view name, std::string_view fallback, KeyUse use = used) {
  return integer(name, fallback, use, 0);
}
constexpr CfgKey count(std::string_view name, std::string_view fallback, KeyUse use = used) {
  return {name, KeyType::integer, fallback, 1, kMaxCount, use};
}
constexpr CfgKey flag(std::string_view name, std::string_view fallback = "0", KeyUse use = used) {
  return {name, KeyType::integer, fallback, 0, 1, use};
}
constexpr CfgKey text(std::string_view name, std::string_view fallback = {}, KeyUse use = used) {
  return {name, KeyType::text, fallback, kLowest, kHighest, use};
}
constexpr CfgKey choice(std::string_view name, std::string_view fallback, std::string_view choices, KeyUse use = used) {
  return {name, KeyType::choice, fallback, kLowest, kHighest, use, choices};
}
constexpr CfgKey integers(std::string_view name, KeyUse use = used, double least = kLowest) {
  return {name, KeyType::integers, {}, least, kHighest, use};
}
constexpr CfgKey numbers(std::string_view name, KeyUse use = used, double least = kLowest) {
  return {name, KeyType::numbers, {}, least, kHighest, use};
}
constexpr CfgKey required(CfgKey key) {
  key.required = true;
  return key;
}

constexpr std::array kNet = {
    // The network's input. darknet's default of channels is 0, which no network can use.
    required(count("width", "")), required(count("height", "")), count("channels", "3"), count("inputs", "", ignored),
    // The optimizer.
    count("batch", "1"), count("subdivisions", "1"), count("time_steps", "1", niche), positive("learning_rate", ".001"),
    fraction("momentum", ".9"), positive("decay", ".0001"), flag("adam"), fraction("B1", ".9"), fraction("B2", ".999"),
    // bn_eps is rook's own: what is added to the variance in batch norm.
    positive("eps", "1e-6", ignored), positive("bn_eps", "1e-5"), fraction("ema_alpha", "0"),
    positive("loss_scale", "1", ignored),
    // Its schedule.
    whole("max_batches", "0"), whole("burn_in", "0"), number("power", "4"),
    choice("policy", "constant", "constant step exp poly steps sig random sgdr"), count("step", "1"),
    number("scale", "1"), integers("steps"), numbers("scales"), numbers("seq_scales", ignored), number("gamma", "1"),
    positive("learning_rate_min", "1e-5"), whole("sgdr_cycle", ""), positive("sgdr_mult", "2"),
    // Augmentation. `angle` is not read by darknet's detector training either.
    number("angle", "0", ignored), positive("aspect", "1", ignored), positive("saturation", "1"),
    positive("exposure", "1"), positive("hue", "0"), flag("flip", "1"), whole("blur", "0", ignored),
    whole("gaussian_noise", "0", ignored), flag("mixup", "0", ignored), flag("cutmix", "0", ignored), flag("mosaic"),
    flag("mosaic_bound"), flag("letter_box"), count("resize_step", "32", ignored), count("max_crop", "", ignored),
    count("min_crop", "", ignored), positive("max_ratio", "", ignored), positive("min_ratio", "", ignored),
    flag("center", "0", ignored),
    // Training experiments, memory and display of darknet's.
    flag("dynamic_minibatch", "0", ignored), whole("optimized_memory", "0", ignored),
    whole("workspace_size_limit_MB", "1024", ignored), positive("max_chart_loss", "20", ignored),
    fraction("label_smooth_eps", "0", ignored), whole("track", "0", ignored), whole("augment_speed", "2", ignored),
    whole("init_sequential_subdivisions", "", ignored), whole("sequential_subdivisions", "", ignored),
    flag("contrastive", "0", ignored), flag("contrastive_jit_flip", "0", ignored),
    flag("contrastive_color", "0", ignored), flag("unsupervised", "0", ignored), flag("attention", "0", ignored),
    number("adversarial_lr", "0", ignored), whole("try_fix_nan", "0", ignored),
    whole("weights_reject_freq", "0", ignored), whole("equidistant_point", "0", ignored),
    number("badlabels_rejection_percentage", "0", ignored), number("num_sigmas_reject_badlabels", "0", ignored),
    flag("use_cuda_graph", "0", ignored), flag("show_receptive_field", "0", ignored),
    // Scales of one int8 fork; the float network is unchanged by them.
    numbers("input_calibration", ignored)};

// darknet.md 1.4 and 7.9.
constexpr std::array kEveryLayer = {
    whole("stopbackward", "0"),          whole("dont_update", "0", ignored), flag("onlyforward", "0", ignored),
    flag("train_only_bn", "0", ignored), flag("dontload", "0", ignored),     flag("dontloadscales", "0", ignored),
    positive("learning_rate", "1"),      positive("clip", "0", ignored),     whole("burnin_update", "0", ignored),
    flag("truth", "0", ignored),         flag("dontsave", "0", ignored),     whole("numload", "0", niche),
    number("smooth", "0", ignored)};

constexpr std::array kConvolutional = {count("filters", "1"),
                                       count("groups", "1"),
                                       count("size", "1"),
                                       count("stride", "1"),
                                       integer("stride_x", "-1", used, -1),
                                       integer("stride_y", "-1", used, -1),
                                       whole("pad", "0"),
                                       whole("padding", "0"),
                                       count("dilation", "1"),
                                       choice("activation", "logistic", kActivations),
                                       flag("batch_normalize"),
                                       flag("cbn", "0", niche),
                                       whole("antialiasing", "0"),
                                       whole("flipped", "0", niche),
                                       number("dot", "0", niche),
                                       whole("binary", "0", niche),
                                       whole("xnor", "0", niche),
                                       whole("bin_output", "0", niche),
                                       integer("share_index", "", niche),
                                       whole("assisted_excitation", "0", niche),
                                       flag("deform", "0", niche),
                                       flag("sway", "0", niche),
                                       flag("rotate", "0", niche),
                                       flag("stretch", "0", niche),
                                       flag("stretch_sway", "0", niche),
                                       number("angle", "15", ignored),
                                       whole("grad_centr", "0", ignored),
                                       whole("reverse", "0", niche),
                                       whole("coordconv", "0", niche),
                                       integer("stream", "-1", ignored),
                                       integer("wait_stream", "-1", ignored)};

constexpr std::array kMaxpool = {count("stride", "1"),
                                 integer("stride_x", "-1", used, -1),
                                 integer("stride_y", "-1", used, -1),
                                 count("size", ""),
                                 whole("padding", ""),
                                 flag("maxpool_depth"),
                                 count("out_channels", "1", ignored),
                                 whole("antialiasing", "0"),
                                 flag("maxpool_zero_nonmax", "0", niche)};
constexpr std::array kLocalAvgpool = {count("stride", "1"), integer("stride_x", "-1", used, -1),
                                      integer("stride_y", "-1", used, -1), count("size", ""), whole("padding", "")};
constexpr std::array kUpsample = {count("stride", "2"),
                                  number("scale", "1")};  // a negative stride, downsampling, is refused
constexpr std::array kReorg = {count("stride", "1"), flag("reverse")};
constexpr std::array kRoute = {required(integers("layers")), count("groups", "1"), whole("group_id", "0"),
                               integer("stream", "-1", ignored), integer("wait_stream", "-1", ignored)};
constexpr std::array kShortcut = {required(integers("from")), choice("activation", "linear", kActivations),
                                  choice("weights_type", "none", "none per_feature per_layer per_channel"),
                                  choice("weights_normalization", "none", "none relu avg_relu softmax", ignored)};
constexpr std::array kScaleChannels = {required(integer("from", "")), flag("scale_wh"),
                                       choice("activation", "linear", kActivations)};
constexpr std::array kSam = {required(integer("from", "")), choice("activation", "linear", kActivations)};
constexpr std::array kDropout = {fraction("probability", ".2"), flag("dropblock"),
                                 fraction("dropblock_size_rel", "0", ignored),
                                 whole("dropblock_size_abs", "0", ignored)};
constexpr std::array kConnected = {count("output", "1"), choice("activation", "logistic", kActivations),
                                   flag("batch_normalize")};
constexpr std::array kSoftmax = {count("groups", "1"), number("temperature", "1"), text("tree", "", niche),
                                 number("spatial", "0"), flag("noloss", "0", ignored)};
constexpr std::array kActivation = {choice("activation", "linear", kActivations)};
constexpr std::array kImplicit = {number("mean", "0"), number("std", ".2"), count("filters", "128"),
                                  count("atoms", "1")};
constexpr std::array kCost = {choice("type", "sse", "sse masked smooth L1 seg wgan"), number("scale", "1"),
                              number("ratio", "0"), number("noobj", "1"), number("thresh", "0")};
constexpr std::array kCrop = {count("crop_height", "1"), count("crop_width", "1"),  flag("flip"),
                              number("angle", "0"),      number("saturation", "1"), number("exposure", "1"),
                              number("shift", "0"),      flag("noadjust")};
constexpr std::array kLrn = {number("alpha", "1e-4"), number("beta", ".75"), number("kappa", "1"), count("size", "5")};

// darknet.md 5.1 and 6; the tracking keys are darknet's, of no effect on boxes.
constexpr std::array kYolo = {
    count("classes", "20"), count("num", "1"), integers("mask", used, 0), required(numbers("anchors", used, 0)),
    count("max", "200"), number("scale_x_y", "1"), flag("new_coords"),
    // Loss.
    positive("jitter", ".2"), positive("resize", "1"), positive("random", "0"), number("ignore_thresh", ".5"),
    number("truth_thresh", "1"), number("iou_thresh", "1"), choice("iou_thresh_kind", "iou", kIouKinds),
    choice("iou_loss", "mse", "mse iou giou diou ciou"), positive("iou_normalizer", ".75"),
    positive("obj_normalizer", "1"), positive("cls_normalizer", "1"), positive("delta_normalizer", "1"),
    positive("max_delta", ""), flag("focal_loss"), fraction("label_smooth_eps", "0"), flag("objectness_smooth"),
    integers("counters_per_class", used, 0),
    // Suppression: `default` is plain IoU per class.
    choice("nms_kind", "default", "default greedynms diounms cornersnms"), positive("beta_nms", ".6"),
    // No effect on boxes.
    flag("show_details", "1", ignored), text("map", "", ignored), integer("embedding_layer", "", ignored),
    whole("track_history_size", "5", ignored), number("sim_thresh", "0.8", ignored),
    whole("dets_for_track", "1", ignored), whole("dets_for_show", "1", ignored),
    number("track_ciou_norm", "0.01", ignored)};

// darknet.md 5.2: the keys of yolo and two more.
constexpr auto kGaussianYolo = [] {
  std::array<CfgKey, kYolo.size() + 2> keys;
  std::copy(kYolo.begin(), kYolo.end(), keys.begin());
  keys[kYolo.size()] = choice("yolo_point", "center", "center left_top right_bottom", niche);
  keys[kYolo.size() + 1] = positive("uc_normalizer", "1", ignored);
  return keys;
}();

// darknet.md 5.3 and 6.6.
constexpr std::array kRegion = {count("classes", "20"),
                                count("num", "1"),
                                required(numbers("anchors", used, 0)),
                                CfgKey{"coords", KeyType::integer, "4", 4, 4, ignored},  // can be nothing else
                                count("max", "30"),
                                flag("softmax"),
                                flag("bias_match"),
                                flag("rescore"),
                                number("thresh", ".5"),
                                number("object_scale", "1"),
                                number("noobject_scale", "1"),
                                number("coord_scale", "1"),
                                number("class_scale", "1"),
                                number("mask_scale", "1", ignored),
                                positive("jitter", ".2"),
                                positive("resize", "1"),
                                positive("random", "0"),
                                flag("focal_loss"),
                                flag("absolute", "0", ignored),
                                whole("classfix", "0", ignored),
                                flag("background", "0", niche),
                                flag("log", "0", ignored),
                                text("tree", "", niche),
                                text("map", "", ignored)};

constexpr std::array<CfgSchema, 38> kSchemas = {{
    {"net", "network", kNet},
    {"convolutional", "conv", kConvolutional},
    {"maxpool", "max", kMaxpool},
    {"local_avgpool", "local_avg", kLocalAvgpool},
    {"avgpool", "avg", {}},
    {"upsample", "", kUpsample},
    {"reorg", "", kReorg},
    {"reorg3d", "", kReorg},
    {"route", "", kRoute},
    {"shortcut", "", kShortcut},
    {"scale_channels", "", kScaleChannels},
    {"sam", "", kSam},
    {"dropout", "", kDropout},
    {"connected", "conn", kConnected},
    {"softmax", "soft", kSoftmax},
    {"batchnorm", "", {}},
    {"activation", "", kActivation},
    {"empty", "silence", {}},
    {"yolo", "", kYolo},
    {"Gaussian_yolo", "", kGaussianYolo},
    {"region", "", kRegion},
    {"implicit", "", kImplicit},
    {"cost", "", kCost},
    {"crop", "", kCrop},
    {"lrn", "normalization", kLrn},
    {"detection", "", {}, false},
    {"local", "", {}, false},
    {"rnn", "", {}, false},
    {"gru", "", {}, false},
    {"lstm", "", {}, false},
    {"crnn", "", {}, false},
    {"conv_lstm", "", {}, false},
    {"history", "", {}, false},
    {"contrastive", "", {}, false},
    {"iseg", "", {}, false},
    {"deconvolutional", "deconv", {}, false},
    {"l2norm", "", {}, false},
    {"logistic", "", {}, false},
}};

bool has_word(std::string_view words, std::string_view word) {
  const auto all = split_words(words);
  return std::find(all.begin(), all.end(), word) != all.end();
}

const CfgKey* find_in(std::span<const CfgKey> keys, std::string_view name) {
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const CfgKey& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

}  // namespace

std::vector<std::string> split_words(std::string_view words) {
  std::vector<std::string> result;
  while (!words.empty()) {
    const auto end = std::min(words.find(' '), words.size());
    if (end > 0) result.emplace_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return result;
}

const CfgSchema* find_schema(std::string_view section) {
  const auto found = std::find_if(kSchemas.begin(), kSchemas.end(), [&](const CfgSchema& schema) {
    return schema.type == section || has_word(schema.other, section);
  });
  return found == kSchemas.end() ? nullptr : &*found;
}

const CfgKey* find_key(const CfgSchema& schema, std::string_view key) {
  if (const CfgKey* own = find_in(schema.keys, key)) return own;
  return schema.type == "net" ? nullptr : find_in(kEveryLayer, key);
}

std::vector<std::string> section_names() {
  std::vector<std::string> names;
  for (const CfgSchema& schema : kSchemas) {
    names.emplace_back(schema.type);
    for (auto& other : split_words(schema.other)) names.push_back(std::move(other));
  }
  return names;
}

std::vector<std::string> key_names(const CfgSchema& schema) {
  std::vector<std::string> names;
  for (const CfgKey& key : schema.keys) names.emplace_back(key.name);
  if (schema.type != "net") {
    for (const CfgKey& key : kEveryLayer) names.emplace_back(key.name);
  }
  return names;
}

std::span<const CfgSchema> all_schemas() {
  return kSchemas;
}
std::span<const CfgKey> layer_keys() {
  return kEveryLayer;
}

}  // namespace rook::io
