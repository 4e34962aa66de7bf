// Changing a cfg and writing it; suggestions; the table of keys.
#include <doctest/doctest.h>

#include <set>

#include "io/cfg_schema.h"
#include "io/cfg_value.h"
#include "tests/io/cfg_fixtures.h"

using namespace rook;
using namespace rook::io;
using namespace rook::io::fixtures;

TEST_CASE("cfg: to_text") {
  const std::string canonical =
      "[net]\nwidth=64\nheight=32\nchannels=3\n\n[convolutional]\nfilters=14\nsize=3\npad=1\nactivation=leaky\n\n"
      "[yolo]\nmask=0,1\nanchors=10,14,23,27\nnum=2\nclasses=2\njitter=.3\n";
  const std::string messy =
      "[network] # n\nwidth = 64\nheight\t=32\r\nchannels=3\n[conv]\nfilters=14 ; "
      "f\nsize=3\n\n\npad=1\nactivation=leaky\n"
      "[yolo]\nmask = 0, 1\nanchors = 10,14,  23,27\nnum=2\nclasses=2\njitter=.3";
  CHECK(parse_cfg(messy, "small.cfg").to_text() == canonical);
  CHECK(parse_cfg(canonical, "small.cfg").to_text() == canonical);
}

TEST_CASE("cfg: set replaces or appends, and refuses what could not be read back") {
  Cfg cfg = parse_cfg(kSmall, "small.cfg");
  CfgSection& conv = cfg.sections[1];
  conv.set("filters", "28");
  conv.set("stride", "2");
  CHECK(conv.integer("filters", 0) == 28);
  CHECK(conv.entries.front().key == "filters");
  CHECK(conv.entries.back().key == "stride");
  cfg.sections[2].set("anchors", "1, 2, 3, 4");
  CHECK(cfg.layer(1).text("anchors", "") == "1,2,3,4");
  CHECK(same_sections(cfg, parse_cfg(cfg.to_text(), "small.cfg")));
  for (const char* junk : {"", "x", "1.5", "0", "2 # two", "2\nsize=5"})
    CHECK_THROWS_AS(conv.set("filters", junk), Error);
  for (const char* key : {"", "a=b", "[a", "a\nb", " a", "#a"}) CHECK_THROWS_AS(conv.set(key, "1"), Error);
  CHECK(conv.integer("filters", 0) == 28);
}

TEST_CASE("cfg: set_classes sets every head and the convolution before it") {
  const std::string text =
      "[net]\nwidth=32\nheight=32\nchannels=3\n"
      "[convolutional]\nfilters=7\nactivation=linear\n[yolo]\nmask=1\nanchors=1,2,3,4\nnum=2\nclasses=2\ncounters_per_"
      "class=5,6\n"
      "[convolutional]\nfilters=11\nactivation=linear\n[Gaussian_yolo]\nmask=0\nanchors=1,2,3,4\nnum=2\nclasses=2\n"
      "[convolutional]\nfilters=35\nactivation=linear\n[region]\nanchors=1,2,3,4,5,6,7,8,9,10\nnum=5\nclasses=2\n";
  Cfg cfg = parse_cfg(text, "heads.cfg");
  CHECK(warnings_of(cfg) == "");
  cfg.set_classes(13);
  CHECK(cfg.classes() == 13);
  CHECK(cfg.layer(0).integer("filters", 0) == (13 + 5) * 1);
  CHECK(cfg.layer(2).integer("filters", 0) == (13 + 9) * 1);
  CHECK(cfg.layer(4).integer("filters", 0) == (13 + 5) * 5);
  CHECK_FALSE(cfg.layer(1).has("counters_per_class"));
  CHECK(warnings_of(cfg) == "");
  CHECK(same_sections(cfg, parse_cfg(cfg.to_text(), "heads.cfg")));

  // A head without mask has all anchors.
  Cfg all = parse_cfg(with(kSmall, "mask=0,1\n", ""), "small.cfg");
  all.set_classes(80);
  CHECK(all.layer(0).integer("filters", 0) == 2 * 85);
}

TEST_CASE("cfg: set_classes mends warnings about the old classes, and leaves a refused cfg as it was") {
  Cfg cfg = parse_cfg(with(with(kSmall, "filters=14", "filters=13"), "channels=3", "angle=7"), "small.cfg");
  CHECK(contains(warnings_of(cfg), "filters=13 but the [yolo] in line 12 needs 14"));
  cfg.set_classes(3);
  CHECK_FALSE(contains(warnings_of(cfg), "filters"));
  CHECK(contains(warnings_of(cfg), "angle"));     // of the parser: stays
  CHECK(contains(warnings_of(cfg), "channels"));  // still true

  CHECK_THROWS_AS(cfg.set_classes(0), Error);
  CHECK_THROWS_AS(cfg.set_classes(-1), Error);
  CHECK_THROWS_AS(cfg.set_classes(2000000000), Error);
  CHECK(cfg.classes() == 3);
  CHECK(cfg.layer(0).integer("filters", 0) == 16);

  Cfg headless = parse_cfg("[net]\nwidth=32\nheight=32\n[maxpool]\nsize=2\n", "headless.cfg");
  CHECK(headless.classes() == 0);
  CHECK_THROWS_AS(headless.set_classes(3), Error);
  Cfg no_conv = parse_cfg(with(kSmall, "[yolo]", "[maxpool]\n[yolo]"), "small.cfg");
  CHECK_THROWS_AS(no_conv.set_classes(3), Error);
  CHECK(no_conv.classes() == 2);
}

TEST_CASE("cfg: classes of heads that differ") {
  const std::string second =
      "[convolutional]\nfilters=16\nactivation=linear\n[yolo]\nanchors=1,2,3,4\nnum=2\nclasses=3\n";
  CHECK_THROWS_WITH_AS(parse_cfg(kSmall + second, "small.cfg").classes(),
                       "small.cfg:24: [yolo] has classes=3 but the head in line 12 has 2; make them equal", Error);
}

TEST_CASE("cfg: did_you_mean") {
  const std::vector<std::string> words = {"filters", "size", "stride", "stride_x", "pad", "padding"};
  CHECK(did_you_mean("filter", words) == "filters");
  CHECK(did_you_mean("fitlers", words) == "filters");
  CHECK(did_you_mean("FILTERS", words) == "filters");
  CHECK(did_you_mean("stride_y", words) == "stride_x");
  CHECK(did_you_mean("stirde", words) == "stride");
  CHECK(did_you_mean("paddin", words) == "padding");
  CHECK_FALSE(did_you_mean("momentum", words));
  CHECK_FALSE(did_you_mean("", words));
  CHECK_FALSE(did_you_mean("x", words));
  CHECK_FALSE(did_you_mean("size", {}));
  CHECK_FALSE(did_you_mean(std::string(100000, 'f'), words));
}

TEST_CASE("cfg: every row of the table is sound") {
  std::set<std::string> spellings;
  for (const auto& name : section_names()) {
    CHECK(spellings.insert(name).second);  // no two sections share one
    REQUIRE(find_schema(name) != nullptr);
  }
  for (const CfgSchema& schema : all_schemas()) {
    CHECK(find_schema(schema.type) == &schema);
    std::set<std::string> names;
    for (const auto& name : key_names(schema)) {
      INFO(schema.type, " ", name);
      CHECK(names.insert(name).second);  // also not one of those that every layer has
      const CfgKey* key = find_key(schema, name);
      REQUIRE(key != nullptr);
      CHECK(key->name == name);
      CHECK(key->least <= key->most);
      CHECK((key->type == KeyType::choice) == !key->choices.empty());
      if (!key->fallback.empty()) CHECK_FALSE(value_problem(*key, key->fallback));
    }
  }
  CHECK(find_schema("") == nullptr);
  CHECK(find_schema("conv ") == nullptr);
  CHECK(find_key(*find_schema("net"), "stopbackward") == nullptr);
  CHECK(find_key(*find_schema("avgpool"), "stopbackward") != nullptr);
}
