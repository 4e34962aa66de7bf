// Headless Chromium, told what to do through its debugging pipe (Chrome DevTools Protocol): JSON messages that end with
// a zero byte, from us on its descriptor 3, to us on 4.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX's
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/io/picture_support.h"

namespace rook::test {

// The browser's program, or nothing where there is none.
inline std::string find_chromium() {
  const char* path = std::getenv("PATH");
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
    std::istringstream folders(path ? path : "");
    for (std::string folder; std::getline(folders, folder, ':');)
      if (::access((folder + "/" + name).c_str(), X_OK) == 0) return folder + "/" + name;
  }
  return {};
}

class Browser {
 public:
  explicit Browser(const std::string& program) {
    int to_child[2], from_child[2];
    REQUIRE(::pipe2(to_child, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(from_child, O_CLOEXEC) == 0);
    // Out of the way of 3 and 4, which they are copied to.
    const int in = ::fcntl(to_child[0], F_DUPFD_CLOEXEC, 10), out = ::fcntl(from_child[1], F_DUPFD_CLOEXEC, 10);
    ::close(to_child[0]);
    ::close(from_child[1]);
    in_ = to_child[1];
    out_ = from_child[0];
    const std::string profile = "--user-data-dir=" + (folder_ / "profile").string();
    std::vector<const char*> arguments{
        program.c_str(),           "--headless=new", "--no-sandbox",      "--disable-gpu",
        "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe",
        profile.c_str(),           nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 3);
    posix_spawn_file_actions_adddup2(&actions, out, 4);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // its helpers go with it
    const int failure =
        posix_spawn(&pid_, program.c_str(), &actions, &attributes, const_cast<char* const*>(arguments.data()), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    ::close(in);
    ::close(out);
    REQUIRE(failure == 0);
    const auto target = call("Target.createTarget", {{"url", "about:blank"}})["targetId"];
    session_ = call("Target.attachToTarget", {{"targetId", target}, {"flatten", true}})["sessionId"];
    call("Page.enable");
  }
  ~Browser() {
    ::close(in_);
    ::close(out_);
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  // The result of a command; a failure of the command fails the test.
  nlohmann::json call(const std::string& method, const nlohmann::json& parameters = nlohmann::json::object()) {
    nlohmann::json message = {{"id", ++calls_}, {"method", method}, {"params", parameters}};
    if (!session_.empty()) message["sessionId"] = session_;
    const std::string text = message.dump();
    const std::string_view bytes(text.c_str(), text.size() + 1);
    REQUIRE(::write(in_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    for (;;) {
      const nlohmann::json answer = receive();
      if (answer.value("id", 0) != calls_) continue;
      REQUIRE_MESSAGE(!answer.contains("error"), method, ": ", answer.dump());
      return answer["result"];
    }
  }

  // The value of a JavaScript expression; promises are waited for.
  nlohmann::json evaluate(const std::string& expression) {
    const nlohmann::json result =
        call("Runtime.evaluate", {{"expression", expression}, {"awaitPromise", true}, {"returnByValue", true}});
    REQUIRE_MESSAGE(!result.contains("exceptionDetails"), expression, ": ", result.dump());
    return result["result"].contains("value") ? result["result"]["value"] : nlohmann::json();
  }

  // Waits, at most 30 seconds, until the expression is true.
  bool becomes(const std::string& expression) {
    return evaluate("new Promise(done => { const end = Date.now() + 30000; const look = () => { if (" + expression +
                    ") done(true); else if (Date.now() > end) done(false); else setTimeout(look, 20); }; look(); })") ==
           true;
  }

  void open(const std::string& url) {
    call("Page.navigate", {{"url", url}});
    REQUIRE(becomes("document.readyState === 'complete' && location.href.startsWith('http')"));
  }

  void choose_file(const std::string& selector, const std::filesystem::path& file) {
    const auto root = call("DOM.getDocument")["root"]["nodeId"];
    const auto node = call("DOM.querySelector", {{"nodeId", root}, {"selector", selector}})["nodeId"];
    call("DOM.setFileInputFiles", {{"nodeId", node}, {"files", {file.string()}}});
  }

  void resize(int width, int height, double scale, bool phone, bool dark) {
    call("Emulation.setDeviceMetricsOverride",
         {{"width", width}, {"height", height}, {"deviceScaleFactor", scale}, {"mobile", phone}});
    call("Emulation.setEmulatedMedia",
         {{"features", {{{"name", "prefers-color-scheme"}, {"value", dark ? "dark" : "light"}}}}});
  }

  // As PNG.
  ByteVector screenshot(bool whole_page = false) {
    return from_base64(call("Page.captureScreenshot", {{"captureBeyondViewport", whole_page}})["data"]);
  }

 private:
  static ByteVector from_base64(const std::string& text) {
    static const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    ByteVector bytes;
    unsigned value = 0, bits = 0;
    for (const char letter : text) {
      if (letter == '=') break;
      value = value << 6 | static_cast<unsigned>(letters.find(letter));
      if ((bits += 6) < 8) continue;
      bits -= 8;
      bytes.push_back(static_cast<std::uint8_t>(value >> bits & 0xff));
    }
    return bytes;
  }

  nlohmann::json receive() {
    std::size_t end = 0;
    while ((end = unread_.find('\0')) == std::string::npos) {
      pollfd waited{.fd = out_, .events = POLLIN, .revents = 0};
      REQUIRE_MESSAGE(::poll(&waited, 1, 90'000) > 0, "the browser says nothing");
      char bytes[65536];
      const ssize_t got = ::read(out_, bytes, sizeof bytes);
      REQUIRE_MESSAGE(got > 0, "the browser has ended");
      unread_.append(bytes, static_cast<std::size_t>(got));
    }
    const nlohmann::json message = nlohmann::json::parse(unread_.substr(0, end));
    unread_.erase(0, end + 1);
    return message;
  }

  TempFolder folder_;
  int in_ = -1, out_ = -1, calls_ = 0;
  pid_t pid_ = -1;
  std::string session_, unread_;
};

}  // namespace rook::test
