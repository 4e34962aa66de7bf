// What clients write: queries, multipart bodies, tokens; as meant, and mutilated.
#include <string>

#include "serve/multipart.h"
#include "serve/query.h"
#include "serve/service.h"
#include "tests/serve/support.h"

using namespace rook;
using namespace rook::test;
using serve::Parameter;
using serve::Upload;

namespace {

const std::string kType = "multipart/form-data; boundary=XX";

std::string refused_query(const std::vector<Parameter>& query) {
  const Model model = served_model();
  return error_of([&] { serve::parse_query(query, {}, *model.network); });
}

}  // namespace

TEST_CASE("query: the words of rook detect") {
  const Model model = served_model();
  const serve::DetectSettings defaults{.conf = 0.4f, .nms_kind = NmsKind::diou, .nms_threshold = 0.5f, .most = 7};
  const serve::DetectSettings none = serve::parse_query({}, defaults, *model.network);
  CHECK((none.conf == 0.4f && none.nms_kind == NmsKind::diou && none.nms_threshold == 0.5f && none.most == 7));
  const std::vector<Parameter> all{{"conf", "0.125"}, {"nms", "greedy"}, {"nms_threshold", "1"}, {"max", "0"}};
  const serve::DetectSettings changed = serve::parse_query(all, defaults, *model.network);
  CHECK((changed.conf == 0.125f && changed.nms_kind == NmsKind::greedy && changed.nms_threshold == 1));
  CHECK(changed.most == 0);
}

TEST_CASE("query: what is wrong is named") {
  for (const char* value : {"", "x", "0.5x", " 0.5", "nan", "inf", "-0.1", "1.01", "1e9", "0x1p-2", "0,5"}) {
    CAPTURE(value);
    CHECK(refused_query({{"conf", value}}).starts_with("conf: "));
    CHECK(refused_query({{"nms_threshold", value}}).starts_with("nms_threshold: "));
    CHECK(refused_query({{"max", value}}).starts_with("max: "));
  }
  CHECK(refused_query({{"nms", "soft"}}).find("'soft'") != std::string::npos);
  CHECK(refused_query({{"max", "2.5"}}).starts_with("max: "));
  CHECK(refused_query({{"cofn", "0.5"}}).find("did you mean conf?") != std::string::npos);
  CHECK(refused_query({{"conf", "0.5"}, {"conf", "0.5"}}).find("twice") != std::string::npos);
}

TEST_CASE("multipart: parts in their order, names quoted or not") {
  const std::string body =
      "a preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"a\"; filename=\"one \\\"two\\\"; "
      "three.png\"\r\n\r\n"
      "first\r\n--XY\r\n\r\n--XX\r\ncontent-disposition: form-data; filename=plain.jpg; name=b\r\nX: "
      "y\r\n\r\n\r\n--XX\r\n"
      "Content-Disposition: form-data; name=c\r\n\r\nthird\r\n--XX--\r\nan epilogue";
  const std::vector<Upload> parts = serve::parse_multipart(kType, body);
  REQUIRE(parts.size() == 3);
  CHECK(parts[0].name == "one \"two\"; three.png");
  CHECK(parts[0].bytes == "first\r\n--XY\r\n");
  CHECK(parts[1].name == "plain.jpg");
  CHECK(parts[1].bytes.empty());
  CHECK((parts[2].name.empty() && parts[2].bytes == "third"));
  CHECK(serve::parse_multipart("multipart/form-data; charset=x; Boundary=\"XX\"", "--XX--").empty());
  CHECK(serve::is_multipart("Multipart/Form-Data; boundary=1"));
  CHECK(!serve::is_multipart("image/png"));
}

TEST_CASE("multipart: fields of a form are told from photos") {
  const std::string body =
      "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--XX\r\n"
      "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: image/png\r\n\r\npixels\r\n--XX\r\n"
      "content-type:text/plain\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\nwords\r\n--XX\r\n"
      "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"c\"; filename=\"\"\r\n\r\nfile\r\n--XX--";
  const std::vector<Upload> parts = serve::parse_multipart(kType, body);
  REQUIRE(parts.size() == 4);
  CHECK((parts[0].field && !parts[1].field && parts[2].field && !parts[3].field));
}

TEST_CASE("multipart: what is wrong is said") {
  const auto refused = [](const std::string& type, const std::string& body) {
    return error_of([&] { serve::parse_multipart(type, body); });
  };
  CHECK(refused("multipart/form-data", "--XX--").find("boundary") != std::string::npos);
  CHECK(refused("multipart/form-data; boundary=", "----").find("boundary") != std::string::npos);
  CHECK(refused("multipart/form-data; boundary=" + std::string(71, 'x'), "").find("boundary") != std::string::npos);
  CHECK(refused(kType, "").find("no part") != std::string::npos);
  CHECK(refused(kType, "--XX\r\nA: b\r\n\r\nbytes").find("cut off") != std::string::npos);
  CHECK(refused(kType, "--XX\r\nA: b\r\n").find("do not end") != std::string::npos);
  CHECK(refused(kType, "--XX\r\nno header\r\n\r\n\r\n--XX--").find("no header") != std::string::npos);
  CHECK(refused(kType, "--XXX\r\n").find("line break") != std::string::npos);
  CHECK(refused(kType, "--XX\r\nA: " + std::string(100000, 'x') + "\r\n\r\n\r\n--XX--").find("do not end") !=
        std::string::npos);
}

TEST_CASE("multipart: cut at every byte and mutilated, it is parts of the body or an error") {
  const std::string good = multipart({{"one.png", "bytes\r\n-of"}, {"a \\\"b\\\" c", ""}, {"", "--XX"}});
  const auto check = [](const std::string& type, const std::string& body) {
    try {
      for (const Upload& part : serve::parse_multipart(type, body)) {
        CHECK(part.bytes.data() >= body.data());
        CHECK(part.bytes.data() + part.bytes.size() <= body.data() + body.size());
      }
      return true;
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
      return false;
    }
  };
  CHECK(check(kType, good));
  for (std::size_t n = 0; n + 4 < good.size(); ++n) CHECK(!check(kType, good.substr(0, n)));
  Random random(1);
  constexpr std::string_view kBytes = "\r\n-X;=\":\\ a\0\xff";
  int fine = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string body = good, type = kType;
    for (int edits = 1 + static_cast<int>(random.below(4)); edits > 0; --edits) {
      std::string& text = random.below(4) == 0 ? type : body;
      const auto at = static_cast<std::size_t>(random.below(static_cast<std::int64_t>(text.size())));
      const char byte = kBytes[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(kBytes.size())))];
      if (random.below(3) == 0) {
        text.erase(at, 1 + static_cast<std::size_t>(random.below(8)));
      } else if (random.below(2) == 0) {
        text.insert(at, 1, byte);
      } else {
        text[at] = byte;
      }
      if (text.empty()) text = "-";
    }
    fine += check(type, body);
  }
  CHECK(fine > 100);
}

TEST_CASE("query: fuzzed values are numbers in range or errors") {
  const Model model = served_model();
  Random random(2);
  constexpr std::string_view kBytes = "0123456789.eE+-xnaif %\0";
  int fine = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string value;
    for (auto length = random.below(8); length > 0; --length)
      value += kBytes[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(kBytes.size())))];
    const std::vector<Parameter> query{{i % 2 ? "conf" : "max", value}};
    try {
      const serve::DetectSettings settings = serve::parse_query(query, {}, *model.network);
      CHECK((settings.conf >= 0 && settings.conf <= 1 && settings.most >= 0));
      ++fine;
    } catch (const Error&) {
    }
  }
  CHECK(fine > 100);
}

TEST_CASE("token: only itself") {
  using serve::token_matches;
  CHECK(token_matches("Bearer secret", "secret"));
  for (const char* wrong : {"", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Bearer secretsecret",
                            "Bearer Secret", "bearer secret", "Basic secret", "Bearer  secret"})
    CHECK(!token_matches(wrong, "secret"));
  CHECK(!token_matches("Bearer ", ""));
}
