#include "io/darknet_weights.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <utility>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/file_reader.h"

namespace rook::io {
namespace {

static_assert(std::endian::native == std::endian::little, "weights files are little-endian and are copied as they lie");

constexpr std::size_t kVersionBytes = 12;  // major, minor, revision
// The highest version number that is believed: the files known are 0.1 and 0.2, ancient transposed ones count from
// 1000. The first bytes of a text, a picture or an archive are far beyond.
constexpr std::int32_t kHighestVersion = 65535;

// 20 where `seen` has 64 bits, else 16 (darknet.md 2.1, the condition that also gets the transposed files right).
int header_bytes(std::int32_t major, std::int32_t minor) {
  return major < 1000 && minor < 1000 && major * 10 + minor >= 2 ? 20 : 16;
}

void check_version(const DarknetHeader& header, const std::string& name) {
  for (const std::int32_t number : {header.major, header.minor, header.revision}) {
    if (number < 0 || number > kHighestVersion) {
      throw Error(fmt::format("{}: not a darknet weights file (version {}.{}.{} in its header)", name, header.major,
                              header.minor, header.revision));
    }
  }
}

void check_finite(std::span<const float> payload, const std::string& name, int first_byte) {
  for (std::size_t i = 0; i < payload.size(); ++i) {
    if (!std::isfinite(payload[i])) {
      throw Error(fmt::format("{}: weight {} of {} (byte {}) is {}; the file is damaged or its training diverged", name,
                              i, payload.size(), static_cast<std::size_t>(first_byte) + i * sizeof(float), payload[i]));
    }
  }
}

template <class Reader>
DarknetWeights read_weights_from(Reader& reader) {
  DarknetWeights weights;
  weights.file = reader.name();
  DarknetHeader& header = weights.header;
  const auto too_short = [&](int needed) {
    return Error(fmt::format("{}: {} bytes are too few for the header of a darknet weights file ({}); is it complete?",
                             weights.file, reader.size(), needed));
  };
  if (reader.size() < kVersionBytes) throw too_short(20);
  std::array<std::int32_t, 3> version{};
  reader.read(std::as_writable_bytes(std::span(version)));
  header.major = version[0];
  header.minor = version[1];
  header.revision = version[2];
  check_version(header, weights.file);
  header.bytes = header_bytes(header.major, header.minor);
  const auto all_header_bytes = static_cast<std::uint64_t>(header.bytes);
  if (reader.size() < all_header_bytes) throw too_short(header.bytes);
  header.seen = 0;
  reader.read(std::as_writable_bytes(std::span(&header.seen, 1)).first(all_header_bytes - kVersionBytes));

  const std::uint64_t payload_bytes = reader.size() - all_header_bytes;
  if (payload_bytes == 0) throw Error(fmt::format("{}: a header without any weights; is it complete?", weights.file));
  if (payload_bytes % sizeof(float) != 0) {
    throw Error(
        fmt::format("{}: {} bytes after the header are no whole number of floats; truncated, or not a darknet "
                    "weights file",
                    weights.file, payload_bytes));
  }
  weights.payload.resize(payload_bytes / sizeof(float));
  reader.read(std::as_writable_bytes(std::span(weights.payload)));
  check_finite(weights.payload, weights.file, header.bytes);
  return weights;
}

}  // namespace

DarknetWeights read_darknet_weights(const std::filesystem::path& file) {
  FileReader reader(file);
  return read_weights_from(reader);
}

DarknetWeights parse_darknet_weights(std::span<const std::byte> bytes, const std::string& name) {
  SpanReader reader(bytes, name);
  return read_weights_from(reader);
}

std::vector<std::byte> darknet_weights_bytes(const DarknetWeights& weights, const std::string& name) {
  const DarknetHeader& header = weights.header;
  check_version(header, name);
  if (header.bytes != header_bytes(header.major, header.minor)) {
    throw Error(fmt::format("{}: a header of version {}.{} has {} bytes, not {}; readers would misplace every weight",
                            name, header.major, header.minor, header_bytes(header.major, header.minor), header.bytes));
  }
  if (header.bytes == 16 && header.seen > std::numeric_limits<std::uint32_t>::max()) {
    throw Error(fmt::format("{}: {} images seen do not fit the 32 bits of a version {}.{} header; write version 0.2",
                            name, header.seen, header.major, header.minor));
  }
  if (weights.payload.empty()) throw Error(fmt::format("{}: there are no weights to write", name));
  check_finite(weights.payload, name, header.bytes);

  const auto all_header_bytes = static_cast<std::size_t>(header.bytes);
  std::vector<std::byte> bytes(all_header_bytes + weights.payload.size() * sizeof(float));
  const std::array<std::int32_t, 3> version{header.major, header.minor, header.revision};
  std::memcpy(bytes.data(), version.data(), kVersionBytes);
  std::memcpy(bytes.data() + kVersionBytes, &header.seen, all_header_bytes - kVersionBytes);
  std::memcpy(bytes.data() + all_header_bytes, weights.payload.data(), weights.payload.size() * sizeof(float));
  return bytes;
}

void write_darknet_weights(const std::filesystem::path& file, const DarknetWeights& weights) {
  write_file_atomically(file, darknet_weights_bytes(weights, file.string()));
}

}  // namespace rook::io
