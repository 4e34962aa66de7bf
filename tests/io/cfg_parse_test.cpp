// The grammar: what is accepted, with which values, and the exact error of everything else.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "tests/io/cfg_fixtures.h"

using namespace rook;
using namespace rook::io;
using namespace rook::io::fixtures;

namespace {

struct Fault {
  std::string from, to;  // change of kSmall
  std::string error;     // part of the message, which begins with file and line
};

void check_faults(const std::vector<Fault>& faults) {
  for (const Fault& fault : faults) {
    const std::string error = error_of(with(kSmall, fault.from, fault.to));
    INFO("\"", fault.from, "\" -> \"", fault.to, "\": ", error);
    CHECK(contains(error, fault.error));
    CHECK(contains(error, "small.cfg:"));
    CHECK_FALSE(contains(error, "\n"));
    CHECK(contains(error, ";"));  // what to do stands behind it
  }
}

// A [net] and one [convolutional] with these lines.
std::string conv(const std::string& lines) {
  return "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nactivation=linear\n" + lines;
}
std::string net(const std::string& lines) {
  return "[net]\nwidth=32\nheight=32\nchannels=3\n" + lines;
}

}  // namespace

TEST_CASE("cfg: the small network") {
  const Cfg cfg = parse_cfg(kSmall, "folder/small.cfg");
  CHECK(cfg.name == "small");
  REQUIRE(cfg.layers() == 2);
  CHECK(cfg.net().type == "net");
  CHECK(cfg.net().integer("width", 0) == 64);
  CHECK(cfg.net().integer("batch", 5) == 5);
  CHECK(cfg.layer(0).type == "convolutional");
  CHECK(cfg.layer(0).line == 6);
  CHECK(cfg.layer(0).text("activation", "") == "leaky");
  CHECK(cfg.layer(0).text("missing", "fallback") == "fallback");
  CHECK(cfg.layer(0).has("pad"));
  CHECK_FALSE(cfg.layer(0).has("padding"));
  CHECK(cfg.layer(1).integers("mask") == std::vector{0, 1});
  CHECK(cfg.layer(1).numbers("anchors") == std::vector<float>{10, 14, 23, 27});
  CHECK(cfg.layer(1).integers("counters_per_class").empty());
  CHECK(cfg.layer(1).number("jitter", 0) == 0.3f);
  CHECK(cfg.layer(1).entries.at(0).line == 13);
  CHECK(cfg.classes() == 2);
  CHECK(warnings_of(cfg) == "");
}

TEST_CASE("cfg: spelling that does not matter") {
  const Cfg plain = parse_cfg(kSmall, "small.cfg");
  auto same = [&](const std::string& text) { return same_sections(plain, parse_cfg(text, "small.cfg")); };
  CHECK(same("\xef\xbb\xbf" + kSmall));
  CHECK(same(with(kSmall, "[net]", "[network]")));
  CHECK(same(with(kSmall, "[convolutional]", " [ conv ]\t")));
  CHECK(same(with(kSmall, "anchors=10,14,23,27", "anchors =  10, 14,\t23 ,27  ")));
  CHECK(same(with(kSmall, "activation=leaky", "activation=leaky# not mish")));
  CHECK(same(with(kSmall, "filters=14", "  filters\t= 14 ; (2 + 5) * 2")));
  CHECK(same(with(kSmall, "[yolo]\n", "[yolo]  # head\n# mask=9\n;mask=8\n   \n")));
  CHECK(same(kSmall.substr(0, kSmall.size() - 1)));
  std::string crlf;
  for (const char c : kSmall) crlf += c == '\n' ? "\r\n" : std::string(1, c);
  CHECK(same(crlf));
}

TEST_CASE("cfg: faults of lines and sections, with line and remedy") {
  check_faults({
      {"[yolo]", "[yollo]", "small.cfg:12: unknown section '[yollo]'; did you mean [yolo]?"},
      {"[yolo]", "[Yolo]", "did you mean [yolo]?"},
      {"[yolo]", "[quantum]", "small.cfg:12: unknown section '[quantum]'"},
      {"[yolo]", "[yolo", "does not end with ']'"},
      {"[yolo]", "[yolo] mask=1", "does not end with ']'"},
      {"[yolo]", "[]", "unknown section '[]'"},
      {"[yolo]", "[net]", "small.cfg:12: a second [net]; there is one network per file, the first is in line 1"},
      {"[net]", "[convolutional]", "small.cfg:1: the first section is [convolutional]; put [net] before it"},
      {"[net]", "batch=1\n[net]", "small.cfg:1: key 'batch' before any section"},
      {"filters=14", "filters 14", "small.cfg:7: line 'filters 14' has no '='"},
      {"filters=14", "filters=", "small.cfg:7: key 'filters' has no value"},
      {"filters=14", "filters= # 14", "small.cfg:7: key 'filters' has no value"},
      {"filters=14", "=14", "small.cfg:7: nothing before '='"},
      {"filters=14", "fliters=14", "small.cfg:7: unknown key 'fliters' in [convolutional]; did you mean 'filters'?"},
      {"filters=14", "quantum=14", "small.cfg:7: unknown key 'quantum' in [convolutional]; remove it"},
      {"filters=14", "mask=14", "unknown key 'mask' in [convolutional]"},
      {"jitter=.3", "uc_normalizer=1", "small.cfg:17: unknown key 'uc_normalizer' in [yolo]"},
      {"size=3", "filters=15", "small.cfg:8: key 'filters' is already set to '14' in line 7; remove one of the two"},
      {"size=3", "size=3\v", "control character 0x0b"},
  });
  CHECK(contains(error_of(""), "small.cfg: holds no section"));
  CHECK(contains(error_of("# nothing\n"), "small.cfg: holds no section"));
  CHECK(contains(error_of(kSmall + std::string(1, '\0')), "small.cfg:18: control character 0x00"));
  CHECK(contains(error_of(net(std::string(300, '\xfe'))), "\\xfe\\xfe"));  // no raw bytes, and shortened
  CHECK(error_of(net(std::string(300, 'a'))).size() < 200);
}

TEST_CASE("cfg: values of the wrong type or out of range") {
  check_faults({
      {"filters=14", "filters=abc", "small.cfg:7: [convolutional] filters='abc' is not an integer; write digits only"},
      {"filters=14", "filters=1.5", "is not an integer of 32 bits; write it without a fraction"},
      {"filters=14", "filters=14x", "is not an integer"},
      {"filters=14", "filters=1 4", "filters='1 4' is not an integer"},
      {"filters=14", "filters=99999999999", "is not an integer of 32 bits"},
      {"filters=14", "filters=0", "is out of range; it must be from 1 to 1000000"},
      {"filters=14", "filters=-3", "is out of range"},
      {"pad=1", "pad=-1", "is out of range; it must be at least 0"},
      {"jitter=.3", "jitter=.3.", "small.cfg:17: [yolo] jitter='.3.' is not a number"},
      {"jitter=.3", "jitter=nan", "is not a number"},
      {"jitter=.3", "jitter=inf", "is not a number"},
      {"jitter=.3", "jitter=1e99", "is not a number"},
      {"jitter=.3", "new_coords=2", "is out of range; it must be from 0 to 1"},
      {"mask=0,1", "mask=0,,1", "small.cfg:13: [yolo] mask='0,,1' has an empty element 2"},
      {"mask=0,1", "mask=0,1,", "has an empty element 3"},
      {"mask=0,1", "mask=0,x", "has element 'x' which is not an integer"},
      {"mask=0,1", "mask=0,-1", "has element '-1' which is out of range"},
      {"activation=leaky", "activation=leeky",
       "small.cfg:10: [convolutional] activation='leeky' is unknown; did you mean 'leaky'?"},
      {"activation=leaky", "activation=quantum", "is unknown; it must be one of: linear leaky"},
      {"channels=3", "policy=polly", "did you mean 'poly'?"},
      {"jitter=.3", "iou_loss=clou", "did you mean 'ciou'?"},
      {"jitter=.3", "iou_thresh_kind=mse", "iou_thresh_kind='mse' is unknown"},
      {"jitter=.3", "nms_kind=greedy_nms", "did you mean 'greedynms'?"},
  });
  const std::string shortcut = conv("[convolutional]\nactivation=linear\n[shortcut]\nfrom=-2\n");
  CHECK(error_of(shortcut + "weights_type=per_feature\nweights_normalization=softmax\n") == "");
  CHECK(contains(error_of(shortcut + "weights_type=per_pixel\n"), "small.cfg:11: [shortcut] weights_type='per_pixel'"));
  CHECK(contains(error_of(shortcut + "weights_normalization=relv\n"), "did you mean 'relu'?"));
}

TEST_CASE("cfg: integers may have a fraction of zero, as calculated cfgs have") {
  // Roboflow's notebook: steps = 0.8 and 0.9 of max_batches.
  const Cfg cfg = parse_cfg(net("max_batches=4000.0\npolicy=steps\nsteps=3200.0,3600.\nscales=.1,.1\n"), "small.cfg");
  CHECK(cfg.net().integer("max_batches", 0) == 4000);
  CHECK(cfg.net().integers("steps") == std::vector<int>{3200, 3600});
  CHECK(contains(cfg.to_text(), "steps=3200,3600\n"));
  CHECK(contains(cfg.to_text(), "max_batches=4000\n"));
  check_faults({
      {"filters=14", "filters=14.5", "is not an integer of 32 bits; write it without a fraction"},
      {"filters=14", "filters=14.01", "is not an integer of 32 bits"},
      {"filters=14", "filters=14.0.0", "is not an integer; write digits only"},
      {"filters=14", "filters=.0", "is not an integer of 32 bits"},
      {"filters=14", "filters=1e1", "is not an integer of 32 bits"},
      {"filters=14", "filters=0.0", "is out of range; it must be from 1 to 1000000"},
  });
}

TEST_CASE("cfg: numbers") {
  const Cfg cfg = parse_cfg(net("decay=5e-4\nmomentum=.9\nhue=1.\nburn_in=1000\npower=-2\n"), "small.cfg");
  CHECK(cfg.net().number("decay", 0) == 5e-4f);
  CHECK(cfg.net().number("momentum", 0) == 0.9f);
  CHECK(cfg.net().number("hue", 0) == 1.0f);
  CHECK(cfg.net().number("power", 0) == -2.0f);
  CHECK(cfg.net().number("burn_in", 0) == 1000.0f);                // any integer is a number
  CHECK(error_of(with(kSmall, "jitter=.3", "random=1.2")) == "");  // darknet reads it as a number
  // A reader that asks for the wrong type, or finds a value that was set to junk by hand, is told where.
  CHECK_THROWS_WITH_AS(
      cfg.net().integer("decay", 0),
      "small.cfg:5: [net] decay='5e-4' is not an integer of 32 bits; write it without a fraction or exponent", Error);
  CHECK_THROWS_AS(cfg.net().integers("momentum"), Error);
  CfgSection section{"net", 7, "hand.cfg", {{"width", "1O", 9}}};
  CHECK_THROWS_WITH_AS(section.integer("width", 0),
                       "hand.cfg:9: [net] width='1O' is not an integer; write digits only, such as 32", Error);
  CHECK_THROWS_AS(section.numbers("width"), Error);
}

TEST_CASE("cfg: sections and keys that contradict each other") {
  check_faults({
      {"width=64\n", "", "small.cfg:1: [net] has no width=; add it"},
      {"height=32\n", "", "small.cfg:1: [net] has no height=; add it"},
      {"mask=0,1", "mask=0,2", "small.cfg:13: [yolo] mask names anchor 2 but num=2"},
      {"mask=0,1", "mask=1,1", "mask names anchor 1 twice"},
      {"num=2", "num=3",
       "small.cfg:14: [yolo] has 4 numbers in anchors but num=3; give width,height of each anchor, 6 numbers"},
      {"num=2\n", "", "has 4 numbers in anchors but num=1"},
      {"anchors=10,14,23,27\n", "", "small.cfg:12: [yolo] has no anchors=; add it"},
      {"anchors=10,14,23,27", "anchors=10,14,0,27", "anchor of size 0"},
      {"jitter=.3", "counters_per_class=10,20,30", "has 3 counters_per_class for 2 classes"},
      {"channels=3", "steps=10,20\nscales=.1", "small.cfg:5: [net] has 2 steps but 1 scales"},
      {"channels=3", "steps=10,20", "small.cfg:4: [net] has 2 steps but 0 scales"},
      {"channels=3", "policy=steps", "policy=steps without steps="},
      {"channels=3", "steps=20,10\nscales=1,1", "steps do not rise"},
      {"pad=1", "groups=4", "groups=4 does not divide filters=14"},
      {"pad=1", "stride_x=0", "stride_x=0"},
  });
  CHECK(error_of(with(kSmall, "channels=3", "channels=3\npolicy=steps\nsteps=-1,100\nscales=.1,10\nmax_batches=9")) ==
        "");
}

TEST_CASE("cfg: layers named by index lie before the layer that names them") {
  const std::string two = conv("[convolutional]\nactivation=linear\n");  // layers 0 and 1; the next section is line 9
  for (const char* fine : {"layers=-1", "layers=-2", "layers=0", "layers=1,-2", "layers=-1\ngroups=2\ngroup_id=1"}) {
    CHECK(error_of(two + "[route]\n" + fine + "\n") == "");
  }
  CHECK(contains(error_of(two + "[route]\nlayers=2\n"),
                 "small.cfg:10: [route] layers: 2 is layer 2, and this is layer 2"));
  CHECK(contains(error_of(two + "[route]\nlayers=-1,-3\n"), "-3 is layer -1"));
  CHECK(contains(error_of(two + "[route]\nlayers=-2147483648\n"), "name a layer before it"));
  CHECK(contains(error_of(two + "[route]\ngroups=1\n"), "has no layers="));
  CHECK(contains(error_of(two + "[route]\nlayers=-1\ngroups=2\ngroup_id=2\n"), "group_id=2 with groups=2"));
  for (const char* type : {"shortcut", "sam", "scale_channels"}) {
    const std::string section = two + "[" + type + "]\n";
    CHECK(error_of(section + "from=-2\n") == "");
    CHECK(contains(error_of(section + "from=7\n"), "from: 7 is layer 7"));
    CHECK(contains(error_of(section + "activation=linear\n"), "has no from="));
  }
  CHECK(error_of(two + "[shortcut]\nfrom=-2,0\n") == "");
  CHECK(contains(error_of(two + "[sam]\nfrom=-2,0\n"), "is not an integer"));
}

TEST_CASE("cfg: lenient reads unknown keys and duplicates as darknet does, and says so") {
  const CfgOptions lenient{.lenient = true};
  const std::string text = with(with(kSmall, "size=3", "filters=15\nquantum=7"), "jitter=.3", "xyzzy=1\njitter=.3");
  CHECK(error_of(text) != "");
  const Cfg cfg = parse_cfg(text, "small.cfg", lenient);
  CHECK(cfg.layer(0).integer("filters", 0) == 14);  // the first wins
  CHECK(cfg.layer(0).integer("quantum", 0) == 7);
  CHECK(warnings_of(cfg) ==
        "8: key 'filters' is already set to '14' in line 7; the first is used\n"
        "9: unknown key 'quantum' in [convolutional]; it is not used\n"
        "18: unknown key 'xyzzy' in [yolo]; it is not used\n");
  CHECK(same_sections(cfg, parse_cfg(cfg.to_text(), "small.cfg", lenient)));
  // What has no safe reading stays an error.
  for (const char* fault : {"filters=x", "filters", "filters=", "[quantum]"}) {
    CHECK(error_of(with(kSmall, "filters=14", fault), lenient) != "");
  }
}

TEST_CASE("cfg: keys that rook does not act on") {
  // Of no effect on what the network computes: a warning, unless the value is the default.
  CHECK(warnings_of(parse_cfg(with(kSmall, "channels=3", "channels=3\nangle=0\nmixup=0"), "small.cfg")) == "");
  CHECK(warnings_of(parse_cfg(with(kSmall, "channels=3", "channels=3\nangle=7"), "small.cfg")) ==
        "5: [net] angle='7' is not supported; it is not used\n");
  // Of effect: an error.
  CHECK(error_of(with(kSmall, "pad=1", "xnor=0")) == "");
  CHECK(contains(error_of(with(kSmall, "pad=1", "xnor=1")), "small.cfg:9: [convolutional] xnor='1' is not supported;"));
  const Cfg cfg = parse_cfg(with(kSmall, "pad=1", "xnor=1"), "small.cfg", {.lenient = true});
  CHECK(
      contains(warnings_of(cfg), "9: [convolutional] xnor='1' is not supported; it is not used: the network computes"));
}

TEST_CASE("cfg: sections out of scope are read, for the network builder to refuse") {
  for (const char* type :
       {"rnn", "gru", "lstm", "crnn", "conv_lstm", "history", "contrastive", "local", "detection", "iseg"}) {
    const Cfg cfg = parse_cfg(net(fmt::format("[{}]\nanything = at, all\n", type)), "small.cfg");
    CHECK(cfg.layer(0).type == type);
    CHECK(cfg.layer(0).text("anything", "") == "at, all");
    CHECK(same_sections(cfg, parse_cfg(cfg.to_text(), "small.cfg")));
  }
  CHECK(parse_cfg(net("[implicit]\nmean=1.0\nstd=.02\nfilters=7\n"), "small.cfg").layer(0).type == "implicit");
  CHECK(parse_cfg(net("[cost]\ntype=sse\n"), "small.cfg").layer(0).type == "cost");
  CHECK(parse_cfg(net("[crop]\ncrop_width=7\n"), "small.cfg").layer(0).type == "crop");
  CHECK(parse_cfg(net("[normalization]\nalpha=1e-4\n"), "small.cfg").layer(0).type == "lrn");
}

TEST_CASE("cfg: files") {
  const auto folder = std::filesystem::temp_directory_path();
  CHECK_THROWS_AS(read_cfg(folder / "rook-no-such-file.cfg"), Error);
  CHECK_THROWS_AS(read_cfg(folder), Error);
  const auto file = folder / "rook_cfg_parse_test.cfg";
  std::ofstream(file) << kSmall;
  const Cfg cfg = read_cfg(file);
  std::filesystem::remove(file);
  CHECK(cfg.name == "rook_cfg_parse_test");
  CHECK(same_sections(cfg, parse_cfg(kSmall, "small.cfg")));
}
