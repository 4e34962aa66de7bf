// The page of `rook serve` as a person uses it, in headless Chromium.
#include <nlohmann/json.hpp>

#include "tests/serve/browser.h"
#include "tests/serve/support.h"

using namespace rook;
using namespace rook::test;

namespace {

// What was seen, for people: into the folder ROOK_SCREENSHOTS, where that is set.
void keep(const char* name, const ByteVector& png) {
  const io::Image image = io::decode_image(png, name);
  CHECK((image.width > 300 && image.height > 300));
  if (const char* folder = std::getenv("ROOK_SCREENSHOTS")) save(std::filesystem::path(folder) / name, png);
}

std::string address(const RunningServer& server) {
  return "http://127.0.0.1:" + std::to_string(server.port()) + "/";
}

const std::string kShown = "document.querySelectorAll('#list li').length";

void move_threshold(Browser& browser, double to) {
  browser.evaluate(fmt::format("$('conf').value = {}; $('conf').dispatchEvent(new Event('input'))", to));
}

}  // namespace

TEST_CASE("page: a photo, its boxes, another threshold, the JSON") {
  const std::string program = find_chromium();
  if (program.empty()) {
    MESSAGE("skipped, there is no Chromium: the page in a browser");
    return;
  }
  const RunningServer server;
  const TempFolder folder;
  const io::Image photo = noise_photo(200, 150, 3);
  io::write_image(folder / "a photo.png", photo);
  save(folder / "words.jpg", ByteVector(100, 'x'));
  const nlohmann::json all = ask(server.port(), post("/detect?conf=0.05", png_of(photo))).json()[0]["detections"];
  const auto above = [&](double conf) {
    return std::count_if(all.begin(), all.end(),
                         [&](const auto& box) { return box["score"].template get<double>() > conf; });
  };
  REQUIRE((above(0.38) >= 1 && above(0.38) < above(0.34) && above(0.34) < above(0.3)));

  Browser browser(program);
  browser.resize(1200, 800, 1, false, false);
  browser.open(address(server));
  CHECK(browser.becomes("$('model').textContent.includes('2 classes')"));
  keep("empty.png", browser.screenshot());
  browser.choose_file("#file", folder / "a photo.png");
  REQUIRE(browser.becomes("answer && !$('canvas').hidden"));
  CHECK(browser.evaluate(kShown) == above(0.3));  // the server's own threshold to begin with
  CHECK(browser.evaluate("photo.width + 'x' + photo.height") == "200x150");
  move_threshold(browser, 0.38);
  CHECK(browser.evaluate(kShown) == above(0.38));
  move_threshold(browser, 0.34);
  CHECK(browser.evaluate(kShown) == above(0.34));
  CHECK(
      browser.evaluate("$('count').textContent").get<std::string>().starts_with(std::to_string(above(0.34)) + " box"));
  // Two detections so far: the one above and the page's.
  CHECK(server.service.metrics_text(0).body.find("rook_requests_total{path=\"/detect\",status=\"200\"} 2\n") !=
        std::string::npos);
  keep("photo.png", browser.screenshot());

  browser.evaluate("URL.createObjectURL = blob => { window.saved = blob; return '#'; }; $('json').click()");
  const auto saved = nlohmann::json::parse(browser.evaluate("saved.text()").get<std::string>());
  CHECK(saved[0]["image"] == "a photo.png");
  CHECK(saved[0]["detections"].size() == static_cast<std::size_t>(above(0.34)));
  CHECK(saved[0]["detections"][0]["box"] == all[0]["box"]);
  browser.evaluate("saved = null; $('picture').click()");
  CHECK(browser.becomes("saved && saved.type === 'image/jpeg' && saved.size > 1000"));

  // A box under the pointer is marked in the list.
  browser.evaluate("$('list').children[1].click()");
  CHECK(browser.evaluate("[...$('list').children].findIndex(li => li.className === 'on')") == 1);

  browser.choose_file("#file", folder / "words.jpg");
  CHECK(browser.becomes("!$('error').hidden && $('error').textContent.includes('not a picture')"));
  // What only the browser can read is sent as JPEG.
  browser.evaluate(
      "answer = null; new Promise(d => $('canvas').toBlob(d, 'image/webp')).then(b => open(new File([b], 'x.webp')))");
  CHECK(browser.becomes("answer && answer.image === 'x.webp' && $('error').hidden"));

  for (const bool dark : {false, true}) {
    browser.resize(390, 844, 2, true, dark);
    browser.evaluate("draw()");
    CHECK(browser.evaluate("document.documentElement.scrollWidth <= innerWidth") == true);
    CHECK(browser.evaluate("$('canvas').getBoundingClientRect().right <= innerWidth") == true);
    keep(dark ? "phone-dark.png" : "phone.png", browser.screenshot());
  }
}

TEST_CASE("page: asks for the token when the server does") {
  const std::string program = find_chromium();
  if (program.empty()) {
    MESSAGE("skipped, there is no Chromium: the page asking for a token");
    return;
  }
  serve::ServerOptions options;
  options.token = "secret";
  const RunningServer server(options);
  const TempFolder folder;
  io::write_image(folder / "photo.png", noise_photo(60, 50, 3));
  Browser browser(program);
  browser.open(address(server));
  REQUIRE(browser.becomes("!$('ask').hidden"));
  browser.choose_file("#file", folder / "photo.png");
  CHECK(browser.becomes("$('error').textContent.includes('token')"));
  browser.evaluate("$('token').value = 'secret'; $('ask').requestSubmit()");
  CHECK(browser.becomes("answer && $('ask').hidden && $('error').hidden && !$('canvas').hidden"));
}

// test_serve -ns -tc="page: pictures*" with ROOK_PAGE_MODEL, ROOK_PAGE_PHOTO and ROOK_SCREENSHOTS: those of
// docs/serve.md.
TEST_CASE("page: pictures for the docs" * doctest::skip()) {
  const char *model = std::getenv("ROOK_PAGE_MODEL"), *photo = std::getenv("ROOK_PAGE_PHOTO");
  REQUIRE_MESSAGE((model && photo), "set ROOK_PAGE_MODEL and ROOK_PAGE_PHOTO");
  serve::ServiceOptions options = service_options();
  options.defaults.conf = 0.25f;
  const RunningServer server({}, options, load_model(model));
  Browser browser(find_chromium());
  for (const bool phone : {false, true}) {
    browser.resize(phone ? 390 : 1200, phone ? 844 : 760, phone ? 2 : 1, phone, phone);
    browser.open(address(server));
    browser.choose_file("#file", std::filesystem::absolute(photo));
    REQUIRE(browser.becomes("answer && !$('canvas').hidden"));
    browser.evaluate("draw()");
    keep(phone ? "serve-phone.png" : "serve.png", browser.screenshot());
  }
}
