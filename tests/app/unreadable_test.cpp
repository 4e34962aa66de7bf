// One file that cannot be read does not lose the work on the others: detect, eval, compare, runs.
#include <nlohmann/json.hpp>

#include "tests/app/cli_support.h"

using namespace rook;
using namespace rook::test;

namespace {

// The first half of a picture.
void cut(const fs::path& file) {
  ByteVector bytes = load(file);
  bytes.resize(bytes.size() / 2);
  save(file, bytes);
}

Output json_run(Words words) {
  words.insert(words.end(), {"--json", "-"});
  return run_program(words);
}

}  // namespace

TEST_CASE("rook detect: a picture that cannot be read is named, the others are looked at") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string();
  for (const char* name : {"photo-0.png", "photo-1.png", "photo-2.png"})
    save(folder / name, load(tiny_run().data / "test/images" / name));
  const std::string whole = output_of({"detect", "--model", run, (folder / ".").string(), "--json", "-"});
  cut(folder / "photo-1.png");
  for (const char* batch : {"1", "2"}) {
    const fs::path drawn = folder / ("drawn" + std::string(batch));
    const Output output =
        json_run({"detect", "--model", run, (folder / ".").string(), "--batch", batch, "--out", drawn.string()});
    CHECK(output.status == 1);
    CHECK(output.err.starts_with("rook: "));
    CHECK(shows(output.err, "photo-1.png"));
    const nlohmann::json found = nlohmann::json::parse(output.out), all = nlohmann::json::parse(whole);
    REQUIRE(found.size() == 2);
    for (const int i : {0, 1}) {
      CHECK(found[i]["image"] == all[2 * i]["image"]);
      CHECK(found[i]["detections"].size() == all[2 * i]["detections"].size());
    }
    CHECK((fs::exists(drawn / "photo-0.jpg") && fs::exists(drawn / "photo-2.jpg")));
    CHECK(!fs::exists(drawn / "photo-1.jpg"));
  }
}

TEST_CASE("rook detect: pictures of other kinds in a folder are counted") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string();
  for (const char* name : {"a.webp", "b.webp", "c.GIF", "notes.txt"}) append_text(folder / name, "x");
  check_failure({"detect", "--model", run, (folder / ".").string()}, "holds no pictures (jpg, png, bmp); 3 pictures");
  save(folder / "photo.png", load(tiny_run().data / "test/images/photo-0.png"));
  const Output output = json_run({"detect", "--model", run, (folder / ".").string()});
  CHECK(output.status == 0);
  CHECK(shows(output.err, "3 pictures of other kinds (.gif, .webp) left out"));
  CHECK(nlohmann::json::parse(output.out).size() == 1);
}

TEST_CASE("rook detect: --out is a folder") {
  const TempFolder folder;
  append_text(folder / "a.jpg", "mine");
  const Output output = run_program({"detect", "--model", tiny_run().run.string(),
                                     (tiny_run().data / "test/images").string(), "--out", (folder / "a.jpg").string()});
  CHECK(output.status == 2);
  CHECK(shows(output.err, "a.jpg: is a file; name a folder"));
  CHECK(text_of(folder / "a.jpg") == "mine");
}

TEST_CASE("rook eval and compare: figures are of the photos that can be read, and that is said") {
  const TempFolder folder;
  const fs::path data = folder / "data", photos = data / "valid/images";
  fs::copy(tiny_run().data, data, fs::copy_options::recursive);
  const std::string run = tiny_run().run.string();
  const Words eval{"eval", "--model", run, "--data", data.string(), "--batch", "4"};
  cut(photos / "photo-2.png");  // the reader of data sets sees that
  const Output left_out = json_run(eval);
  CHECK(left_out.status == 0);
  CHECK(shows(left_out.err, "left out: "));
  CHECK(shows(left_out.err, "photo-2.png"));
  CHECK(nlohmann::json::parse(left_out.out)["images"] == 5);

  ByteVector bytes = load(photos / "photo-1.png");  // this only who decodes it
  for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 40; ++i) bytes[i] ^= 0x5a;
  save(photos / "photo-1.png", bytes);
  const Output broken = json_run(eval);
  CHECK(broken.status == 1);
  CHECK(shows(broken.err, "photo-1.png"));
  CHECK(shows(broken.err, "1 of 5 photos could not be read"));
  CHECK(nlohmann::json::parse(broken.out)["images"] == 4);
  const Output compare =
      run_program({"compare", run, run, "--data", data.string(), "--out", (folder / "page.html").string()});
  CHECK(compare.status == 1);
  CHECK(shows(compare.err, "photo-1.png"));
  CHECK(shows(compare.out, "4 photos of"));
  CHECK(fs::exists(folder / "page.html"));
}

TEST_CASE("rook runs: a damaged run is named, the others are listed") {
  const TempFolder folder;
  for (const char* name : {"good", "bad"}) {
    fs::create_directory(folder / name);
    for (const char* file : {"config.json", "metrics.jsonl"}) save(folder / name / file, load(tiny_run().run / file));
  }
  cut(folder / "bad/config.json");
  const Output output = run_program({"runs", (folder / ".").string()});
  CHECK(output.status == 0);
  CHECK(shows(output.out, "good"));
  CHECK(shows(output.err, "left out: "));
  CHECK(shows(output.err, "bad/config.json"));
  check_failure({"runs", (folder / "bad").string()}, "bad/config.json");
}
