// `rook synth` as a user calls it.
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tests/app/cli_support.h"

using namespace rook::test;

TEST_CASE("rook synth chess writes a data set that rook data check finds nothing wrong with") {
  const TempFolder folder;
  const std::string out = (folder / "set").string();
  const Output done = run_program({"synth", "chess", "--images", "12", "--size", "96", "--threads", "2", "--out", out});
  REQUIRE_MESSAGE(done.status == 0, done.err);
  CHECK(shows(done.out, "12 pictures of 96x96"));
  CHECK((done.err.empty() || shows(done.err, "12/12 pictures")));  // what is done within five seconds needs no line
  const nlohmann::json census = nlohmann::json::parse(output_of({"data", "check", out, "--json", "-"}));
  CHECK(census["faults"].empty());
  CHECK(census["classes"].size() == 12);
}

TEST_CASE("rook synth chess: a sheet of pictures, and what it refuses") {
  const TempFolder folder;
  const std::string sheet = (folder / "sheet.png").string();
  output_of({"synth", "chess", "--size", "40", "--sheet", sheet});
  const rook::io::Image image = rook::io::read_image(sheet);
  CHECK(image.width == 160);
  CHECK(image.height == 120);
  const Output nothing = run_program({"synth", "chess"});
  CHECK(nothing.status == 2);
  CHECK(shows(nothing.err, "--out"));
  CHECK(run_program({"synth", "chess", "--out", (folder / "x").string(), "--visible", "0"}).status == 2);
  const Output full = run_program({"synth", "chess", "--out", (folder / ".").string()});
  CHECK(full.status == 1);
  CHECK(shows(full.err, "not empty"));
}
