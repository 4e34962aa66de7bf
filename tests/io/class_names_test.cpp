// Files of class names as people's editors write them.
#include "io/class_names.h"

#include "dataset_support.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("class names: byte order mark, line ends, spaces, repeated names") {
  const TempFolder folder;
  const auto read = [&](const char* text) { return io::read_class_names(put(folder / "a.names", text)); };
  const auto error = [&](const char* text) { return error_of([&] { read(text); }); };
  using Names = std::vector<std::string>;
  CHECK(read("\xEF\xBB\xBFperson\r\nstop sign \r\n\r\n") == Names{"person", "stop sign"});
  CHECK(read("a\nb\na") == Names{"a", "b", "a"});
  CHECK(error("a\n\nb\n").find("a.names:2: a class name is blank") != std::string::npos);
  CHECK(error("\na\n").find("a.names:1: a class name is blank") != std::string::npos);
  CHECK(error("\n\xEF\xBB\xBF\n").find("a.names:1:") != std::string::npos);
  CHECK(error("\xEF\xBB\xBF\n").find("holds no class names") != std::string::npos);
  CHECK(error_of([&] { io::read_class_names(folder / "none"); }).find("one class name per line") != std::string::npos);
  CHECK(error_of([&] { io::read_class_names(folder / ""); }).find("cannot be opened") != std::string::npos);
}
