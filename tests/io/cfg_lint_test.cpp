// Each trap is warned of, in its line, and only where it is one.
#include <doctest/doctest.h>

#include "tests/io/cfg_fixtures.h"

using namespace rook;
using namespace rook::io;
using namespace rook::io::fixtures;

namespace {

struct Trap {
  std::string from, to;  // change of kSmall
  std::string warning;   // the whole of the warnings
};

// Two heads over the same four anchors with these masks.
std::string two_heads(const std::string& first, const std::string& second) {
  const std::string anchors = "anchors=1,1, 2,2, 3,3, 4,4\nnum=4\nclasses=1\n";
  return "[net]\nwidth=32\nheight=32\nchannels=3\n"
         "[convolutional]\nfilters=12\nactivation=linear\n[yolo]\nmask=" +
         first + "\n" + anchors + "[convolutional]\nfilters=12\nactivation=linear\n[yolo]\nmask=" + second + "\n" +
         anchors;
}

}  // namespace

TEST_CASE("cfg lint: one trap at a time") {
  const std::vector<Trap> traps = {
      {"width=64", "width=65",
       "2: [net] width=65 is no multiple of 32; layers that are halved five times round it, take 64\n"},
      {"height=32", "height=7",
       "3: [net] height=7 is no multiple of 32; layers that are halved five times round it, take 32\n"},
      {"channels=3\n", "", "1: [net] has no channels=; 3 is used, add channels=3\n"},
      {"channels=3", "channels=3\nmosaic=1\nletter_box=1",
       "6: [net] mosaic=1 with letter_box=1; darknet refuses to train with both, take one of them\n"},
      {"channels=3", "channels=3\nbatch=10\nsubdivisions=4",
       "6: [net] batch=10 is no multiple of subdivisions=4; darknet drops the remainder\n"},
      {"channels=3", "channels=3\nlearning_rate=.1",
       "1: [net] max_batches is 0 but there are training keys; darknet's training ends at once, set it\n"},
      {"channels=3", "channels=3\nmax_batches=9\nsteps=1\nscales=.1",
       "6: [net] steps= is used with policy=steps only; add it\n"},
      {"channels=3", "channels=3\nmax_batches=9\npolicy=steps\nsteps=1\nscales=.1,.2",
       "8: [net] more scales than steps; the last ones are never used\n"},
      {"activation=leaky\n", "",
       "6: [convolutional] has no activation=; darknet's default is logistic, not linear: say which\n"},
      {"filters=14", "filters=15", "7: [convolutional] filters=15 but the [yolo] in line 12 needs 14\n"},
      {"[yolo]", "[maxpool]\n[yolo]", "13: [yolo] has no [convolutional] right before it to compute its boxes\n"},
      {"classes=2\n", "",
       "7: [convolutional] filters=14 but the [yolo] in line 12 needs 50\n"
       "12: [yolo] has no classes=; darknet's default of 20 is used\n"},
      {"jitter=.3", "objectness_smooth=1",
       "17: [yolo] objectness_smooth=1: trained as darknet does it, positives get no objectness and mAP may stay 0; "
       "set 0 to "
       "train\n"},
      {"jitter=.3", "cls_normalizer=.5",
       "17: [yolo] cls_normalizer has no effect in darknet without counters_per_class\n"},
      {"jitter=.3", "stopbackward=800",
       "17: [yolo] stopbackward=800 freezes the layers before it for 800 iterations in darknet; they are trained from "
       "the start, or with --freeze 1 never\n"},
      {"jitter=.3", "dont_update=5", "17: [yolo] dont_update='5' is not supported; it is not used\n"},
  };
  for (const Trap& trap : traps) {
    INFO("\"", trap.from, "\" -> \"", trap.to, "\"");
    CHECK(warnings_of(parse_cfg(with(kSmall, trap.from, trap.to), "small.cfg")) == trap.warning);
  }
}

TEST_CASE("cfg lint: what is no trap is not warned of") {
  for (const char* fine :
       {"jitter=.3\ncls_normalizer=.5\ncounters_per_class=3,4", "objectness_smooth=0", "cls_normalizer=1.0"}) {
    CHECK(warnings_of(parse_cfg(with(kSmall, "jitter=.3", fine), "small.cfg")) == "");
  }
  for (const char* fine : {"mosaic=1", "letter_box=1", "batch=64\nsubdivisions=8", "learning_rate=.1\nmax_batches=1"}) {
    CHECK(warnings_of(parse_cfg(with(kSmall, "channels=3", "channels=3\n" + std::string(fine)), "small.cfg")) == "");
  }
}

TEST_CASE("cfg lint: masks") {
  CHECK(warnings_of(parse_cfg(two_heads("2,3", "0,1"), "small.cfg")) == "");
  // yolov4-tiny's: one anchor without a head, one with two.
  CHECK(warnings_of(parse_cfg(two_heads("2,3", "1,2"), "small.cfg")) ==
        "17: [yolo] anchor 0 is in no head's mask; objects of that size are never learned\n"
        "17: [yolo] anchor 2 is also in the mask of the head in line 8; one head should have it\n");
  // Heads with anchors of their own each are no family.
  CHECK(warnings_of(parse_cfg(with(two_heads("0,1,2,3", "0,1,2,3"), "1,1, 2,2", "9,9, 8,8"), "small.cfg"))
            .find("anchor") == std::string::npos);
}
