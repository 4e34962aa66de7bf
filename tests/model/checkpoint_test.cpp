// Checkpoints: what is written is read again, to the bit; what is not a checkpoint is refused.
#include "model/checkpoint.h"

#include <cmath>
#include <functional>
#include <limits>
#include <span>

#include "base/error.h"
#include "io/safetensors.h"
#include "tests/io/picture_support.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

const std::string kSmall =
    "conv filters=4 size=3 pad=1 batch_normalize=1 activation=leaky | conv filters=14 size=1 activation=linear" + kHead;

std::vector<float> random_floats(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(random.normal());
  return values;
}

Checkpoint full_checkpoint(const Model& model) {
  Checkpoint checkpoint;
  checkpoint.names = {"König", "a \"quoted\" class"};
  checkpoint.preprocess = {.resampling = Resampling::area, .fit = Fit::letterbox};
  checkpoint.state = {{"iteration", 123456789012}, {"best_map50", 0.1}};
  checkpoint.values = random_floats(model.params->total(), 1);
  checkpoint.ema = random_floats(model.params->total(), 2);
  checkpoint.optimizer = {{"moment1", random_floats(model.params->trainable(), 3)},
                          {"moment2", random_floats(model.params->trainable(), 4)}};
  return checkpoint;
}

// A file that is written, changed, and read: the message of the error.
std::string message_after(const std::filesystem::path& file, const std::function<void(io::SafeTensors&)>& change) {
  io::SafeTensors tensors = io::read_safetensors(file);
  tensors.metadata["format"] = "rook-checkpoint-1";  // which has no digest to tell of the change
  tensors.metadata.erase("digest");
  change(tensors);
  const std::filesystem::path changed = file.string() + ".changed";
  io::write_safetensors(changed, tensors);
  return error_of([&] { (void)to_model(read_checkpoint(changed), "changed"); });
}

}  // namespace

TEST_CASE("checkpoint: everything that is written is read") {
  const TempFolder folder;
  const Model model = tiny_model(kSmall);
  const Checkpoint written = full_checkpoint(model);
  write_checkpoint(folder / "a.safetensors", *model.network, *model.params, written);
  const Checkpoint read = read_checkpoint(folder / "a.safetensors");
  CHECK(read.cfg == model.network->cfg.to_text());
  CHECK(read.cfg_name == "tiny");
  CHECK(read.names == written.names);
  CHECK(read.preprocess == written.preprocess);
  CHECK(read.state == written.state);
  CHECK(read.values == written.values);
  CHECK(read.ema == written.ema);
  CHECK(read.optimizer == written.optimizer);
  CHECK(folder.entries() == 1);  // no temporary file is left
  // The same content is the same file.
  write_checkpoint(folder / "b.safetensors", *model.network, *model.params, read);
  CHECK(load(folder / "a.safetensors") == load(folder / "b.safetensors"));
}

TEST_CASE("checkpoint: a model is made of the average, or of the live weights") {
  const TempFolder folder;
  const Model model = tiny_model(kSmall);
  Checkpoint checkpoint = full_checkpoint(model);
  write_checkpoint(folder / "a.safetensors", *model.network, *model.params, checkpoint);
  const auto values_of = [&](const LoadOptions& options) {
    const Model loaded = load_model((folder / "a.safetensors").string(), options);
    CHECK(loaded.names == checkpoint.names);
    CHECK(loaded.preprocess == checkpoint.preprocess);
    CHECK(loaded.network->cfg.name == "tiny");
    CHECK(loaded.network->cfg.to_text() == model.network->cfg.to_text());
    return std::vector<float>(loaded.params->values().begin(), loaded.params->values().end());
  };
  CHECK(values_of({}) == checkpoint.ema);
  CHECK(values_of({.live = true}) == checkpoint.values);
  checkpoint.ema.clear();
  checkpoint.optimizer.clear();
  checkpoint.state = nullptr;
  write_checkpoint(folder / "a.safetensors", *model.network, *model.params, checkpoint);
  CHECK(values_of({}) == checkpoint.values);
  CHECK(read_checkpoint(folder / "a.safetensors").state.is_null());
}

TEST_CASE("checkpoint: weights as f16 take half the place and come back rounded; all else to the bit") {
  const TempFolder folder;
  const Model model = tiny_model(kSmall);
  Checkpoint checkpoint = full_checkpoint(model);
  checkpoint.half = true;
  checkpoint.note = "on rendered photos, \"seed\" 7";
  write_checkpoint(folder / "half.safetensors", *model.network, *model.params, checkpoint);
  const Checkpoint read = read_checkpoint(folder / "half.safetensors");
  CHECK(read.half);
  CHECK(read.note == checkpoint.note);
  CHECK(read.optimizer == checkpoint.optimizer);
  CHECK(read.names == checkpoint.names);
  for (const auto& [written, back] :
       {std::pair{&checkpoint.values, &read.values}, std::pair{&checkpoint.ema, &read.ema}}) {
    REQUIRE(back->size() == written->size());
    for (const Param& param : model.params->all()) {
      const bool rounded = param.spec.role == ParamRole::weights;
      for (auto i = static_cast<std::size_t>(param.offset); i < static_cast<std::size_t>(param.end()); ++i) {
        const float a = (*written)[i], b = (*back)[i];
        // f16 has 11 bits; below 2^-14 its steps are 2^-24.
        const float tolerance = rounded ? std::max(std::fabs(a) * 0x1p-11f, 0x1p-25f) : 0.0f;
        CHECK_MESSAGE(std::fabs(a - b) <= tolerance, param.name);
      }
    }
  }
  const io::SafeTensors tensors = io::read_safetensors(folder / "half.safetensors");
  CHECK(tensors.at("layers.0.weights").bytes.size() == 4 * 9 * 3 * 2);
  CHECK(tensors.at("layers.0.rolling_variance").dtype == "F32");
  // From memory it is the same; written again it is the same file.
  const auto bytes = load(folder / "half.safetensors");
  CHECK(parse_checkpoint(std::as_bytes(std::span(bytes)), "memory").values == read.values);
  write_checkpoint(folder / "again.safetensors", *model.network, *model.params, read);
  CHECK(load(folder / "again.safetensors") == bytes);
}

TEST_CASE("checkpoint: what f16 cannot hold is refused, and statistics are not taken as f16") {
  const TempFolder folder;
  const Model model = tiny_model(kSmall);
  Checkpoint checkpoint = full_checkpoint(model);
  checkpoint.half = true;
  const Param& weights = *model.params->find(1, ParamRole::weights);
  for (const float bad : {1e5f, std::numeric_limits<float>::quiet_NaN()}) {
    checkpoint.values[static_cast<std::size_t>(weights.offset)] = bad;
    CHECK(says(error_of([&] { write_checkpoint(folder / "a.safetensors", *model.network, *model.params, checkpoint); }),
               "layers.1.weights"));
  }
  CHECK(folder.entries() == 0);
  checkpoint = full_checkpoint(model);
  write_checkpoint(folder / "a.safetensors", *model.network, *model.params, checkpoint);
  CHECK(says(message_after(folder / "a.safetensors",
                           [](io::SafeTensors& t) {
                             io::SafeTensor& variance = t.tensors["layers.0.rolling_variance"];
                             variance.dtype = "F16";
                             variance.bytes.resize(variance.bytes.size() / 2);
                           }),
             "layers.0.rolling_variance is F16"));
}

TEST_CASE("checkpoint: of a network with keys that only lenient readers take") {
  const TempFolder folder;
  const io::Cfg cfg =
      io::parse_cfg(cfg_text(kSmall, "width=16 height=12 channels=3 no_such_key=1"), "tiny.cfg", {.lenient = true});
  const Model model = make_model(cfg, {"a", "b"}, 1);
  Checkpoint checkpoint = full_checkpoint(model);
  write_checkpoint(folder / "a.safetensors", *model.network, *model.params, checkpoint);
  CHECK_NOTHROW(load_model((folder / "a.safetensors").string()));
}

TEST_CASE("checkpoint: what does not belong to the network is not written") {
  const TempFolder folder;
  const Model model = tiny_model(kSmall);
  Checkpoint checkpoint = full_checkpoint(model);
  checkpoint.values.pop_back();
  CHECK_THROWS_AS(write_checkpoint(folder / "a.safetensors", *model.network, *model.params, checkpoint), Error);
  CHECK(folder.entries() == 0);
}

TEST_CASE("checkpoint: what is not one is refused, saying why") {
  const TempFolder folder;
  const Model model = tiny_model(kSmall);
  const auto file = folder / "a.safetensors";
  write_checkpoint(file, *model.network, *model.params, full_checkpoint(model));
  const auto after = [&](const std::function<void(io::SafeTensors&)>& change) { return message_after(file, change); };
  CHECK(after([](io::SafeTensors&) {}) == "");
  CHECK(says(after([](io::SafeTensors& t) { t.metadata.clear(); }), "is not a rook checkpoint: 'format' is missing"));
  CHECK(says(after([](io::SafeTensors& t) { t.metadata["format"] = "rook-checkpoint-9"; }),
             "format 'rook-checkpoint-9' is not known"));
  for (const char* key : {"cfg", "cfg_name", "names", "resize", "fit", "state"})
    CHECK(says(after([&](io::SafeTensors& t) { t.metadata.erase(key); }), key));
  CHECK(says(after([](io::SafeTensors& t) { t.metadata["names"] = "[\"a\""; }), "'names' in its metadata is not"));
  CHECK(says(after([](io::SafeTensors& t) { t.metadata["names"] = "{}"; }), "is not a list of names"));
  CHECK(says(after([](io::SafeTensors& t) { t.metadata["names"] = "[\"a\"]"; }), "1 class names for 2 classes"));
  CHECK(says(after([](io::SafeTensors& t) { t.metadata["resize"] = "nearest"; }), "'nearest' is not one of"));
  CHECK(
      says(after([](io::SafeTensors& t) { t.metadata["state"] = "{"; }), "'state' in its metadata is not valid JSON"));
  CHECK(says(after([](io::SafeTensors& t) { t.metadata["cfg"] = "[net]\nwidth=x\n"; }), "width"));
  CHECK(says(after([](io::SafeTensors& t) { t.tensors.erase("layers.1.bias"); }), "layers.1.bias"));
  CHECK(says(after([](io::SafeTensors& t) { t.tensors.erase("ema.layers.1.bias"); }), "ema.layers.1.bias"));
  CHECK(says(after([](io::SafeTensors& t) { t.tensors["layers.0.bias"] = t.tensors["layers.1.bias"]; }),
             "layers.0.bias has another shape"));
  CHECK(says(after([](io::SafeTensors& t) { t.tensors["layers.0.bias"].dtype = "I32"; }), "layers.0.bias"));
  // A file of another program.
  CHECK(after([](io::SafeTensors& t) {
          t = {};
          t.add_f32("weight", {2}, std::vector<float>{1, 2});
        }) != "");
  CHECK(
      says(error_of([&] { (void)load_model((folder / "none.safetensors").string()); }), "there is no such checkpoint"));
}

TEST_CASE("checkpoint: one without a digest is read as it was written by earlier versions") {
  const TempFolder folder;
  const Model model = tiny_model(kSmall);
  const Checkpoint written = full_checkpoint(model);
  write_checkpoint(folder / "a.safetensors", *model.network, *model.params, written);
  CHECK(message_after(folder / "a.safetensors", [](io::SafeTensors&) {}) == "");
  CHECK(read_checkpoint((folder / "a.safetensors").string() + ".changed").values == written.values);
  CHECK(says(
      message_after(folder / "a.safetensors", [](io::SafeTensors& t) { t.metadata["format"] = "rook-checkpoint-2"; }),
      "'digest' is missing"));
}

TEST_CASE("checkpoint: cut off anywhere or with any bit flipped it is an error") {
  const TempFolder folder;
  const Model model = tiny_model(kSmall);
  write_checkpoint(folder / "a.safetensors", *model.network, *model.params, full_checkpoint(model));
  const ByteVector whole = load(folder / "a.safetensors");
  const auto is_accepted = [&](const ByteVector& bytes) {
    save(folder / "b.safetensors", bytes);
    const std::string message = error_of([&] { (void)load_model((folder / "b.safetensors").string()); });
    CHECK(message.find('\n') == std::string::npos);
    return message.empty();
  };
  CHECK(is_accepted(whole));
  int wrong = 0;
  const std::size_t step = kSanitized ? 23 : 5;
  for (std::size_t length = 0; length < whole.size(); length += step)
    wrong += is_accepted(ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
  CHECK(wrong == 0);
  for (std::size_t bit = 0; bit < 8 * whole.size(); bit += 3 * step) {
    ByteVector flipped = whole;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    if (!is_accepted(flipped)) continue;
    ++wrong;
    MESSAGE("bit ", bit % 8, " of byte ", bit / 8);
  }
  CHECK(wrong == 0);
}
