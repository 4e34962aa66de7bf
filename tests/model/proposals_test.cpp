// Proposals and how certain they are.
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <pugixml.hpp>

#include "model/proposals.h"
#include "model/proposals_review.h"
#include "tests/io/picture_support.h"
#include "tests/model/evaluate_support.h"
#include "tests/model/photos.h"

using namespace rook;
using namespace rook::test;

namespace {

const std::vector<std::string> kPieces{"rook", "pawn", "queen"};

Detection box(double score, int cls = 0, double left = 0.2) {
  return detection_at(score, left, 0.2, left + 0.2, 0.4, cls);
}

std::size_t count_of(const std::string& text, const std::string& words) {
  std::size_t count = 0;
  for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("proposals: doubt is a half at the threshold, nothing at 0 and 1, and falls to both sides") {
  for (const float conf : {0.05f, 0.25f, 0.5f, 0.9f}) {
    CHECK(near(presence_doubt(conf, conf), 0.5));
    CHECK((presence_doubt(0, conf) == 0 && presence_doubt(1, conf) == 0));
    double before = 0;
    for (int i = 0; i <= 100; ++i) {
      const double here = presence_doubt(static_cast<float>(i * conf / 100), conf);
      CHECK(here >= before);
      before = here;
    }
    for (int i = 0; i <= 100; ++i) {
      const double here = presence_doubt(conf + static_cast<float>(i) * (1 - conf) / 100, conf);
      CHECK(here <= before + 1e-6);
      before = here;
    }
  }
  CHECK(presence_doubt(1, 1) == 0.5);
}

TEST_CASE("proposals: near the threshold above it, a hint below it") {
  const std::vector<Detection> seen{box(0.2, 1, 0.6), box(0.3), box(0.9, 2, 0.4), box(0.01, 0, 0.05)};
  const PhotoProposals photo = propose(seen, {});
  REQUIRE(photo.boxes.size() == 3);
  CHECK(photo.proposed == 2);
  CHECK((photo.boxes[0].box.cls == 2 && photo.boxes[1].box.cls == 0 && photo.boxes[2].box.cls == 1));
  CHECK(near(photo.boxes[0].doubt, 0.1 / 1.5));
  CHECK(near(photo.boxes[1].doubt, 0.7 / 1.5));
  CHECK((photo.boxes[2].why == Doubt::hint && near(photo.boxes[2].doubt, 0.4)));
  CHECK(near(photo.corrections, 0.8 / 1.5 + 0.4));
  CHECK(most_doubtful(photo, 8, 0.1) == std::vector{1, 2});
  CHECK(most_doubtful(photo, 1, 0) == std::vector{1});
  CHECK(reason(photo, 1, kPieces, {}) == "rook 0.30: unsure that it is there (threshold 0.25)");
  CHECK(reason(photo, 2, kPieces, {}) == "pawn 0.20: not proposed (threshold 0.25), may be missing");
}

TEST_CASE("proposals: two classes at one place are one box in doubt") {
  const PhotoProposals photo = propose(std::vector{box(0.4, 1), box(0.6, 2), box(0.3, 0)}, {});
  REQUIRE(photo.boxes.size() == 1);
  CHECK((photo.boxes[0].box.cls == 2 && photo.boxes[0].why == Doubt::other_class));
  CHECK(near(photo.boxes[0].doubt, 0.4));
  CHECK(reason(photo, 0, kPieces, {}) == "queen 0.60: or pawn 0.40?");
  // Objects that hide each other by less stay two.
  CHECK(propose(std::vector{box(0.9, 1), box(0.9, 2, 0.3)}, {}).boxes.size() == 2);
  // One that is sure is in no doubt for a weak rival.
  CHECK(propose(std::vector{box(0.98, 1), box(0.02, 2)}, {.floor = 0.01f}).corrections < 0.05);
}

TEST_CASE("proposals: boxes of a class that overlap nearly as much as NMS allows may be one") {
  const auto doubt_of = [](double left) { return propose(std::vector{box(0.99), box(0.98, 0, left)}, {}).boxes[1]; };
  const Proposal half = doubt_of(0.2 + 0.2 * (1 - 2 * 0.44 / 1.44));  // IoU 0.44
  CHECK(half.why == Doubt::twice);
  CHECK(near(half.overlap, 0.44));
  CHECK(std::abs(half.doubt - (0.44 - 0.225) / 0.225 / 2) < 1e-5);
  CHECK(doubt_of(0.35).why == Doubt::threshold);
  // What a hint shares with a box is no news.
  const PhotoProposals photo = propose(std::vector{box(1), box(0.2, 0, 0.3)}, {});
  CHECK(near(photo.corrections, 0.4 * (1 - 1.0 / 3)));
}

TEST_CASE("proposals: the surest ones where there is a limit; nothing seen is a doubt of its own") {
  const std::vector<Detection> seen{box(0.5, 0, 0.1), box(0.9, 0, 0.4), box(0.8, 0, 0.7), box(0.1, 1, 0.7)};
  const PhotoProposals photo = propose(seen, {.max = 2});
  CHECK(photo.proposed == 2);
  CHECK((photo.boxes[0].box.score == 0.9f && photo.boxes[1].box.score == 0.8f));
  CHECK(propose({}, {}).corrections == 0.5);
  // Boxes are cut at the edges, and one that lies outside is none.
  const PhotoProposals cut =
      propose(std::vector{detection_at(0.9, 0.8, -0.2, 1.2, 0.4), detection_at(0.9, 1.1, 0, 1.3, 1)}, {});
  REQUIRE(cut.boxes.size() == 1);
  CHECK((near(cut.boxes[0].box.x, 0.9) && near(cut.boxes[0].box.w, 0.2) && near(cut.boxes[0].box.y, 0.2) &&
         near(cut.boxes[0].box.h, 0.4)));
  const std::vector photos{propose(std::vector{box(0.99)}, {}), propose({}, {}),
                           propose(std::vector{box(0.3), box(0.3, 1, 0.6)}, {}), propose({}, {})};
  CHECK(by_uncertainty(photos) == std::vector{2, 1, 3, 0});
}

TEST_CASE("proposals: any detections give doubts between 0 and a half that add up") {
  Random random(5);
  for (const ImageResult& result : random_results(random, {.photos = 200, .truths = 3, .detections = 40})) {
    const PhotoProposals photo = propose(result.detections, {});
    double sum = 0;
    for (std::size_t i = 0; i < photo.boxes.size(); ++i) {
      const Proposal& p = photo.boxes[i];
      CHECK((p.doubt >= 0 && p.doubt <= 0.5));
      CHECK(p.proposed == (static_cast<int>(i) < photo.proposed));
      CHECK(p.proposed == (p.box.score >= 0.25f));
      CHECK(!reason(photo, static_cast<int>(i), kPieces, {}).empty());
      sum += p.doubt;
    }
    CHECK(near(photo.corrections, photo.boxes.empty() ? 0.5 : sum));
  }
}

TEST_CASE("proposals: the page, JSON and CSV tell the same, and the page needs no other file") {
  const TempFolder folder;
  const io::Split split = write_photos(folder / "photos", 3, 64);
  Review review{.model = "runs/<a>",
                .classes = {"rook & co", "pawn, \"black\"", "queen"},
                .options = {},
                .photos = {},
                .unreadable = {{"x.jpg", "x.jpg: truncated <b>"}}};
  const std::vector<std::vector<Detection>> seen{{box(0.3, 1), box(0.9, 2, 0.6)}, {}, {box(0.99)}};
  for (std::size_t i = 0; i < seen.size(); ++i)
    review.photos.push_back({.file = split.images[i].file,
                             .name = "train/" + split.images[i].name,
                             .width = 64,
                             .height = 64,
                             .proposals = propose(seen[i], {})});
  CHECK(review.proposed() == 3);
  const nlohmann::json json = to_json(review);
  REQUIRE(json["photos"].size() == 3);
  CHECK(json["photos"][0]["photo"] == "train/photo-0.png");
  CHECK((json["photos"][0]["proposals"].size() == 2 && json["photos"][1]["proposals"].empty()));
  CHECK(near(json["photos"][0]["proposals"][1]["box"][0].get<double>(), 0.2 * 64));
  CHECK(json["unreadable"][0]["reason"] == "x.jpg: truncated <b>");

  const std::string csv = to_csv(review);
  CHECK(count_of(csv, "\n") == 5);
  CHECK(csv.find("\n1,train/photo-0.png,") != std::string::npos);
  CHECK(csv.find("\n2,train/photo-1.png,0.5000,0,,,,,,,,\n") != std::string::npos);
  CHECK(csv.find("\"pawn, \"\"black\"\"\",0.3000,12.8,12.8,12.8,12.8,0.4667,threshold\n") != std::string::npos);

  int done = 0;
  const std::string page = review_html(review, 2, [&](int count) { done = count; });
  CHECK(done == 2);
  pugi::xml_document document;
  CHECK(document.load_buffer(page.data(), page.size()).status == pugi::status_ok);
  CHECK(count_of(page, "<img src=\"data:image/jpeg;base64,") == 2);
  CHECK(count_of(page, "src=") == 2);
  CHECK((page.find("http") == std::string::npos && page.find("url(") == std::string::npos));
  CHECK(page.find("runs/<a>") == std::string::npos);
  CHECK(page.find("truncated &lt;b&gt;") != std::string::npos);
  CHECK(page.find("1: pawn, &quot;black&quot; 0.30") != std::string::npos);
  CHECK(page.find("The first 2 are shown") != std::string::npos);
  CHECK(page.find("Nothing is seen") != std::string::npos);
  CHECK(page.find("train/photo-0.png") < page.find("train/photo-1.png"));
}
