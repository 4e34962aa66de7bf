// rook inspect as a user runs it: the page, the numbers, and what it says when something is missing.
#include <nlohmann/json.hpp>

#include "tests/app/cli_support.h"

using namespace rook;
using namespace rook::test;

namespace {

fs::path photo_of(const std::string& name) {
  return tiny_run().data / "test/images" / name;
}

}  // namespace

TEST_CASE("rook inspect: a page about a photo, with the labels beside it") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string(), photo = photo_of("photo-0.png").string();
  const fs::path page = folder / "page.html";
  const std::string said =
      output_of({"inspect", "--model", run, photo, "--out", page.string(), "--layer", "2", "--channels", "4"});
  CHECK(shows(said, "photo-0.png"));
  CHECK(shows(said, "truths (the label file beside the photo)"));
  CHECK(shows(said, "page: " + page.string()));
  const ByteVector bytes = load(page);
  const std::string html(bytes.begin(), bytes.end());
  for (const char* words : {"What it finds", "Layer 2 [", "4 of ", "Which anchor claims which truth",
                            "How the loss pulls", "those of the label file beside the photo", "href=\"#photo\""})
    CHECK_MESSAGE(shows(html, words), words);
  CHECK(!shows(html, "<script"));
  CHECK(html.size() < 1 << 20);
}

TEST_CASE("rook inspect: fields of the numbers about a photo") {
  const std::string run = tiny_run().run.string(), photo = photo_of("photo-1.png").string();
  const nlohmann::json inside = json_of({"inspect", "--model", run, photo, "--data", tiny_run().data.string(), "--runs",
                                         "1", "--layer", "0", "--layer", "3", "--cell", "1,2"});
  const nlohmann::json& about = inside["photo"];
  CHECK(keys_of(about) == Keys{"image", "width", "height", "ms", "detections", "maps", "heads", "truths_from", "truths",
                               "claims", "step"});
  CHECK(about["truths_from"] == "labels");
  REQUIRE(about["maps"].size() == 2);
  CHECK(keys_of(about["maps"][1]) == Keys{"layer", "silent_channels", "channels", "greatest", "cell", "sees"});
  CHECK(about["maps"][1]["layer"] == 3);
  CHECK(about["maps"][1]["cell"] == nlohmann::json{1, 2});
  CHECK(keys_of(about["heads"][0]) == Keys{"layer", "cells", "anchors"});
  REQUIRE(!about["claims"].empty());
  CHECK(keys_of(about["claims"][0]) ==
        Keys{"truth", "head", "cell", "anchor", "shape_overlap", "objectness", "overlap"});
  CHECK(keys_of(about["step"]) == Keys{"loss", "gradient_norm", "layers"});
  CHECK(about["step"]["gradient_norm"].get<double>() > 0);
  CHECK(keys_of(about["step"]["layers"][0]) == Keys{"layer", "gradient", "weight", "ratio", "others"});
}

TEST_CASE("rook inspect: a photo without labels, and a network without weights") {
  const TempFolder folder;
  const fs::path bare = folder / "bare.png";
  save(bare, load(photo_of("photo-0.png")));
  const nlohmann::json own =
      json_of({"inspect", "--model", tiny_run().run.string(), bare.string(), "--runs", "1", "--conf", "0.1"});
  CHECK(own["photo"]["truths_from"] == (own["photo"]["detections"].empty() ? "none" : "detections"));
  CHECK(own["photo"]["truths"].size() == own["photo"]["detections"].size());
  const fs::path page = folder / "net.html";
  output_of({"inspect", "--model", "rook-nano", "--size", "64", "--runs", "1", "--out", page.string()});
  const ByteVector bytes = load(page);
  CHECK(shows(std::string(bytes.begin(), bytes.end()), "The network"));
}

TEST_CASE("rook inspect: what is missing or wrong is named, and nothing is written") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string(), photo = photo_of("photo-0.png").string();
  const std::string page = (folder / "page.html").string(), nothing = (folder / "nothing.png").string();
  const auto inspect = [&](Words more) {
    Words words{"inspect", "--model", run, "--out", page};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  check_failure(inspect({nothing}), nothing);
  check_failure(inspect({photo, "--layer", "999"}), "no layer 999");
  check_failure(inspect({photo, "--layer", "2", "--cell", "99,0"}), "there is no cell 99,0");
  check_failure(inspect({photo, "--cell", "3"}), "--cell 3: write COLUMN,ROW");
  check_failure(inspect({"--layer", "2"}), "name one");
  check_failure(inspect({photo, "--data", nothing}), nothing);
  check_failure({"inspect", "--model", run, photo}, "--out page.html");
  save(folder / "other.png", load(photo));
  check_failure(inspect({(folder / "other.png").string(), "--data", tiny_run().data.string()}),
                "has no labelled photo 'other.png'");
  append_text(folder / "other.txt", "0 0.5 0.5 0.2 0.2\n17 0.5 0.5 0.2 0.2\n");
  check_failure(inspect({(folder / "other.png").string()}), "other.txt:2");
  CHECK(!fs::exists(page));
}
