// What the page of an inspection and its JSON hold, and that any browser shows it.
#include <functional>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <string>

#include "tests/model/inspect_support.h"

using namespace rook;
using namespace rook::test;
using namespace rook::test::inspected;

namespace {

bool holds(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

void for_each(const pugi::xml_node& node, const std::function<void(const pugi::xml_node&)>& visit) {
  for (const pugi::xml_node& child : node.children())
    if (child.type() == pugi::node_element) {
      visit(child);
      for_each(child, visit);
    }
}

// Well-formed, nothing that runs, nothing that is loaded from elsewhere, no coordinate that is not a number.
int check_page(const std::string& html) {
  pugi::xml_document page;
  const pugi::xml_parse_result result = page.load_buffer(html.data(), html.size());
  REQUIRE_MESSAGE(result.status == pugi::status_ok, result.description(), " near ",
                  html.substr(static_cast<std::size_t>(result.offset), 80));
  int pictures = 0;
  for_each(page, [&](const pugi::xml_node& node) {
    CHECK(std::string(node.name()) != "script");
    for (const char* name : {"src", "href"}) {
      const std::string address = node.attribute(name).value();
      if (address.empty()) continue;
      const bool own = address == "#photo" || address.starts_with("data:image/");
      CHECK_MESSAGE(own, address.substr(0, 40));
      pictures += address != "#photo";
    }
    for (const pugi::xml_attribute& attribute : node.attributes()) {
      const std::string value = attribute.value();
      CHECK_MESSAGE((value.starts_with("data:") || !holds(value, "nan")), value);
    }
  });
  CHECK(!holds(html.substr(0, html.find("</style>")), "url("));
  return pictures;
}

}  // namespace

TEST_CASE("inspect: the page holds all of it") {
  Model model = model_of(kTwoHeads);
  model.names = {"a<b", "c&d"};
  InspectOptions options = options_for(cpu_backend());
  options.layers = {1, 6};
  options.channels = 5;
  const InspectPhoto photo = labelled(kTruths);
  const Inspection all = inspect(model, options, &photo);
  const std::string html = inspect_html(all);
  const int pictures = check_page(html);
  CHECK(pictures == 1 + 2 * 5 + 2 * 3);  // the photo, maps, heat of both heads: all anchors and each
  for (const char* words :
       {"The network", "What it finds", "What the heads say", "Which anchor claims which truth",
        "What the layers make of it", "How the loss pulls", "Layers", "Layer 1 [convolutional]: 16x16, 5 of 8 channels",
        "Layer 6 [upsample]", "those of the test", "a&lt;b", "c&amp;d", "noise &lt;1&gt;.png", "Anchors to scale",
        "prefers-color-scheme:dark"})
    CHECK_MESSAGE(holds(html, words), words);
  CHECK(html.size() < 1 << 20);
  CHECK(holds(summary(*all.photo), "5 truths (the test)"));
  // Numbers of the page's JSON.
  const nlohmann::json json = to_json(all);
  CHECK(json["layers"].size() == 10);
  CHECK(json["layers"][1]["receptive_field"] == nlohmann::json{7, 7});
  CHECK(json["photo"]["truths_from"] == "labels");
  CHECK(json["photo"]["claims"].size() == all.photo->claims.size());
  CHECK(json["photo"]["heads"][1]["anchors"][1]["width"] == 8.0);
  CHECK(json["photo"]["step"]["layers"].size() == 5);
  CHECK(json["photo"]["maps"][0]["channels"].size() == 5);
  // Without a photo: the network alone.
  const std::string alone = inspect_html(inspect(model, options_for(cpu_backend()), nullptr));
  CHECK(check_page(alone) == 0);
  CHECK(holds(alone, "The network"));
  CHECK(!holds(alone, "How the loss pulls"));
}

TEST_CASE("inspect: photos without labels") {
  Model model = model_of(kTwoHeads);
  InspectPhoto photo = labelled({});
  photo.labelled = false;
  InspectOptions options = options_for(cpu_backend());
  const Inspection own = inspect(model, options, &photo);
  REQUIRE(!own.photo->detections.empty());
  CHECK(own.photo->truths.size() == own.photo->detections.size());
  CHECK(own.photo->step.has_value());
  CHECK(holds(inspect_html(own), "came without labels: what the network itself is confident of"));
  options.detector.threshold = 0.9999f;  // nothing is that sure
  const Inspection none = inspect(model, options, &photo);
  CHECK(none.photo->truths.empty());
  CHECK(!none.photo->step.has_value());
  const std::string html = inspect_html(none);
  check_page(html);
  CHECK(holds(html, "nothing that an anchor could claim"));
  CHECK(!holds(html, "Which anchor claims"));
  CHECK(to_json(none)["photo"]["step"].is_null());
  // A photo that is labelled as empty is one without truths, whatever is found.
  photo.labelled = true;
  CHECK(inspect(model, options_for(cpu_backend()), &photo).photo->truth_source == TruthSource::labels);
  CHECK(inspect(model, options_for(cpu_backend()), &photo).photo->truths.empty());
}

TEST_CASE("inspect: pages of region heads, of letterboxed photos, of what the emulator computed") {
  const InspectPhoto photo = labelled(kTruths);
  Model region = model_of(kRegion);
  const Inspection of_region = inspect(region, options_for(cpu_backend()), &photo);
  CHECK(of_region.photo->heads.front().anchors == 2);
  CHECK(of_region.photo->claims.size() >= kTruths.size() - 1);
  check_page(inspect_html(of_region));

  Model model = model_of(kTwoHeads);
  if (emu_backend()) check_page(inspect_html(inspect(model, options_for(*emu_backend()), &photo)));
  model.preprocess.fit = Fit::letterbox;
  InspectPhoto wide = labelled({{0.5f, 0.5f, 0.25f, 0.5f, 0}});
  wide.image = noise_photo(128, 64);
  check_page(inspect_html(inspect(model, options_for(cpu_backend()), &wide)));
}
