// Manifests: what is written is read; cut off at every byte, with every byte changed, with the checksum put right
// again.
#include <random>

#include "io/content_hash.h"
#include "io/sealed_json.h"
#include "store_support.h"

using namespace rook;
using namespace rook::test;

namespace {

io::StoredPhoto photo(int number, const std::string& split, std::vector<io::LabelBox> boxes) {
  io::StoredPhoto result{.hash = io::content_hash(std::to_string(number)),
                         .ending = "jpg",
                         .name = "photo " + std::to_string(number) + " \"ü\".jpg",
                         .split = split,
                         .width = 640,
                         .height = 480,
                         .boxes = std::move(boxes),
                         .near = {}};
  result.near.words = {0x0123456789abcdef, 0, ~std::uint64_t{0}, static_cast<std::uint64_t>(number)};
  return result;
}

io::StoredSet example_set() {
  io::StoredPhoto with_regions = photo(3, "test", {});
  with_regions.ignored = {{1.0f / 3, 0.5f, 0.6f, 0.1f, 1, true}, {0.5f, 0.5f, 1, 1, 0, false}};
  return {.name = "chess",
          .classes = {"cat", "dog"},
          .changes = {{.date = "2026-01-31T12:00:00Z",
                       .action = "add",
                       .folder = "/photos",
                       .merge = {"a=b"},
                       .photos = 2,
                       .boxes = 3,
                       .equal = 1,
                       .near = 4,
                       .relabelled = 5}},
          .photos = {photo(1, "train", {{0.1f, 0.2f, 0.1f, 0.05f, 0}, {1.0f / 3, 0.7f, 1e-7f, 0.3f, 1}}),
                     photo(2, "valid", {{0.5f, 0.5f, 1.0f, 1.0f, 1}}), with_regions}};
}

io::StoredVersion example_version() {
  io::StoredVersion version = io::as_version(example_set());
  version.number = 3;
  version.date = "2026-02-01T00:00:00Z";
  version.preparation = {.fit = "letterbox", .resampling = "area", .width = 416, .height = 320};
  return version;
}

void check_equal(const std::vector<io::StoredPhoto>& a, const std::vector<io::StoredPhoto>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].hash == b[i].hash);
    CHECK(a[i].name == b[i].name);
    CHECK(a[i].ending == b[i].ending);
    CHECK(a[i].split == b[i].split);
    CHECK(a[i].width == b[i].width);
    CHECK(a[i].height == b[i].height);
    CHECK(a[i].source == b[i].source);
    CHECK(a[i].ignored == b[i].ignored);
    REQUIRE(a[i].boxes.size() == b[i].boxes.size());
    for (std::size_t k = 0; k < a[i].boxes.size(); ++k) {
      const io::LabelBox &x = a[i].boxes[k], &y = b[i].boxes[k];
      CHECK((x.x == y.x && x.y == y.y && x.w == y.w && x.h == y.h && x.cls == y.cls));  // to the bit
    }
  }
}

bool reads(const std::string& text, bool version) {
  try {
    if (version)
      io::parse_version(text, "file");
    else
      io::parse_set(text, "file");
    return true;
  } catch (const Error& error) {
    const std::string message = error.what();
    INFO(message);
    CHECK(message.starts_with("file:"));  // with a line where the JSON itself is broken
    CHECK(message.find('\n') == std::string::npos);
    return false;
  }
}

// Somebody changes the content and computes the checksum anew.
std::string resealed(const std::string& text) {
  const std::size_t end = text.rfind(",\n \"sha256\": \"");
  const std::string content = text.substr(0, end);
  return content + ",\n \"sha256\": \"" + io::content_hash(content) + "\"\n}\n";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE_MESSAGE(at != std::string::npos, from);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("store manifest: what is written is read, floats to the bit") {
  const io::StoredSet set = example_set(), read = io::parse_set(io::to_manifest(set), "file");
  CHECK(read.name == set.name);
  CHECK(read.classes == set.classes);
  REQUIRE(read.changes.size() == 1);
  CHECK(read.changes[0].folder == "/photos");
  CHECK(read.changes[0].merge == std::vector<std::string>{"a=b"});
  CHECK(read.changes[0].near == 4);
  CHECK(read.photos[0].near == set.photos[0].near);
  check_equal(read.photos, set.photos);
  const io::StoredVersion version = example_version(), again = io::parse_version(io::to_manifest(version), "file");
  CHECK(again.number == 3);
  CHECK(again.preparation == version.preparation);
  check_equal(again.photos, version.photos);
  CHECK(io::is_version_manifest(io::to_manifest(version)));
  CHECK_FALSE(io::is_version_manifest(io::to_manifest(set)));
  // Without ignored regions it is as rook wrote it before there were any.
  io::StoredSet plain = set;
  for (io::StoredPhoto& photo : plain.photos) photo.ignored.clear();
  CHECK(io::to_manifest(plain).find("\"format\": 1,") != std::string::npos);
  CHECK(io::to_manifest(plain).find("ignored") == std::string::npos);
  check_equal(io::parse_set(io::to_manifest(plain), "file").photos, plain.photos);
}

TEST_CASE("store manifest: random boxes keep their bits") {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> any(0.001f, 0.499f);
  io::StoredSet set = example_set();
  for (int i = 0; i < 2000; ++i)
    set.photos[2].boxes.push_back({0.5f, 0.5f - any(random) / 4, any(random), any(random) / 2, i % 2});
  check_equal(io::parse_set(io::to_manifest(set), "file").photos, set.photos);
}

TEST_CASE("store manifest: cut off anywhere, or one bit wrong anywhere: an error") {
  for (const bool version : {false, true}) {
    const std::string whole = version ? io::to_manifest(example_version()) : io::to_manifest(example_set());
    REQUIRE(reads(whole, version));
    for (std::size_t n = 0; n < whole.size(); ++n) {
      INFO("cut at " << n);
      CHECK_FALSE(reads(whole.substr(0, n), version));
    }
    for (std::size_t i = 0; i < whole.size(); ++i)
      for (int bit = 0; bit < 8; ++bit) {
        std::string broken = whole;
        broken[i] = static_cast<char>(broken[i] ^ 1 << bit);
        INFO("byte " << i << " bit " << bit);
        CHECK_FALSE(reads(broken, version));
      }
    CHECK_FALSE(reads(whole + "\n", version));
    CHECK_FALSE(reads(whole + whole, version));
  }
}

TEST_CASE("store manifest: changed under a new checksum it is an error or keeps its promises") {
  std::mt19937 random(11);
  int accepted = 0;
  for (const bool version : {false, true}) {
    const std::string whole = version ? io::to_manifest(example_version()) : io::to_manifest(example_set());
    REQUIRE(reads(resealed(whole), version));
    const std::size_t content = whole.rfind(",\n \"sha256\"");
    for (int round = 0; round < 4000; ++round) {
      std::string broken = whole;
      for (int i = 0; i <= round % 2; ++i) {
        const std::size_t at = random() % content;
        if (round % 3 == 0)
          broken.erase(at, 1);
        else
          broken[at] = static_cast<char>(broken[at] ^ 1 << random() % 8);
      }
      INFO("round " << round);
      accepted += reads(resealed(broken), version);
    }
  }
  CHECK(accepted > 100);  // a changed name is a name
}

TEST_CASE("store manifest: what rook would not write is refused, and why") {
  const std::string set = io::to_manifest(example_set()), version = io::to_manifest(example_version());
  const auto error = [](const std::string& text, bool of_version) {
    return error_of([&] {
      if (of_version)
        io::parse_version(resealed(text), "file");
      else
        io::parse_set(resealed(text), "file");
    });
  };
  const auto says = [&](const std::string& text, bool of_version, const char* words) {
    const std::string message = error(text, of_version);
    INFO(message);
    CHECK(message.find(words) != std::string::npos);
  };
  says(replaced(set, "\"format\": 2", "\"format\": 3"), false, "format 3, and this rook reads formats up to 2");
  const std::string region = "[0,0.5,0.5,1.0,1.0,false]";
  says(replaced(set, region, "[0,0.5,0.5,1.0,1.0,0]"), false, "an ignored region is not");
  says(replaced(set, region, "[0,0.5,0.5,1.0,1.0]"), false, "an ignored region is not");
  says(replaced(set, region, "[2,0.5,0.5,1.0,1.0,true]"), false, "a class that there is not");
  says(replaced(set, region, "[0,0.5,0.5,1.5,1.0,true]"), false, "outside the photo");
  says(replaced(set, "\"ignored\":[", "\"ignored\":7,\"more\":["), false, "unknown key \"more\"");
  says(replaced(set, "\"name\": \"chess\"", "\"name\": \"chess\", \"more\": 1"), false, "unknown key \"more\"");
  says(replaced(set, "\"name\": \"chess\"", "\"name\": \"chess\", \"name\": \"chess\""), false, "stands twice");
  says(replaced(set, "\"name\": \"chess\"", "\"name\": \"../x\""), false, "no name for a data set");
  says(replaced(set, "\"split\":\"valid\"", "\"split\":\"val\""), false, "not train, valid or test");
  says(replaced(set, "\"width\":640", "\"width\":0"), false, "\"width\" is not a whole number");
  says(replaced(set, "\"width\":640", "\"width\":640.5"), false, "\"width\" is not a whole number");
  says(replaced(set, "\"width\":640", "\"width\":99999999999999999999"), false, "\"width\" is not a whole number");
  says(replaced(set, "[1,0.5,0.5,1.0,1.0]", "[2,0.5,0.5,1.0,1.0]"), false, "a class that there is not");
  says(replaced(set, "[1,0.5,0.5,1.0,1.0]", "[1,0.5,0.5,1.5,1.0]"), false, "outside the photo");
  says(replaced(set, "[1,0.5,0.5,1.0,1.0]", "[1,0.5,0.5,0,1.0]"), false, "no area");
  says(replaced(set, "[1,0.5,0.5,1.0,1.0]", "[1,0.5,0.5,1.0]"), false, "a box is not");
  says(replaced(set, "[1,0.5,0.5,1.0,1.0]", "[1,0.5,0.5,1e999,1.0]"), false, "is no JSON");
  says(replaced(set, "\"name\":\"photo 2", "\"name\":\"../photo 2"), false, "no file name");
  says(replaced(set, "2026-01-31T", "2026-01-31 "), false, "\"date\"");
  says(replaced(set, "[\n  \"cat\",\n  \"dog\"", "[\n  \"cat\",\n  \"cat\""), false, "a class stands twice");
  says(replaced(version, "\"boxes\":2", "\"boxes\":3"), true, "\"counts\" are not those of its photos");
  says(replaced(version, "letterbox", "crop"), true, "preparation");
  says(set, true, "file: ");
  says(version, false, "file: ");
}

TEST_CASE("store manifest: names of data sets") {
  for (const char* good : {"chess", "Chess-2.0_b", "7"}) CHECK_NOTHROW(io::check_set_name(good));
  for (const char* bad : {"", ".", "..", ".x", "a/b", "a b", "ä", "objects", "-x"})
    CHECK_THROWS_AS(io::check_set_name(bad), Error);
  CHECK(io::parse_stored_name("chess").version == 0);
  CHECK(io::parse_stored_name("chess/v12").version == 12);
  for (const char* bad : {"chess/", "chess/1", "chess/v0", "chess/v01", "chess/v1x", "chess/v-1", "/v1", "chess/v1/"})
    CHECK_THROWS_AS(io::parse_stored_name(bad), Error);
}
