// darknet .weights files as they lie on disk: a header and floats (darknet.md 2.1). Which layer owns which float is
// decided where the network is known (model/import.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace rook::io {

struct DarknetHeader {
  std::int32_t major = 0, minor = 2, revision = 5;
  std::uint64_t seen = 0;
  int bytes = 20;  // 16 for the old 32-bit `seen`
};

struct DarknetWeights {
  DarknetHeader header;
  std::vector<float> payload;
  std::string file;  // what messages name
};

// Reads and checks: size, header, whole floats, every float finite (names the first that is not).
DarknetWeights read_darknet_weights(const std::filesystem::path& file);
DarknetWeights parse_darknet_weights(std::span<const std::byte> bytes, const std::string& name);
// The file's bytes; `name` is for messages. A 16-byte header is written back as such.
std::vector<std::byte> darknet_weights_bytes(const DarknetWeights& weights, const std::string& name);
// The same, written atomically.
void write_darknet_weights(const std::filesystem::path& file, const DarknetWeights& weights);

}  // namespace rook::io
