// rook serve as a user starts it: the answers of rook detect, ended by a signal without a request lost.
#include <atomic>
#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/app/cli_support.h"
#include "tests/serve/client.h"

using namespace rook;
using namespace rook::test;

namespace {

// The same boxes to a hundredth of a pixel: batches of another size may be computed by another convolution.
bool close(const nlohmann::json& a, const nlohmann::json& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i]["class"] != b[i]["class"]) return false;
    if (!(std::abs(a[i]["score"].get<double>() - b[i]["score"].get<double>()) <= 1e-4)) return false;
    for (std::size_t k = 0; k < 4; ++k)
      if (!(std::abs(a[i]["box"][k].get<double>() - b[i]["box"][k].get<double>()) <= 1e-2)) return false;
  }
  return true;
}

class ServeProgram {
 public:
  explicit ServeProgram(Words more = {}) {
    Words words{"serve", "--model", tiny_run().run.string(), "--port", "0"};
    words.insert(words.end(), more.begin(), more.end());
    child = std::make_unique<Child>(folder / ".", command_of(words), kQuietThreads);
    REQUIRE(wait_for([&] { return child->out().find("Ctrl-C stops") != std::string::npos || !child->running(); }, 60));
    const std::string said = child->out(), before = "http://127.0.0.1:";
    REQUIRE_MESSAGE(said.find(before) != std::string::npos, child->err());
    port = std::atoi(said.c_str() + said.find(before) + before.size());
  }
  TempFolder folder;
  std::unique_ptr<Child> child;
  int port = 0;
};

}  // namespace

TEST_CASE("rook serve: the answers of rook detect") {
  const ServeProgram program({"--conf", "0.02", "--batch", "3", "--log"});
  const nlohmann::json model = ask(program.port, get("/model")).json();
  CHECK((model["width"] == 64 && model["height"] == 64));  // the size of its training, not the cfg's
  CHECK(model["classes"] == kPhotoClasses);
  const fs::path photos = tiny_run().data / "test/images";
  const nlohmann::json expected = nlohmann::json::parse(
      output_of({"detect", "--model", tiny_run().run.string(), photos.string(), "--conf", "0.02", "--json", "-"}));
  std::vector<std::pair<std::string, std::string>> files;
  std::size_t boxes = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string name = "photo-" + std::to_string(i) + ".png", bytes = text_of(photos / name);
    files.emplace_back(name, bytes);
    const nlohmann::json one = ask(program.port, post("/detect", bytes)).json();
    REQUIRE(one.is_array());
    CHECK(keys_of(one[0]) == keys_of(expected[i]));
    for (const char* key : {"width", "height", "detections"}) CHECK(one[0][key] == expected[i][key]);
    boxes += one[0]["detections"].size();
  }
  CHECK(boxes > 0);
  const nlohmann::json all = ask(program.port, post("/detect/batch", multipart(files), kMultipart)).json();
  REQUIRE(all.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(close(all[i]["detections"], expected[i]["detections"]));
  CHECK(program.child->end(SIGINT) == 0);
  CHECK(shows(program.child->err(), "POST /detect 200"));
}

TEST_CASE("rook serve: SIGTERM in the middle loses nothing that was taken") {
  const ServeProgram program;
  const std::string photo = text_of(tiny_run().data / "test/images/photo-0.png");
  std::atomic<int> good{0}, refused{0}, lost{0}, sent{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (;;) {
        Client client(program.port);
        if (!client.connected()) break;
        for (bool open = true; open;) {
          ++sent;
          if (!client.send(post("/detect", photo))) break;
          const Answer answer = client.read();
          // No answer at all: the server had gone before it took the request.
          (answer.status == 200 ? good : answer.status == 0 ? refused : lost)++;
          open = answer.status == 200 && !answer.has("Connection: close");
        }
      }
    });
  CHECK(wait_for([&] { return good > 200; }, 60));
  program.child->send(SIGTERM);
  for (std::thread& thread : threads) thread.join();
  CHECK(program.child->wait() == 0);
  CHECK(lost == 0);
  CHECK(refused <= 8);
  CHECK(good >= 200);
  CHECK(shows(program.child->out(), "stopping"));
}

TEST_CASE("rook serve: what cannot be served is said") {
  const ServeProgram first;
  const std::string run = tiny_run().run.string();
  const Output taken = run_program({"serve", "--model", run, "--port", std::to_string(first.port)});
  CHECK((taken.status == 1 && shows(taken.err, "cannot be listened on")));
  const Output nowhere = run_program({"serve", "--model", run, "--host", "192.0.2.1", "--port", "0"});
  CHECK((nowhere.status == 1 && shows(nowhere.err, "192.0.2.1")));
  CHECK(run_program({"serve", "--model", run, "--port", "99999"}).status == 2);
  CHECK(run_program({"serve", "--model", run, "--queue", "0"}).status == 2);
  CHECK(run_program({"serve"}).status == 2);
}
