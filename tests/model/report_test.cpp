// The page is well-formed, escapes what users write, needs nothing from outside, and draws inside its frames.
#include "model/report.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <pugixml.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "model/report_html.h"
#include "model/report_svg.h"
#include "tests/files.h"
#include "tests/model/report_support.h"

namespace rook::test {
namespace {

void parse(pugi::xml_document& page, const std::string& html) {
  const pugi::xml_parse_result result = page.load_buffer(html.data(), html.size());
  REQUIRE_MESSAGE(result.status == pugi::status_ok, result.description(), " near ",
                  html.substr(static_cast<std::size_t>(result.offset), 80));
}

void for_each_element(const pugi::xml_node& node, const std::function<void(const pugi::xml_node&)>& visit) {
  for (const pugi::xml_node& child : node.children()) {
    if (child.type() != pugi::node_element) continue;
    visit(child);
    for_each_element(child, visit);
  }
}

// Elements, attributes and addresses are those the page is made of: nothing that runs, nothing that loads.
void check_harmless(const pugi::xml_document& page) {
  const std::set<std::string> elements = {"html",  "head",  "meta", "title",    "style",   "body",   "header",
                                          "h1",    "h2",    "p",    "main",     "section", "ul",     "li",
                                          "b",     "i",     "span", "small",    "div",     "figure", "figcaption",
                                          "svg",   "line",  "text", "polyline", "circle",  "table",  "thead",
                                          "tbody", "tfoot", "tr",   "th",       "td",      "img",    "footer"};
  const std::set<std::string> attributes = {
      "lang", "charset", "name", "content", "class", "role",   "aria-label", "viewBox", "x1",    "x2",  "y1", "y2",
      "x",    "y",       "cx",   "cy",      "r",     "points", "scope",      "title",   "style", "src", "alt"};
  for_each_element(page, [&](const pugi::xml_node& node) {
    CHECK_MESSAGE(elements.contains(node.name()), node.name());
    for (const pugi::xml_attribute& attribute : node.attributes()) {
      CHECK_MESSAGE(attributes.contains(attribute.name()), attribute.name());
      if (std::string(attribute.name()) == "src") {
        CHECK(std::string(attribute.value()).starts_with("data:image/jpeg;base64,"));
      }
    }
  });
  const std::string style = page.select_node("//style").node().text().get();
  CHECK(style.find("url(") == std::string::npos);
  CHECK(style.find("@import") == std::string::npos);
  CHECK(style.find("prefers-color-scheme:dark") != std::string::npos);
}

std::vector<ChartPoint> points_of(const pugi::xml_node& polyline) {
  std::istringstream text(polyline.attribute("points").value());
  std::vector<ChartPoint> points;
  ChartPoint point;
  char comma = 0;
  while (text >> point.x >> comma >> point.y) points.push_back(point);
  CHECK(text.eof());
  return points;
}

// Every coordinate inside the view box, no two labels over each other (a digit of the font takes 7.2 x 13 pixels).
void check_drawing(const pugi::xml_node& svg) {
  double width = 0, height = 0, skipped = 0;
  std::istringstream(svg.attribute("viewBox").value()) >> skipped >> skipped >> width >> height;
  REQUIRE(width > 0);
  struct Label {
    double left, right, baseline;
  };
  std::vector<Label> labels;
  for_each_element(svg, [&](const pugi::xml_node& node) {
    bool inside = true;
    for (const char* name : {"x", "x1", "x2", "cx"}) {
      const double at = node.attribute(name).as_double();
      inside = inside && at >= 0 && at <= width;
    }
    for (const char* name : {"y", "y1", "y2", "cy"}) {
      const double at = node.attribute(name).as_double();
      inside = inside && at >= 0 && at <= height;
    }
    for (const ChartPoint& point : points_of(node)) {
      inside = inside && point.x >= 0 && point.x <= width && point.y >= 0 && point.y <= height;
    }
    CHECK_MESSAGE(inside, node.name());
    const std::string style = node.attribute("class").value();
    if (std::string(node.name()) != "text" || style.find("label") != std::string::npos) return;
    const double x = node.attribute("x").as_double(), size = 7.2 * static_cast<double>(std::strlen(node.text().get()));
    const Label label = style == "end" ? Label{x - size, x, node.attribute("y").as_double()}
                                       : Label{x - size / 2, x + size / 2, node.attribute("y").as_double()};
    CHECK_MESSAGE(label.left >= 0, node.text().get());
    CHECK_MESSAGE(label.right <= width, node.text().get());
    for (const Label& other : labels) {
      const bool apart =
          label.left > other.right || other.left > label.right || std::abs(label.baseline - other.baseline) >= 12;
      CHECK_MESSAGE(apart, node.text().get());
    }
    labels.push_back(label);
  });
}

std::vector<std::uint8_t> from_base64(const std::string& text) {
  std::vector<std::uint8_t> bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    REQUIRE(digits.find(c) != std::string::npos);
    bits = bits << 6 | static_cast<std::uint32_t>(digits.find(c));
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes.push_back(static_cast<std::uint8_t>(bits >> held & 255u));
  }
  return bytes;
}

}  // namespace

TEST_CASE("report: a page of a whole run") {
  const std::string html = report_html(sample_report(chess_classes()));
  pugi::xml_document page;
  parse(page, html);
  check_harmless(page);
  CHECK(html.find("http:") == std::string::npos);
  CHECK(html.find("https:") == std::string::npos);
  CHECK(page.select_nodes("//section").size() == 8);
  CHECK(page.select_nodes("//ul[@class='tiles']/li").size() == 7);
  CHECK(page.select_nodes("//figure[@class='chart']").size() == 4);
  CHECK(page.select_nodes("//figure[@class='pr']").size() == 13);
  CHECK(page.select_nodes("//table[@class='classes']/tbody/tr").size() == 12);
  CHECK(page.select_nodes("//table[@class='confusion']/tbody/tr").size() == 13);
  CHECK(page.select_nodes("//img").size() == 6);
  for (const pugi::xpath_node& svg : page.select_nodes("//svg")) check_drawing(svg.node());
  const auto config = [&](const char* key) {
    return std::string(
        page.select_node(fmt::format("//table[@class='config']//tr[th='{}']/td", key).c_str()).node().text().get());
  };
  CHECK(config("data.folder") == "data/chess");
  CHECK(config("train.batch") == "64");
  CHECK(config("train.seed") == "null");
}

TEST_CASE("report: the figures are those of the run") {
  ReportInput input = sample_report(chess_classes());
  input.evaluation.map50 = 0.8125;
  input.metrics = {{{"type", "train"}, {"iteration", 1}, {"images_per_s", 5.0}, {"seconds", 60}},
                   {{"type", "train"}, {"iteration", 2}, {"images_per_s", 80.0}, {"seconds", 120}},
                   {{"type", "train"}, {"iteration", 3}, {"images_per_s", 81.0}, {"seconds", 180}},
                   {{"type", "eval"}, {"iteration", 3}, {"epoch", 1}, {"map50", 0.5}, {"seconds", 210}}};
  pugi::xml_document page;
  parse(page, report_html(input));
  std::map<std::string, std::string> tiles;
  for (const pugi::xpath_node& tile : page.select_nodes("//ul[@class='tiles']/li")) {
    tiles[tile.node().child("span").text().get()] = tile.node().child("b").text().get();
  }
  CHECK(tiles["mAP50"] == "81.2");
  CHECK(tiles["training time"] == "3.5");  // the last evaluation included
  CHECK(tiles["images"] == "80");          // the median
  // mAP50 of one half lies halfway between the grid lines of 0 and 1.
  const pugi::xml_node svg = page.select_node("//svg[@aria-label='Mean average precision']").node();
  const double half = svg.child("circle").attribute("cy").as_double();
  double low = 1e9, high = -1e9;
  for (const pugi::xml_node& line : svg.children("line")) {
    if (std::string(line.attribute("class").value()) != "grid") continue;
    low = std::min(low, line.attribute("y1").as_double());
    high = std::max(high, line.attribute("y1").as_double());
  }
  CHECK(std::abs(half - (low + high) / 2) <= 0.1);
}

TEST_CASE("report: hostile text stays text") {
  const std::string hostile =
      "</title></style><script>alert('1')</script>\"' onload=\"x\" ]]>&amp; {} % <!-- \x01 \xff";
  const std::string shown =
      "</title></style><script>alert('1')</script>\"' onload=\"x\" ]]>&amp; {} % <!-- \ufffd \ufffd";
  ReportInput input = sample_report({hostile, "plain"});
  input.title = hostile;
  input.run_folder = hostile;
  input.evaluation.preprocess = hostile;
  input.worst[0].caption = hostile;
  input.config = {{hostile, {{hostile, hostile}, {"list", {hostile}}}}};
  for (nlohmann::json& line : input.metrics) {
    if (line["type"] == "eval" && line["iteration"].get<int>() % 200 == 0) line["split"] = hostile;
  }
  pugi::xml_document page;
  parse(page, report_html(input));
  check_harmless(page);
  CHECK(page.select_node("//title").node().text().get() == shown);
  CHECK(page.select_node("//table[@class='classes']/tbody/tr/th").node().text().get() == shown);
  CHECK(page.select_node("//table[@class='config']/tbody/tr/th").node().text().get() == shown + "." + shown);
  CHECK(page.select_node("//img").node().attribute("alt").value() == shown);
  CHECK(page.select_nodes("//figure[@class='chart'][2]//li").size() == 4);  // two splits, two figures each
}

TEST_CASE("report: without a run, without photos, with damaged lines") {
  pugi::xml_document page;
  parse(page, report_html({}));
  check_harmless(page);
  CHECK(page.select_nodes("//svg").empty());
  ReportInput input;
  input.evaluation = evaluate({}, class_names(2));
  const double infinite = std::numeric_limits<double>::infinity();
  input.metrics = {nullptr,
                   5,
                   nlohmann::json::array(),
                   nlohmann::json::object(),
                   {{"type", 3}, {"split", 4}, {"seconds", "many"}},
                   {{"type", "train"}, {"iteration", 1}, {"loss", infinite}, {"box", nullptr}, {"lr", 1e-4}},
                   {{"type", "train"}, {"iteration", 2}, {"loss", -infinite}, {"box", "x"}, {"lr", 0}},
                   {{"type", "eval"}, {"iteration", 2}, {"split", 4}}};
  const std::string html = report_html(input);
  parse(page, html);
  check_harmless(page);
  REQUIRE(page.select_nodes("//svg").size() == 1);
  check_drawing(page.select_node("//svg").node());
  CHECK(html.find("nan") == std::string::npos);
  CHECK(html.find("inf\"") == std::string::npos);
}

TEST_CASE("report: charts of any range keep in their frame and their labels apart") {
  Random random(17);
  for (int round = 0; round < 150; ++round) {
    Chart chart{.title = "t", .x_label = "x", .series = {}, .unit_y = false, .log_when_wide = round % 2 == 0};
    const double scale = std::pow(10.0, random.uniform(-7, 9)), spread = std::pow(10.0, random.uniform(-3, 7));
    for (int s = 0; s < 3; ++s) {
      Series series{.name = "s", .points = {}, .color = s};
      const std::int64_t count = random.below(40);
      double x = random.uniform(0, 1e5);
      for (std::int64_t i = 0; i < count; ++i) {
        x += random.uniform(0, std::pow(10.0, round % 6));
        const double sign = round % 5 == 0 && random.below(2) == 0 ? -1 : 1;
        series.points.push_back({x, sign * scale * std::pow(spread, random.uniform())});
      }
      chart.series.push_back(series);
    }
    CAPTURE(round);
    pugi::xml_document page;
    parse(page, draw_chart(chart));
    check_drawing(page.select_node("//svg").node());
  }
}

TEST_CASE("report: ticks are round and inside") {
  const auto near = [](const std::vector<double>& actual, const std::vector<double>& expected) {
    if (actual.size() != expected.size()) return false;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      if (!(std::abs(actual[i] - expected[i]) <= 1e-9 * std::abs(expected[i]) + 1e-15)) return false;
    }
    return true;
  };
  CHECK(near(linear_ticks(0, 1, 5), {0, 0.2, 0.4, 0.6, 0.8, 1}));
  CHECK(near(linear_ticks(3, 47, 5), {10, 20, 30, 40}));
  CHECK(near(linear_ticks(-2, 2, 4), {-2, -1, 0, 1, 2}));
  CHECK(linear_ticks(1, 1, 5).empty());
  CHECK(near(log_ticks(0.9, 110), {1, 2, 5, 10, 20, 50, 100}));
  CHECK(near(log_ticks(0.05, 50), {0.05, 0.1, 0.5, 1, 5, 10, 50}));
  CHECK(near(log_ticks(0.5, 2e4), {1, 10, 100, 1000, 10000}));
}

TEST_CASE("report: thinning keeps the mean") {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 120; ++i) points.push_back({static_cast<double>(i), static_cast<double>(i * i)});
  CHECK(thin(points, 120).size() == 120);
  const std::vector<ChartPoint> few = thin(points, 30);
  REQUIRE(few.size() == 30);
  CHECK(few[0].x == 1.5);
  CHECK(few[0].y == 3.5);
  CHECK(thin(points, 50).size() == 40);  // runs of three
  CHECK(thin({}, 10).empty());
}

TEST_CASE("report: pictures are inside the page, not larger than needed") {
  const io::Image image = sample_picture(1400, 900, 0);
  const std::string url = data_url(image, 700), head = "data:image/jpeg;base64,";
  REQUIRE(url.starts_with(head));
  CHECK((url.size() - head.size()) % 4 == 0);
  const io::Image back = io::decode_image(from_base64(url.substr(head.size())), "picture");
  CHECK(back.width == 700);
  CHECK(back.height == 450);
  CHECK(std::abs(back.pixels[3 * (10 * 700 + 10)] - image.pixels[3 * (20 * 1400 + 20)]) <= 4);
  const io::Image small = shrink({5, 2, 1, {0, 10, 20, 30, 99, 1, 1, 41, 41, 99}}, 2);
  CHECK(small.width == 2);
  CHECK(small.height == 1);
  CHECK(small.pixels == std::vector<std::uint8_t>{3, 33});
}

TEST_CASE("report: escaping") {
  CHECK(escape_html("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;");
  CHECK(escape_html("Läufer 王 🏰\t\n") == "Läufer 王 🏰\t\n");
  const std::string bad = "\xef\xbf\xbd";
  CHECK(escape_html(std::string("a\0b", 3)) == "a" + bad + "b");
  CHECK(escape_html("\xc3") == bad);                                // cut short
  CHECK(escape_html("\xc0\xbc") == bad + bad);                      // '<' in two bytes
  CHECK(escape_html("\xed\xa0\x80") == bad + bad + bad);            // half of a surrogate pair
  CHECK(escape_html("\xf4\x90\x80\x80") == bad + bad + bad + bad);  // beyond U+10FFFF
  CHECK(escape_html("\xef\xbf\xbf") == bad + bad + bad);            // U+FFFF
  CHECK(short_number(0) == "0");
  CHECK(short_number(-0.0) == "0");
  CHECK(short_number(12000) == "12k");
  CHECK(short_number(2500000) == "2.5M");
  CHECK(short_number(0.00261) == "0.00261");
}

TEST_CASE("report: written as a file") {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "rook_report_test";
  std::filesystem::create_directories(folder);
  const ReportInput input = sample_report({"one"});
  write_report(folder / "report.html", input);
  CHECK(text_of(folder / "report.html") == report_html(input));
  CHECK_THROWS_AS(write_report(folder / "no such folder" / "report.html", input), Error);
  std::filesystem::remove_all(folder);
}

}  // namespace rook::test
