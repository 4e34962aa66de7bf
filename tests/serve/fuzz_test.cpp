// Requests that are none: whatever comes, the server answers or closes, and goes on serving others. And many that are:
// memory does not grow.
#include <thread>

#include "serve/metrics.h"
#include "tests/serve/support.h"

using namespace rook;
using namespace rook::test;

namespace {

std::string mutated(std::string text, Random& random) {
  constexpr std::string_view kBytes = "\r\n :?&=%/;\"\0\x7f\xff-0A";
  for (auto edits = 1 + random.below(5); edits > 0; --edits) {
    const auto at = static_cast<std::size_t>(random.below(static_cast<std::int64_t>(text.size())));
    switch (random.below(4)) {
      case 0:
        text.erase(at, 1 + static_cast<std::size_t>(random.below(16)));
        break;
      case 1:
        text.insert(at, static_cast<std::size_t>(1 + random.below(300)),
                    kBytes[static_cast<std::size_t>(random.below(17))]);
        break;
      case 2:
        text.insert(at, text.substr(at / 2, 40));
        break;
      default:
        text[at] = kBytes[static_cast<std::size_t>(random.below(17))];
    }
    if (text.empty()) text = "x";
  }
  return text;
}

}  // namespace

TEST_CASE("server: mutilated requests") {
  serve::ServerOptions options;
  options.request_timeout = std::chrono::milliseconds(2000);
  const RunningServer server(options);
  const std::string small = png_of(noise_photo(9, 7, 1));
  const std::vector<std::string> good{
      post("/detect?conf=0.3&nms=greedy&nms_threshold=0.4&max=5", small),
      post("/detect/batch", multipart({{"a.png", small}, {"b.png", small}}), kMultipart),
      get("/metrics", "Range: bytes=0-5,7-9\r\nAccept-Encoding: gzip, br\r\n"),
      "POST /detect HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"};
  Random random(7);
  int answered = 0, fine = 0;
  for (int i = 0; i < (kSanitized ? 400 : 1500); ++i) {
    Client client(server.port());
    REQUIRE(client.connected());
    client.send(mutated(good[static_cast<std::size_t>(random.below(4))], random));
    client.send_no_more();
    const Answer answer = client.read();
    answered += answer.status > 0;
    fine += answer.status == 200;
    if (answer.status > 0) CHECK((answer.status >= 200 && answer.status < 500));
  }
  CHECK(answered > 100);
  CHECK(fine > 10);
  CHECK(ask(server.port(), good[0]).status == 200);
}

TEST_CASE("server: lines that are long on purpose") {
  const RunningServer server;
  const std::string x(60'000, 'x');
  const std::string ranges = [] {
    std::string text = "Range: bytes=0-0";
    while (text.size() < 8000) text += ",0-0";
    return text + "\r\n";
  }();
  for (const std::string& request :
       {get("/" + x), get("/healthz?" + x), get("/healthz", "X: " + x + "\r\n"), get("/healthz", ranges),
        get("/healthz", "Range: bytes=" + x + "\r\n"), x + "\r\n\r\n", "GET " + std::string(60'000, ' ') + "\r\n\r\n",
        "GET /%" + std::string(8000, '%') + " HTTP/1.1\r\n\r\n",
        post("/detect", "--XX\r\nContent-Disposition: form-data; name=\"" + x + x + "\"\r\n\r\n\r\n--XX--\r\n",
             kMultipart)})
    ask(server.port(), request);
  CHECK(ask(server.port(), get("/healthz")).status == 200);
}

TEST_CASE("server: thousands of requests leave no memory behind") {
  const RunningServer server;
  const std::string photo = png_of(noise_photo(40, 30, 1)), broken = photo.substr(0, photo.size() - 9);
  const auto round = [&](int requests) {
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&] {
        Client client(server.port());
        for (int i = 0; i < requests / 8; ++i) {
          wrong += client.ask(post("/detect", photo)).status != 200;
          if (i % 16 == 0) wrong += client.ask(post("/detect", broken)).status != 422;
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    return serve::resident_bytes();
  };
  if (kSanitized) {  // whose allocator keeps what is freed
    round(800);
    return;
  }
  round(1000);
  const std::uint64_t before = round(1000), after = round(10'000);
  CHECK(before > 0);
  CHECK(after < before + (std::uint64_t{2} << 20));
}
