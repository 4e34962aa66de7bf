// The server over real sockets: what it answers, what it refuses, and who cannot hold it up.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "model/detections.h"
#include "tests/serve/support.h"

using namespace rook;
using namespace rook::test;

namespace {

const io::Image kPhoto = noise_photo(50, 40, 1);

const std::string& photo() {
  static const std::string bytes = png_of(kPhoto);
  return bytes;
}

// What a detector alone says of a photo, as JSON of its boxes.
nlohmann::json boxes_alone(const Model& model, const io::Image& image, float conf = 0.3f) {
  Detector detector(*model.network, *model.params, model.preprocess, {.backend = &cpu_backend(), .threshold = conf});
  return to_json("", image.width, image.height, 0, detector.detect({&image, 1}).front(), model.names)["detections"];
}

void check_error(const Answer& answer, int status, const std::string& words) {
  CAPTURE(answer.body);
  CHECK(answer.status == status);
  CHECK(answer.has("Content-Type: application/json"));
  REQUIRE(answer.json().is_object());
  const std::string text = answer.json().value("error", "");
  CHECK(text.find(words) != std::string::npos);
  CHECK(text.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("server: a photo in, the JSON of detect out") {
  const RunningServer server;
  const Answer raw = ask(server.port(), post("/detect", photo()));
  REQUIRE(raw.status == 200);
  CHECK(raw.has("Content-Type: application/json"));
  const nlohmann::json json = raw.json();
  REQUIRE((json.is_array() && json.size() == 1));
  CHECK((json[0]["image"] == "photo" && json[0]["width"] == 50 && json[0]["height"] == 40));
  CHECK(json[0]["ms"].get<double>() > 0);
  CHECK(json[0]["detections"].size() > 10);
  CHECK(json[0]["detections"] == boxes_alone(server.model, kPhoto));

  const io::Image other = noise_photo(33, 71, 2);
  const std::string two = multipart({{"one.png", photo()}, {"caf\xe9.png", png_of(other)}});
  const nlohmann::json both = ask(server.port(), post("/detect/batch", two, kMultipart)).json();
  REQUIRE((both.is_array() && both.size() == 2));
  CHECK((both[0]["image"] == "one.png" && both[1]["image"] == "caf\xef\xbf\xbd.png"));
  CHECK(both[0]["detections"] == json[0]["detections"]);
  CHECK(both[1]["detections"] == boxes_alone(server.model, other));
  CHECK(ask(server.port(), post("/detect", multipart({{"a", photo()}}), kMultipart)).json()[0]["image"] == "a");
  check_error(ask(server.port(), post("/detect", two, kMultipart)), 400, "/detect/batch");

  const nlohmann::json few = ask(server.port(), post("/detect?conf=0.35&max=2", photo())).json();
  REQUIRE(few[0]["detections"].size() == 2);
  CHECK(few[0]["detections"][0] == json[0]["detections"][0]);
  CHECK(ask(server.port(), post("/detect?conf=0.4", photo())).json()[0]["detections"] ==
        boxes_alone(server.model, kPhoto, 0.4f));

  // In chunks, as a client sends what it does not know the length of.
  std::string chunked = "POST /detect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < photo().size(); at += 1000) {
    const std::string part = photo().substr(at, 1000);
    chunked += fmt::format("{:x}\r\n{}\r\n", part.size(), part);
  }
  CHECK(ask(server.port(), chunked + "0\r\n\r\n").json()[0]["detections"] == json[0]["detections"]);
}

TEST_CASE("server: the page, health, model, metrics") {
  const RunningServer server;
  const Answer page = ask(server.port(), get("/"));
  CHECK(page.status == 200);
  CHECK(page.has("Content-Type: text/html"));
  CHECK(page.has("Content-Security-Policy: default-src 'none'"));
  CHECK(page.body == serve::kPage);
  for (const char* outside : {"http://", "https://", "src=\"/", "@import"}) {
    std::string text = page.body;  // but for the name of SVG
    for (std::size_t at; (at = text.find("http://www.w3.org/2000/svg")) != std::string::npos;) text.erase(at, 26);
    CHECK(text.find(outside) == std::string::npos);
  }
  CHECK(ask(server.port(), get("/healthz")).json()["status"] == "ok");
  const nlohmann::json model = ask(server.port(), get("/model")).json();
  CHECK((model["width"] == 64 && model["height"] == 32 && model["classes"].size() == 2 && model["batch"] == 4));
  for (int i = 0; i < 3; ++i) ask(server.port(), post("/detect", photo()));
  ask(server.port(), post("/detect", "no picture"));
  ask(server.port(), get("/nothing"));
  const std::array lines_of_requests{"rook_requests_total{path=\"/detect\",status=\"200\"} 3\n",
                                     "rook_requests_total{path=\"/detect\",status=\"415\"} 1\n",
                                     "rook_requests_total{path=\"other\",status=\"404\"} 1\n",
                                     "rook_photos_total 3\n",
                                     "rook_batch_photos_bucket{le=\"1\"} 3\n",
                                     "rook_batch_photos_count 3\n",
                                     "rook_queue_photos 0\n",
                                     "rook_request_seconds_bucket{le=\"+Inf\"} "};
  // A request counts once its answer is on its way, which may be a moment after that has arrived.
  Answer metrics = ask(server.port(), get("/metrics"));
  const auto has = [&](const char* line) { return metrics.body.find(line) != std::string::npos; };
  for (int i = 0; i < 100 && !std::ranges::all_of(lines_of_requests, has); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    metrics = ask(server.port(), get("/metrics"));
  }
  CHECK(metrics.has("Content-Type: text/plain; version=0.0.4"));
  for (const char* line : lines_of_requests) CHECK_MESSAGE(has(line), std::string(line));
  // Every line is a comment or a name, perhaps with labels, and a number.
  std::istringstream lines(metrics.body);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# ")) continue;
    char* end = nullptr;
    const std::string value = line.substr(line.rfind(' ') + 1);
    std::strtod(value.c_str(), &end);
    CHECK_MESSAGE((!value.empty() && *end == 0), line);
  }
}

TEST_CASE("server: refusals say why") {
  serve::ServiceOptions options = service_options(4, 8);
  options.max_bytes = 100'000;
  options.max_pixels = 10'000;
  const RunningServer server({}, options);
  const int port = server.port();
  check_error(ask(port, get("/nothing")), 404, "nothing here");
  const Answer wrong = ask(port, get("/detect"));
  check_error(wrong, 405, "GET");
  CHECK(wrong.has("Allow: POST"));
  check_error(ask(port, post("/model", "x")), 405, "POST");
  check_error(ask(port, "DELETE /detect HTTP/1.1\r\nHost: x\r\n\r\n"), 405, "DELETE");
  check_error(ask(port, post("/detect?conf=2", photo())), 400, "conf");
  check_error(ask(port, post("/detect?colour=red", photo())), 400, "colour");
  check_error(ask(port, post("/detect", "", "")), 415, "empty");
  check_error(ask(port, post("/detect", "GIF89a....")), 415, "GIF");
  check_error(ask(port, post("/detect", "just words")), 415, "not a picture");
  check_error(ask(port, post("/detect", photo().substr(0, photo().size() / 2))), 422, "truncated");
  check_error(ask(port, post("/detect", "BMxxxx")), 422, "BMP");
  std::string damaged = photo();
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  check_error(ask(port, post("/detect", damaged)), 422, "checksum");
  check_error(ask(port, post("/detect", png_of(noise_photo(101, 100, 1)))), 413, "101 x 100");
  check_error(ask(port, post("/detect", std::string(100'001, 'x'))), 413, "100000 bytes");
  check_error(ask(port, post("/detect/batch", multipart({}), kMultipart)), 400, "0 photos");
  check_error(ask(port, post("/detect/batch", multipart({{"good.png", photo()}, {"bad.png", "BM"}}), kMultipart)), 422,
              "bad.png");
  check_error(ask(port, post("/detect", photo(), "Content-Type: multipart/form-data\r\n")), 400, "boundary");
  std::vector<std::pair<std::string, std::string>> nine(9, {"x.png", png_of(noise_photo(8, 8, 1))});
  check_error(ask(port, post("/detect/batch", multipart(nine), kMultipart)), 413, "9 photos");
  check_error(ask(port, post("/detect", photo(), "Content-Encoding: gzip\r\n")), 415, "Content-Encoding");
  const std::string head = "POST /detect HTTP/1.1\r\nHost: x\r\n";
  check_error(ask(port, head + "\r\n"), 411, "Content-Length");
  check_error(ask(port, head + "Content-Length: -1\r\n\r\n"), 400, "Content-Length");
  check_error(ask(port, head + "Content-Length: 1e3\r\n\r\n"), 400, "Content-Length");
  check_error(ask(port, head + "Content-Length: 99999999999999999999999\r\n\r\n"), 400, "Content-Length");
  check_error(ask(port, head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"), 400, "twice");
  check_error(ask(port, head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, "twice");
  check_error(ask(port, head + "Transfer-Encoding: gzip\r\n\r\n"), 400, "Transfer-Encoding");
  CHECK(ask(port, post("/detect", photo())).status == 200);
}

TEST_CASE("server: what is too large is refused before it is read, and however it comes") {
  serve::ServiceOptions options = service_options();
  options.max_bytes = 100'000;
  const RunningServer server({}, options);
  {
    Client client(server.port());  // announces a terabyte and sends none of it
    check_error(client.ask("POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n"), 413, "100000");
  }
  {
    Client client(server.port());  // chunks without an end
    client.send("POST /detect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "1000\r\n" + std::string(0x1000, 'x') + "\r\n";
    for (int i = 0; i < 100 && client.send(chunk); ++i) {
    }
    check_error(client.read(), 413, "100000");
  }
  {
    Client client(server.port());  // a body that is sent whole, although nobody wants it
    client.send(post("/detect", std::string(4'000'000, 'x')));
    check_error(client.read(), 413, "100000");
    CHECK(client.closed());
  }
  {
    Client client(server.port());  // headers without an end
    client.send("GET / HTTP/1.1\r\n");
    std::string line = "X: " + std::string(1000, 'x') + "\r\n";
    for (int i = 0; i < 2000 && client.send(line); ++i) {
    }
    const int status = client.read().status;
    CHECK((status == 431 || status == 0));
  }
  {
    Client client(server.port());  // a line without an end
    const std::string part(1000, 'x');
    for (int i = 0; i < 2000 && client.send(part); ++i) {
    }
    client.read();
  }
  CHECK(ask(server.port(), post("/detect", photo())).status == 200);
}

TEST_CASE("server: requests of one connection, one after the other and sent ahead") {
  const RunningServer server;
  Client client(server.port());
  const nlohmann::json expected = boxes_alone(server.model, kPhoto);
  for (int i = 0; i < 20; ++i) {
    CHECK(client.ask(post("/detect", photo())).json()[0]["detections"] == expected);
    CHECK(client.ask(post("/detect", "no picture")).status == 415);  // was read whole: the connection stays good
  }
  client.send(post("/detect", photo()) + get("/healthz") + post("/detect?max=1", photo()));
  CHECK(client.read().json()[0]["detections"] == expected);
  CHECK(client.read().json()["status"] == "ok");
  CHECK(client.read().json()[0]["detections"].size() == 1);
  // What follows an unread body must not be taken for a request.
  client.send("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET /model HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(client.read().status == 200);
  CHECK(client.closed());
  Client old(server.port());
  CHECK(old.ask("GET /healthz HTTP/1.0\r\n\r\n").status == 200);
  CHECK(old.closed());
}

TEST_CASE("server: many clients at once get each their own boxes") {
  const RunningServer server({}, service_options(4, 1000));
  constexpr int kClients = 24, kRequests = kSanitized ? 10 : 40;
  std::atomic<int> good{0};
  std::vector<std::string> photos;
  std::vector<nlohmann::json> expected;
  for (int i = 0; i < kClients; ++i) {
    const io::Image image = noise_photo(20 + i, 60 - i, static_cast<std::uint64_t>(i));
    photos.push_back(png_of(image));
    expected.push_back(boxes_alone(server.model, image));
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kClients; ++i)
    threads.emplace_back([&, i] {
      Client client(server.port());
      for (int r = 0; r < kRequests; ++r)
        good += client.ask(post("/detect", photos[i])).json()[0]["detections"] == expected[i];
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(good == kClients * kRequests);
  const std::string metrics = ask(server.port(), get("/metrics")).body;
  const auto value = [&](const std::string& name) {
    return std::atof(metrics.c_str() + metrics.find("\n" + name + " ") + name.size() + 2);
  };
  CHECK(value("rook_photos_total") == kClients * kRequests);
  CHECK(value("rook_batch_photos_count") < kClients * kRequests);  // passes were shared
}

TEST_CASE("server: a full queue answers 503 and when to come again") {
  const RunningServer server({}, service_options(1, 1));
  const std::string large = png_of(noise_photo(1500, 1500, 1));
  std::atomic<int> good{0}, busy{0}, other{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      const Answer answer = ask(server.port(), post("/detect", large));
      (answer.status == 200 ? good : answer.status == 503 && answer.has("Retry-After: 1") ? busy : other)++;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(good >= 1);
  CHECK(busy >= 1);
  CHECK(other == 0);
  CHECK(ask(server.port(), post("/detect", photo())).status == 200);
}

TEST_CASE("server: slow clients lose their time, not that of others") {
  serve::ServerOptions options;
  options.request_timeout = std::chrono::milliseconds(600);
  options.idle_timeout = std::chrono::milliseconds(300);
  options.connections = 6;
  const RunningServer server(options);
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> slow;
  std::atomic<int> ended{0}, late{0};
  for (int i = 0; i < 4; ++i)
    slow.emplace_back([&, i] {
      Client client(server.port());  // a byte now and then, of the headers or of the body
      const std::string request = post("/detect", photo());
      const std::size_t at = i < 2 ? 10 : request.find("\r\n\r\n") + 8;
      client.send(request.substr(0, at));
      for (std::size_t b = at; b < at + 200 && client.send(request.substr(b, 1)); ++b)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      late += client.read().status == 408;
      ++ended;
    });
  Client silent(server.port());
  for (int i = 0; i < 10; ++i) CHECK(ask(server.port(), post("/detect", photo())).status == 200);
  CHECK(ended == 0);
  for (std::thread& thread : slow) thread.join();
  CHECK(silent.closed());
  CHECK(late >= 2);  // those whose headers were whole
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(12));
}

TEST_CASE("server: more clients than it serves at a moment wait their turn") {
  serve::ServerOptions options;
  options.connections = 2;
  const RunningServer server(options);
  std::vector<std::unique_ptr<Client>> clients;  // all of them keep their connections open
  for (int i = 0; i < 12; ++i) clients.push_back(std::make_unique<Client>(server.port()));
  for (auto& client : clients) client->send(post("/detect", photo()));
  for (auto& client : clients) CHECK(client->read().status == 200);
}

TEST_CASE("server: a token where there is something to protect") {
  serve::ServerOptions options;
  options.token = "open sesame";
  const RunningServer server(options);
  const std::string with = "Authorization: Bearer open sesame\r\n";
  CHECK(ask(server.port(), get("/")).status == 200);
  CHECK(ask(server.port(), get("/healthz")).status == 200);
  for (const char* path : {"/model", "/metrics"}) {
    const Answer refused = ask(server.port(), get(path));
    check_error(refused, 401, "token");
    CHECK(refused.has("WWW-Authenticate: Bearer"));
    CHECK(ask(server.port(), get(path, with)).status == 200);
  }
  check_error(ask(server.port(), post("/detect", photo())), 401, "token");
  check_error(ask(server.port(), post("/detect", photo(), "Authorization: Bearer open sesam\r\n")), 401, "token");
  CHECK(ask(server.port(), post("/detect", photo(), with)).status == 200);
}

TEST_CASE("server: a field of a form is no photo") {
  const RunningServer server;
  const std::string photo = png_of(noise_photo(40, 30, 3));
  const std::string field = "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n";
  const std::string file =
      "--XX\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.png\"\r\n\r\n" + photo + "\r\n";
  const std::string type = "Content-Type: multipart/form-data; boundary=XX\r\n";
  const auto answer = [&](const std::string& body) {
    return ask(server.port(), post("/detect", body + "--XX--", type));
  };
  const Answer both = answer(field + file), alone = answer(file);
  CHECK(both.status == 200);
  REQUIRE(both.json().size() == 1);
  CHECK(both.json()[0]["image"] == "a.png");
  CHECK(both.json()[0]["detections"] == alone.json()[0]["detections"]);
  CHECK(answer(field).status == 400);
}

TEST_CASE("server: a stop does not wait for requests that do not come whole") {
  serve::ServerOptions options;
  options.request_timeout = options.idle_timeout = std::chrono::seconds(60);
  RunningServer server(options);
  const std::string photo = png_of(noise_photo(40, 30, 3)), whole = post("/detect", photo);
  Client headers(server.port()), body(server.port()), silent(server.port()), late(server.port());
  headers.send(whole.substr(0, 20));
  body.send(whole.substr(0, whole.size() - 10));
  late.send(whole.substr(0, whole.size() - 10));
  CHECK(ask(server.port(), get("/healthz")).status == 200);  // all of them have been accepted
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto start = std::chrono::steady_clock::now();
  std::thread stopping([&] { server.stop(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  late.send(whole.substr(whole.size() - 10));  // within the second that they have
  CHECK(late.read().status == 200);
  CHECK(body.read().status == 408);
  stopping.join();
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("server: stops when what is in flight is answered, and binds no port twice") {
  RunningServer server;
  serve::ServerOptions same;
  same.port = server.port();
  CHECK(error_of([&] { serve::Server(server.service, same); }).find("cannot be listened on") != std::string::npos);
  const std::string large = png_of(noise_photo(1200, 1200, 1));
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<Client>(server.port()));
    clients.back()->send(post("/detect", large));
  }
  Client idle(server.port());
  CHECK(idle.ask(get("/healthz")).status == 200);
  server.stop();
  for (auto& client : clients) {
    CHECK(client->read().status == 200);
    CHECK(client->closed());
  }
  CHECK(idle.closed());
  CHECK(!Client(same.port).connected());
}
