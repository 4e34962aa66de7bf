// What `rook serve` answers, apart from how HTTP is spoken.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/model.h"
#include "serve/batcher.h"
#include "serve/metrics.h"
#include "serve/multipart.h"
#include "serve/query.h"

namespace rook::serve {

struct Reply {
  int status = 200;
  std::string type = "application/json";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// A request that is not answered with what it asks for: the status and one line that says why.
class Refusal : public Error {
 public:
  Refusal(int status, const std::string& message, SourceLocation where = SourceLocation::current())
      : Error(message, where), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

// {"error": message}; 503 says when to come again.
Reply error_reply(int status, const std::string& message);

struct ServiceOptions {
  BatcherOptions batcher;
  DetectSettings defaults;
  std::int64_t max_pixels = 50'000'000;           // of a photo
  std::size_t max_bytes = std::size_t{32} << 20;  // of a request's body
};

class Service {
 public:
  // The model must outlive the service.
  Service(const Model& model, const ServiceOptions& options);

  // JSON of `rook detect` for the photos of a request's body: the body itself, or the files of a multipart one. With
  // `batch` any number of photos, otherwise exactly one. Throws Refusal: 400 (query, multipart), 413 (too many pixels
  // or photos), 415 (no picture), 422 (a broken picture), 503 (the queue is full).
  Reply detect(std::string_view content_type, std::string_view body, std::span<const Parameter> query, bool batch);
  Reply model() const;
  Reply health() const;
  Reply metrics_text(int connections) const;

  Metrics& metrics() { return metrics_; }
  const ServiceOptions& options() const { return options_; }
  // From now on /healthz says that the server is going, so that balancers look elsewhere.
  void drain() { draining_ = true; }

 private:
  std::vector<Upload> uploads(std::string_view content_type, std::string_view body, bool batch) const;
  std::size_t pixels_of(const Upload& upload) const;

  const Model& model_;
  ServiceOptions options_;
  Metrics metrics_;
  Batcher batcher_;
  std::atomic<bool> draining_{false};
};

// The page of GET /, one file without any other.
extern const char* const kPage;

// Whether a header "Bearer TOKEN" carries the token; takes as long for every wrong one of that length.
bool token_matches(std::string_view authorization, std::string_view token);

}  // namespace rook::serve
