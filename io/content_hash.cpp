// SHA-256 comes from OpenSSL's libcrypto: it is there already (cpp-httplib needs it), is kept well, and takes the SHA
// instructions of the processor, with which hashing costs nothing beside decoding a photo.
#include "io/content_hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <vector>

#include "base/error.h"
#include "io/file_reader.h"

namespace rook::io {
namespace {

constexpr std::size_t kDigits = 64;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
      throw Error("SHA-256: OpenSSL cannot compute it");
  }
  void add(std::span<const std::byte> bytes) {
    if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1)
      throw Error("SHA-256: OpenSSL cannot compute it");
  }
  std::string digits() {
    std::array<unsigned char, kDigits / 2> digest{};
    unsigned int size = 0;
    if (EVP_DigestFinal_ex(context_.get(), digest.data(), &size) != 1 || size != digest.size())
      throw Error("SHA-256: OpenSSL cannot compute it");
    std::string text;
    for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string content_hash(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.digits();
}

std::string content_hash(std::string_view text) {
  return content_hash(std::as_bytes(std::span(text)));
}

std::string content_hash_of_file(const std::filesystem::path& file) {
  FileReader reader(file);
  Sha256 hash;
  std::vector<std::byte> piece(std::size_t{1} << 20);
  for (std::uint64_t left = reader.size(); left > 0;) {
    const std::span<std::byte> next = std::span(piece).first(std::min<std::uint64_t>(left, piece.size()));
    reader.read(next);
    hash.add(next);
    left -= next.size();
  }
  return hash.digits();
}

bool is_content_hash(std::string_view text) {
  return text.size() == kDigits &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

double share_of_hash(std::string_view hash) {
  constexpr int kBits = 64, kKept = 53;  // of a double's mantissa
  std::uint64_t first = 0;
  std::from_chars(hash.data(), hash.data() + std::min<std::size_t>(hash.size(), kBits / 4), first, 16);
  return std::ldexp(static_cast<double>(first >> (kBits - kKept)), -kKept);
}

}  // namespace rook::io
