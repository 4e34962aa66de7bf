// Whole data sets: repeatable, and without faults.
#include "synth/chess_set.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <string>

#include "base/error.h"
#include "io/dataset.h"
#include "synth/scene.h"
#include "tests/io/picture_support.h"
#include "tests/sanitized.h"

using namespace rook;
using namespace rook::synth;
namespace fs = std::filesystem;

namespace {

ChessSetOptions small_set(int threads, std::uint64_t seed = 4) {
  return {.picture = {.seed = seed, .size = 64}, .images = 10, .threads = threads};
}

const Done kGoOn = [](int) { return true; };

// Every file below a folder, by its path in there.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder).string()] = test::text_of(entry.path());
  }
  return files;
}

}  // namespace

TEST_CASE("synth: the same seed gives the same bytes, whatever the number of threads") {
  const test::TempFolder folder;
  CHECK(write_chess_set(small_set(1), folder / "one", kGoOn));
  CHECK(write_chess_set(small_set(2), folder / "two", kGoOn));
  CHECK(write_chess_set(small_set(2, 5), folder / "other", kGoOn));
  const auto one = files_of(folder / "one");
  CHECK(one.size() == 10 * 2 + 3 + 1);
  CHECK(one == files_of(folder / "two"));
  CHECK(one != files_of(folder / "other"));
}

TEST_CASE("synth: a data set is split 70/20/10 and has no faults, read either way") {
  const test::TempFolder folder;
  REQUIRE(write_chess_set(small_set(2), folder / "set", kGoOn));
  for (const char* where : {"set", "set/data.yaml"}) {
    const io::Dataset set = io::read_dataset(folder / where, {.find_duplicates = true});
    CHECK(set.classes == chess_classes());
    CHECK(set.faults.empty());
    REQUIRE(set.find("train") != nullptr);
    CHECK(set.find("train")->images.size() == 7);
    CHECK(set.find("valid")->images.size() == 2);
    CHECK(set.find("test")->images.size() == 1);
  }
  CHECK(!fs::exists(folder / "set.photos"));
}

TEST_CASE("synth: what is stopped or refused leaves nothing behind") {
  const test::TempFolder folder;
  CHECK(!write_chess_set(small_set(1), folder / "set", [](int done) { return done < 3; }));
  CHECK(fs::is_empty(folder / ""));
  fs::create_directories(folder / "full" / "of");
  CHECK_THROWS_AS(write_chess_set(small_set(1), folder / "full", kGoOn), Error);
  ChessSetOptions options = small_set(1);
  options.images = 9;
  CHECK_THROWS_AS(write_chess_set(options, folder / "few", kGoOn), Error);
  options = small_set(2);
  options.picture.size = 31;
  CHECK_THROWS_AS(write_chess_set(options, folder / "tiny", kGoOn), Error);
  CHECK(!fs::exists(folder / "few"));
  CHECK(!fs::exists(folder / "tiny"));
  CHECK(!fs::exists(folder / "tiny.photos"));
}

TEST_CASE("synth: pictures of so many sets: look, lamps and place come again, positions and the very view do not") {
  const auto same_look = [](const Scene& a, const Scene& b) {
    const Vec3 p{0.11f, 0.05f, 0.62f};  // inside of or near any piece
    const auto differs = [](Vec3 x, Vec3 y) { return length(x - y) > 0; };
    if (differs(a.board.dark, b.board.dark) || differs(a.white.color, b.white.color)) return false;
    if (differs(a.table.color, b.table.color) || a.board.border != b.board.border) return false;
    for (const Kind kind : {Kind::pawn, Kind::knight, Kind::king})
      if (a.set[kind].distance(p) != b.set[kind].distance(p)) return false;
    return true;
  };
  const auto scene = [](std::uint32_t picture, std::uint32_t sets) { return random_scene(9, picture, 64, 64, sets); };
  CHECK(same_look(scene(0, 2), scene(2, 2)));
  CHECK(same_look(scene(1, 2), scene(7, 2)));
  CHECK(!same_look(scene(0, 2), scene(1, 2)));
  CHECK(!same_look(scene(0, 0), scene(2, 0)));
  const auto differ = [&](std::uint32_t a, std::uint32_t b, std::uint32_t sets) {
    return length(scene(a, sets).camera.position - scene(b, sets).camera.position);
  };
  CHECK(differ(0, 2, 2) > 0.01f);
  CHECK(scene(0, 2).pieces.size() != scene(2, 2).pieces.size());
  CHECK(length(scene(0, 2).lights[0].toward - scene(2, 2).lights[0].toward) == 0);
  CHECK(length(scene(0, 0).lights[0].toward - scene(2, 0).lights[0].toward) > 0.001f);
  // From one chair photos are nearer to each other than photos from anywhere.
  float chair = 0, anywhere = 0;
  for (std::uint32_t i = 1; i <= (test::kSanitized ? 3 : 16); ++i) {
    chair += differ(0, i, 1);
    anywhere += differ(0, i, 0);
  }
  CHECK(chair < 0.5f * anywhere);
}

TEST_CASE("synth: classes are named and sorted as the real photos' are") {
  const std::vector<std::string> names = chess_classes();
  REQUIRE(names.size() == 12);
  CHECK(names.front() == "black-bishop");
  CHECK(names.back() == "white-rook");
  CHECK(std::is_sorted(names.begin(), names.end()));
}

TEST_CASE("synth: a sheet shows the pictures by number") {
  const ChessOptions options{.seed = 6, .size = 48};
  const io::Image sheet = contact_sheet(options, 5, 3);
  CHECK(sheet.width == 144);
  CHECK(sheet.height == 96);
  const io::Image fourth = render_chess(options, 3).image;
  for (int y = 0; y < 48; ++y) {
    const auto* row = sheet.pixels.data() + static_cast<std::size_t>(48 + y) * 144 * 3;
    REQUIRE(std::equal(row, row + 48 * 3, fourth.pixels.data() + static_cast<std::size_t>(y) * 48 * 3));
  }
}
