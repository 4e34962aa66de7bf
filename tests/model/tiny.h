// What the tests of networks share: cfgs in short form, small networks with every kind of layer, random numbers in
// them.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "engine/executor.h"
#include "model/model.h"
#include "tests/sanitized.h"
#include "tests/support.h"

namespace rook::test {

// "conv filters=8 size=3 | maxpool size=2" -> cfg text: a section for each part, one line per key.
inline std::string cfg_text(std::string_view layers, std::string_view net = "width=16 height=12 channels=3") {
  std::string text = "[net]\n";
  std::istringstream words{std::string(net) + " | " + std::string(layers)};
  bool opens = false;
  for (std::string word; words >> word;) {
    if (word == "|") {
      opens = true;
      continue;
    }
    text += opens ? "[" + word + "]\n" : word + "\n";
    opens = false;
  }
  return text;
}

inline io::Cfg tiny_cfg(std::string_view layers, std::string_view net = "width=16 height=12 channels=3") {
  return io::parse_cfg(cfg_text(layers, net), "tiny.cfg");
}

// Whether a message has these words; what it says instead goes to the output.
inline bool mentions(const std::string& message, std::string_view words) {
  const bool found = message.find(words) != std::string::npos;
  if (!found) MESSAGE("'", message, "' does not say '", words, "'");
  return found;
}

// A head of 2 anchors and 2 classes: 14 channels before it.
inline const std::string kHead = " | yolo mask=0,1 anchors=4,4,8,6 num=2 classes=2 ";

// Every kind of layer but dropout, values with two readers, two heads. The heads read through a route of one layer,
// which is the value itself, so that with the reference backend everything can be computed in double.
inline const std::string kAllLayers =
    "conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky"     // 0: 8x6
    " | conv filters=8 size=3 pad=1 batch_normalize=1 activation=mish"            // 1
    " | route layers=-1 groups=2 group_id=1"                                      // 2: 4 channels
    " | conv filters=4 size=3 pad=1 groups=2 batch_normalize=1 activation=swish"  // 3
    " | conv filters=4 size=3 pad=1 dilation=2 activation=logistic"               // 4
    " | route layers=-1,-2"                                                       // 5
    " | conv filters=8 size=1 activation=tanh"                                    // 6
    " | shortcut from=1 activation=swish"                                         // 7
    " | maxpool size=2 stride=1"                                                  // 8
    " | local_avgpool size=3 stride=1"                                            // 9
    " | avgpool"                                                                  // 10: 1x1
    " | conv filters=4 size=1 batch_normalize=0 activation=mish"                  // 11
    " | conv filters=8 size=1 activation=logistic"                                // 12
    " | scale_channels from=9 activation=mish"                                    // 13: 8x6
    " | conv filters=8 size=1 batch_normalize=1 activation=linear"                // 14
    " | sam from=13 activation=linear"                                            // 15
    " | activation activation=tanh"                                               // 16
    " | batchnorm"                                                                // 17
    " | softmax groups=2"                                                         // 18
    " | shortcut from=16,7"                                                       // 19
    " | reorg stride=2"                                                           // 20: 4x3, 32 channels
    " | conv filters=8 size=1 batch_normalize=1 activation=mish"                  // 21
    " | upsample stride=2 scale=0.5"                                              // 22: 8x6
    " | route layers=-1,19"                                                       // 23: 16 channels
    " | reorg3d stride=2"                                                         // 24: 4x3, 64 channels
    " | empty"                                                                    // 25
    " | conv filters=14 size=1 activation=linear" +                               // 26
    kHead +                                                                       // 27
    " | route layers=23"                                                          // 28: 8x6
    " | conv filters=1 size=1 activation=logistic"                                // 29: a gate per pixel
    " | scale_channels from=23 scale_wh=1"                                        // 30
    " | conv filters=16 size=3 pad=1 stride_x=1 stride_y=2 stride=1 groups=16 batch_normalize=1 activation=mish"  // 31
    " | conv filters=14 size=1 activation=linear" +                                                               // 32
    kHead;                                                                                                        // 33

// Parameters at random: weights that keep the size of values, scales around 1, variances above 0.
inline void randomise(Params& params, std::uint64_t seed) {
  Random random(seed);
  for (const Param& param : params.all()) {
    const double deviation =
        param.spec.role == ParamRole::weights ? std::sqrt(1.5 / std::max(1, param.spec.fan_in)) : 0.3;
    for (float& v : params.value(param)) {
      switch (param.spec.role) {
        case ParamRole::scales:
        case ParamRole::rolling_variance:
          v = static_cast<float>(random.uniform(0.5, 1.5));
          break;
        default:
          v = static_cast<float>(deviation * random.normal());
      }
    }
  }
}

inline Model tiny_model(std::string_view layers, std::string_view net = "width=16 height=12 channels=3",
                        std::uint64_t seed = 1) {
  Model model = make_model(tiny_cfg(layers, net), {}, seed);
  randomise(*model.params, seed);
  return model;
}

inline void fill_uniform(const Tensor& t, Random& random, double low = 0, double high = 1) {
  for (std::int64_t i = 0; i < t.elements(); ++i)
    store_from_double(t.data, t.dtype, i / t.c * t.pitch + i % t.c, random.uniform(low, high));
}

inline std::vector<double> to_doubles(const Tensor& t) {
  std::vector<double> values(static_cast<std::size_t>(t.elements()));
  for (std::int64_t i = 0; i < t.elements(); ++i)
    values[static_cast<std::size_t>(i)] = load_as_double(t.data, t.dtype, i / t.c * t.pitch + i % t.c);
  return values;
}

// Largest |a - b| over the largest |b|; NaN when any is.
inline double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    if (!(d <= difference)) difference = d;
    if (std::isnan(d)) return d;
    size = std::max(size, std::abs(b[i]));
  }
  return difference == 0 ? 0 : difference / size;
}

// The folder of real data, or nothing (and a message that says so).
inline std::filesystem::path assets(const std::string& what) {
  const char* folder = std::getenv("ROOK_ASSETS");
  if (!folder || !*folder) {
    MESSAGE("skipped, ROOK_ASSETS is not set: ", what);
    return {};
  }
  return folder;
}

}  // namespace rook::test
