#include "io/safetensors.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <tuple>

#include "base/error.h"
#include "tests/errors.h"
#include "tests/io/byte_files.h"
#include "tests/io/picture_support.h"

namespace fs = std::filesystem;
using namespace rook::test;
using rook::Error;
using rook::io::parse_safetensors;
using rook::io::read_safetensors;
using rook::io::read_safetensors_metadata;
using rook::io::SafeTensor;
using rook::io::SafeTensors;
using rook::io::write_safetensors;

namespace {

// A file laid out by hand: the header as given, then `data` bytes 0, 1, 2, ...
Bytes file_of(const std::string& header, std::size_t data) {
  Bytes bytes(8 + header.size() + data);
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  for (std::size_t i = 0; i < data; ++i) bytes[8 + header.size() + i] = static_cast<std::byte>(i);
  return bytes;
}

std::string safetensors_fault(const Bytes& bytes) {
  return error_of([&] { parse_safetensors(bytes, "x.safetensors"); });
}

std::string text_of(const Bytes& bytes, std::size_t first, std::size_t count) {
  return {reinterpret_cast<const char*>(bytes.data()) + first, count};
}

bool equal(const SafeTensors& a, const SafeTensors& b) {
  const auto same = [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.dtype == y.second.dtype && x.second.shape == y.second.shape &&
           x.second.bytes == y.second.bytes;
  };
  return a.metadata == b.metadata &&
         std::equal(a.tensors.begin(), a.tensors.end(), b.tensors.begin(), b.tensors.end(), same);
}

// The arrays without their names, in an order of their own.
std::vector<std::tuple<std::string, std::vector<std::int64_t>, Bytes>> arrays_of(const SafeTensors& file) {
  std::vector<std::tuple<std::string, std::vector<std::int64_t>, Bytes>> arrays;
  for (const auto& [name, tensor] : file.tensors) arrays.emplace_back(tensor.dtype, tensor.shape, tensor.bytes);
  std::sort(arrays.begin(), arrays.end());
  return arrays;
}

// Two arrays with no dimension of 0 and metadata: 6 floats and 3 bytes.
const std::string kGoldenHeader = R"({"__metadata__":{"cfg":"[net]\nwidth=416","seed":"7"},)"
                                  R"("bias":{"dtype":"U8","shape":[3],"data_offsets":[24,27]},)"
                                  R"("weights":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})";

SafeTensors golden_tensors() {
  SafeTensors golden;
  golden.metadata = {{"cfg", "[net]\nwidth=416"}, {"seed", "7"}};
  Bytes bytes(27);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  golden.tensors["weights"] = {"F32", {2, 3}, Bytes(bytes.begin(), bytes.begin() + 24)};
  golden.tensors["bias"] = {"U8", {3}, Bytes(bytes.begin() + 24, bytes.end())};
  return golden;
}

}  // namespace

TEST_CASE("safetensors: a file laid out by hand") {
  const SafeTensors file = parse_safetensors(file_of(kGoldenHeader, 27), "x.safetensors");
  CHECK(file.file == "x.safetensors");
  CHECK(equal(file, golden_tensors()));
  CHECK(file.at("weights").f32().size() == 6);
  CHECK_THROWS_WITH_AS(file.at("bias").f32(), doctest::Contains("U8"), Error);
  CHECK_THROWS_WITH_AS(file.at("biases"), doctest::Contains("x.safetensors: tensor \"biases\": is missing"), Error);
}

TEST_CASE("safetensors: the written bytes are canonical") {
  const TempFolder folder;
  write_safetensors(folder / "a.safetensors", golden_tensors());
  const Bytes bytes = bytes_of(folder / "a.safetensors");
  std::string header = kGoldenHeader;
  header.append((8 - header.size() % 8) % 8, ' ');
  CHECK(bytes == file_of(header, 27));
  CHECK(read_safetensors_metadata(folder / "a.safetensors") == golden_tensors().metadata);
}

TEST_CASE("safetensors: each array lies aligned for its dtype") {
  const TempFolder folder;
  SafeTensors tensors;
  tensors.tensors["a"] = {"U8", {3}, Bytes(3)};
  tensors.tensors["b"] = {"F32", {1}, Bytes(4)};
  tensors.tensors["c"] = {"I64", {}, Bytes(8)};
  tensors.tensors["d"] = {"BF16", {1, 1}, Bytes(2)};
  write_safetensors(folder / "a.safetensors", tensors);
  const Bytes bytes = bytes_of(folder / "a.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
  const std::string header = text_of(bytes, 8, length);
  CHECK(contains(header, R"("a":{"dtype":"U8","shape":[3],"data_offsets":[14,17]})"));
  CHECK(contains(header, R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]})"));
  CHECK(contains(header, R"("c":{"dtype":"I64","shape":[],"data_offsets":[0,8]})"));
  CHECK(contains(header, R"("d":{"dtype":"BF16","shape":[1,1],"data_offsets":[12,14]})"));
  CHECK(bytes.size() == 8 + length + 17);
}

TEST_CASE("safetensors: faults name the file and the tensor") {
  struct Case {
    std::string header;
    std::size_t data;
    std::string message;
  };
  const auto one = [](const std::string& entry) { return R"({"w":{)" + entry + "}}"; };
  const std::vector<Case> cases = {
      {"", 0, "no JSON object"},
      {"[]", 0, "no JSON object"},
      {"\xef\xbb\xbf{}", 0, "no JSON object"},
      {std::string("{}\0{", 4), 0, "no JSON object"},
      {"{} x", 0, "no JSON from byte"},
      {"{", 0, "no JSON from byte"},
      {"{\"w\":\"\xff\"}", 0, "no JSON from byte"},
      {R"({"w":[[[[[[]]]]]]})", 0, "nested too deeply"},
      {R"({"__metadata__":{"a":1}})", 0, "metadata \"a\" is no string"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "key \"a\" twice"},
      {R"({"__metadata__":[]})", 0, "__metadata__ is no JSON object"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "key \"__metadata__\" twice"},
      {R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       1, "key \"w\" twice"},
      {one(R"("dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1])"), 1, "key \"dtype\" twice"},
      {R"({"w":3})", 0, "tensor \"w\": its entry"},
      {one(R"("dtype":"U8","shape":[1])"), 1, "tensor \"w\": its entry"},
      {one(R"("dtype":"U8","shape":[1],"data_offsets":[0,1],"more":0)"), 1, "tensor \"w\": its entry"},
      {one(R"("dtype":8,"shape":[1],"data_offsets":[0,1])"), 1, "tensor \"w\": its dtype"},
      {one(R"("dtype":"F8","shape":[1],"data_offsets":[0,1])"), 1, "tensor \"w\": unknown dtype \"F8\""},
      {one(R"("dtype":"U8","shape":1,"data_offsets":[0,1])"), 1, "tensor \"w\": its shape is no array"},
      {one(R"("dtype":"U8","shape":[-1],"data_offsets":[0,1])"), 1, "tensor \"w\": -1 in its shape"},
      {one(R"("dtype":"U8","shape":[1.0],"data_offsets":[0,1])"), 1, "tensor \"w\": 1.0 in its shape"},
      {one(R"("dtype":"U8","shape":["1"],"data_offsets":[0,1])"), 1, "tensor \"w\": \"1\" in its shape"},
      {one(R"("dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1])"), 1, "too large"},
      {one(R"("dtype":"U8","shape":[18446744073709551617],"data_offsets":[0,1])"), 1, "in its shape is no whole"},
      {one(R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4])"), 4,
       "tensor \"w\": its shape has more"},
      {one(R"("dtype":"U8","shape":[4294967296,4294967297],"data_offsets":[0,4294967296])"), 1, "its shape has more"},
      {one(R"("dtype":"U8","shape":[1],"data_offsets":[0])"), 1, "tensor \"w\": its data_offsets are no two numbers"},
      {one(R"("dtype":"U8","shape":[1],"data_offsets":{"0":0,"1":1})"), 1, "are no two numbers"},
      {one(R"("dtype":"U8","shape":[1],"data_offsets":[-1,0])"), 1, "tensor \"w\": -1 in its data_offsets"},
      {one(R"("dtype":"U8","shape":[1],"data_offsets":[1,0])"), 1, "tensor \"w\": data_offsets [1, 0] do not fit"},
      {one(R"("dtype":"U8","shape":[2],"data_offsets":[0,1])"), 2,
       "tensor \"w\": data_offsets [0, 1] do not fit the 2"},
      {one(R"("dtype":"F32","shape":[],"data_offsets":[0,3])"), 3, "do not fit the 4"},
      {one(R"("dtype":"U8","shape":[1],"data_offsets":[1,2])"), 2, "tensor \"w\": its data begin at byte 1"},
      {one(R"("dtype":"U8","shape":[9],"data_offsets":[0,9])"), 8, "tensor \"w\": its data end at byte 9"},
      {one(R"("dtype":"U8","shape":[1],"data_offsets":[0,1])"), 3, "2 bytes after the last array"},
      {"{}", 1, "1 bytes after the last array"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3, "tensor \"b\": its data begin at byte 1, but the array before it ends at 2 (overlap)"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
       5, "(gap)"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.header);
    const std::string message = safetensors_fault(file_of(c.header, c.data));
    CAPTURE(message);
    CHECK(message.starts_with("x.safetensors: "));
    CHECK(contains(message, c.message));
    CHECK(!contains(message, "\n"));
  }
  // A name with a line break stays on the one line of the message.
  CHECK(contains(safetensors_fault(file_of("{\"a\\nb\":3}", 0)), "tensor \"a\\nb\""));
}

TEST_CASE("safetensors: the header's length is believed only as far as the file goes") {
  for (const std::uint64_t length :
       {std::uint64_t{3}, std::uint64_t{100'000'001}, std::uint64_t{1} << 40,
        std::numeric_limits<std::uint64_t>::max() - 7, std::numeric_limits<std::uint64_t>::max()}) {
    CAPTURE(length);
    Bytes bytes = file_of("{}", 0);
    std::memcpy(bytes.data(), &length, 8);
    CHECK(contains(safetensors_fault(bytes), "its header should have"));
  }
  CHECK(equal(parse_safetensors(file_of("{}", 0), "x"), SafeTensors{}));
  CHECK(equal(parse_safetensors(file_of("{}      ", 0), "x"), SafeTensors{}));
}

TEST_CASE("safetensors: arrays without elements and without dimensions") {
  const std::string header =
      R"({"e":{"dtype":"F32","shape":[0,5],"data_offsets":[4,4]},"f":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
      R"("s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";
  const SafeTensors file = parse_safetensors(file_of(header, 4), "x");
  CHECK(file.at("e").f32().empty());
  CHECK(file.at("f").f32().empty());
  CHECK(file.at("s").f32().size() == 1);
}

TEST_CASE("safetensors: truncated at every byte it is an error") {
  const Bytes whole = file_of(kGoldenHeader, 27);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK_THROWS_AS(parse_safetensors(part, "x"), Error);
  }
}

TEST_CASE("safetensors: a flipped bit of the header is an error or changes a name or metadata, never an array") {
  const Bytes whole = file_of(kGoldenHeader, 27);
  const auto arrays = arrays_of(golden_tensors());
  int read = 0, refused = 0;
  for (std::size_t bit = 0; bit < (8 + kGoldenHeader.size()) * 8; ++bit) {
    CAPTURE(bit);
    Bytes changed = whole;
    changed[bit / 8] ^= std::byte{1} << (bit % 8);
    try {
      const SafeTensors file = parse_safetensors(changed, "x");
      CHECK(arrays_of(file) == arrays);
      CHECK(!equal(file, golden_tensors()));
      ++read;
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 4 * read);
  CHECK(read > 0);
}

TEST_CASE("safetensors: seeded damage of several bytes is an error or a file that is written and read alike") {
  const TempFolder folder;
  const Bytes whole = file_of(kGoldenHeader, 27);
  std::mt19937 random(11);
  const std::string alphabet = "{}[]\",:0123456789-eE.F UBIdtypeshao_ts\\n";
  int read = 0;
  for (int round = 0; round < 20000; ++round) {
    Bytes changed = whole;
    for (unsigned edits = random() % 3 + 1; edits > 0; --edits) {
      const std::size_t place = 8 + random() % kGoldenHeader.size();
      changed[place] = static_cast<std::byte>(alphabet[random() % alphabet.size()]);
    }
    try {
      const SafeTensors file = parse_safetensors(changed, "x");
      if (++read % 64 != 0) continue;  // writing syncs: a sample is enough
      write_safetensors(folder / "a.safetensors", file);
      CHECK(equal(read_safetensors(folder / "a.safetensors"), file));
    } catch (const Error&) {
    }
  }
  CHECK(read > 64);
  CHECK(read < 10000);
}

TEST_CASE("safetensors: random files are read back as written, and written alike again") {
  const TempFolder folder;
  const fs::path first = folder / "a.safetensors", second = folder / "b.safetensors";
  std::mt19937 random(5);
  const std::vector<std::pair<std::string, std::size_t>> dtypes = {
      {"F64", 8}, {"I64", 8}, {"U64", 8}, {"F32", 4}, {"I32", 4}, {"F16", 2}, {"BF16", 2}, {"U8", 1}, {"BOOL", 1}};
  for (int round = 0; round < 20; ++round) {
    SafeTensors tensors;
    for (unsigned i = random() % 5; i > 0; --i) {
      tensors.metadata[fmt::format("key {} \u00e9\n\"\\", i)] = std::string(random() % 50, static_cast<char>('a' + i));
    }
    for (unsigned i = random() % 12; i > 0; --i) {
      SafeTensor tensor;
      const auto& [dtype, size] = dtypes[random() % dtypes.size()];
      tensor.dtype = dtype;
      std::size_t bytes = size;
      for (unsigned rank = random() % 5; rank > 0; --rank) {
        tensor.shape.push_back(random() % 7);
        bytes *= static_cast<std::size_t>(tensor.shape.back());
      }
      tensor.bytes.resize(bytes);
      for (std::byte& byte : tensor.bytes) byte = static_cast<std::byte>(random());
      tensors.tensors[fmt::format("layer.{}.\u03b3 \"\t", random() % 100)] = tensor;
    }
    write_safetensors(first, tensors);
    const SafeTensors back = read_safetensors(first);
    CHECK(equal(back, tensors));
    CHECK(equal(parse_safetensors(bytes_of(first), "x"), tensors));
    write_safetensors(second, back);
    CHECK(bytes_of(second) == bytes_of(first));
  }
}

TEST_CASE("safetensors: floats keep every bit, NaN and -0 too") {
  const TempFolder folder;
  const std::vector<float> values = {1.5f, -0.0f, NAN, -INFINITY, 1e-45f, 3.4e38f};
  SafeTensors tensors;
  tensors.add_f32("w", {3, 2}, values);
  CHECK_THROWS_WITH_AS(tensors.add_f32("w", {3, 2}, values), doctest::Contains("tensor \"w\": is there already"),
                       Error);
  CHECK_THROWS_WITH_AS(tensors.add_f32("v", {3, 3}, values), doctest::Contains("6 values do not fit its shape of 9"),
                       Error);
  CHECK_THROWS_AS(tensors.add_f32("v", {-3, -2}, values), Error);
  CHECK(tensors.tensors.size() == 1);
  write_safetensors(folder / "a.safetensors", tensors);
  const SafeTensors back = read_safetensors(folder / "a.safetensors");
  const std::span<const float> read = back.at("w").f32();
  REQUIRE(read.size() == values.size());
  CHECK(std::memcmp(read.data(), values.data(), values.size() * sizeof(float)) == 0);
}

TEST_CASE("safetensors: what would not be read back is not written") {
  const TempFolder folder;
  const fs::path file = folder / "a.safetensors";
  const auto refused = [&](const std::string& name, const SafeTensor& tensor, const std::string& message) {
    SafeTensors tensors;
    tensors.tensors[name] = tensor;
    CHECK_THROWS_WITH_AS(write_safetensors(file, tensors), doctest::Contains(message.c_str()), Error);
  };
  refused("w", {"F32", {2}, Bytes(7)}, "a.safetensors: tensor \"w\": holds 7 bytes, its dtype and shape say 8");
  refused("w", {"F33", {2}, Bytes(8)}, "unknown dtype \"F33\"");
  refused("w", {"F32", {-2}, Bytes(8)}, "negative extent -2");
  refused("__metadata__", {"F32", {2}, Bytes(8)}, "taken by the format");
  refused("\xff", {"F32", {2}, Bytes(8)}, "cannot be written");
  SafeTensors tensors;
  tensors.metadata["cfg"] = "\xff\xfe";
  CHECK_THROWS_AS(write_safetensors(file, tensors), Error);
  CHECK(folder.entries() == 0);
  CHECK_THROWS_WITH_AS(read_safetensors(file), doctest::Contains("a.safetensors: no such file"), Error);
  CHECK_THROWS_WITH_AS(read_safetensors_metadata(folder / "."), doctest::Contains("not a regular file"), Error);
}

TEST_CASE("safetensors: the golden files are read") {
  const char* assets = std::getenv("ROOK_ASSETS");
  if (assets == nullptr || *assets == '\0') {
    MESSAGE("skipped: ROOK_ASSETS is not set");
    return;
  }
  const TempFolder folder;
  int files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(assets) / "golden")) {
    if (entry.path().extension() != ".safetensors") continue;
    CAPTURE(entry.path().string());
    const SafeTensors file = read_safetensors(entry.path());
    CHECK(file.metadata.at("image") == "images/dog.jpg");
    const SafeTensor& input = file.at("input_nchw_rgb01");
    REQUIRE(input.shape.size() == 4);
    CHECK(input.shape[1] == 3);
    const std::span<const float> pixels = input.f32();
    CHECK(pixels.size() == static_cast<std::size_t>(3 * input.shape[2] * input.shape[3]));
    const auto [low, high] = std::minmax_element(pixels.begin(), pixels.end());
    CHECK(*low >= 0.0f);  // shifted by some bytes they would not be within 0..1
    CHECK(*high <= 1.0f);
    const double mean = std::accumulate(pixels.begin(), pixels.end(), 0.0) / static_cast<double>(pixels.size());
    CHECK(mean > 0.2);
    CHECK(mean < 0.8);
    write_safetensors(folder / "a.safetensors", file);
    CHECK(equal(read_safetensors(folder / "a.safetensors"), file));
    ++files;
  }
  CHECK(files >= 6);
}
