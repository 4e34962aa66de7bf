// The page of `rook label`.
#include <fmt/format.h>
#include <algorithm>

#include "io/image.h"
#include "model/detections.h"
#include "model/proposals_review.h"
#include "model/report_html.h"
#include "model/report_parts.h"

namespace rook {
namespace {

constexpr int kProposalWidth = 960;  // pixels
constexpr int kReasons = 8;          // of a photo, the greatest doubts
constexpr double kWorthALine = 0.1;  // least doubt that is listed

// Beside the style sheet of all pages. Boxes are numbered where there is a reason, green where there is none.
constexpr const char* kStyle = R"css(<style>
.shot{position:relative;border-radius:10px;overflow:hidden;border:1px solid var(--line)}
.shot img{display:block;width:100%;height:auto}
.shot svg{position:absolute;inset:0;height:100%}
.shot rect{fill:none;stroke:#06d6a0;stroke-width:2}
.shot .doubt rect{stroke:#ffbe0b;stroke-width:3}
.shot .hint rect{stroke:#ff5a6a;stroke-width:3;stroke-dasharray:7 5}
.shot svg text{font-size:14px;font-weight:600;fill:#fff;stroke:#000;stroke-width:3px;paint-order:stroke}
.shot .doubt text{fill:#ffdf70}
.shot .hint text{fill:#ffb0b8}
.bare .sure text{display:none}
ol.why{margin:.5rem 0 0;padding-left:2rem;font-size:.92rem}
</style>)css";

std::string box_svg(const Proposal& p, int number, const Review& review, int width, int height) {
  const PixelBox at = to_pixels(p.box, width, height);
  const std::string label = fmt::format("{} {:.2f}", review.classes[static_cast<std::size_t>(p.box.cls)], p.box.score);
  const std::string shown = escape_html(number > 0 ? fmt::format("{}: {}", number, label) : label);
  // Over the box, inside it where that would leave the photo.
  const double y = at.top >= 18 ? at.top - 5.0 : at.top + 15.0;
  return fmt::format(
      "<g class=\"{}\"><title>{}, doubt {:.2f}</title><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
      "height=\"{:.1f}\"/><text x=\"{:.1f}\" y=\"{:.1f}\">{}</text></g>",
      !p.proposed  ? "hint"
      : number > 0 ? "doubt"
                   : "sure",
      escape_html(label), p.doubt, at.left, at.top, at.width, at.height, at.left, y, shown);
}

std::string photo_section(const Review& review, std::size_t rank) {
  const ReviewPhoto& photo = review.photos[rank];
  const PhotoProposals& found = photo.proposals;
  const io::Image small = fit_width(io::read_image(photo.file), kProposalWidth);
  const std::vector<int> doubtful = most_doubtful(found, kReasons, kWorthALine);
  std::vector<int> number(found.boxes.size(), 0);
  for (std::size_t i = 0; i < doubtful.size(); ++i)
    number[static_cast<std::size_t>(doubtful[i])] = static_cast<int>(i) + 1;
  std::string html = fmt::format(
      "<section id=\"p{0}\"><h2>{0}. {1} <small>{2:.1f} corrections expected, {3} boxes</small></h2><div "
      "class=\"shot\"><img src=\"{4}\" alt=\"{1}\"/><svg viewBox=\"0 0 {5} {6}\">",
      rank + 1, escape_html(photo.name), found.corrections, found.proposed, data_url(small), small.width, small.height);
  // Hints without a reason are too weak to be worth a box. The doubtful ones are drawn last, over the others.
  for (const bool last : {false, true})
    for (std::size_t i = 0; i < found.boxes.size(); ++i)
      if ((number[i] > 0) == last && (last || found.boxes[i].proposed))
        html += box_svg(found.boxes[i], number[i], review, small.width, small.height);
  html += "</svg></div>";
  if (found.boxes.empty())
    return html + "<p class=\"note\">Nothing is seen: an empty photo, or nothing that the model knows.</p></section>";
  if (doubtful.empty()) return html + "<p class=\"note\">Nothing is in doubt.</p></section>";
  html += "<ol class=\"why\">";
  for (const int box : doubtful)
    html += fmt::format("<li>{}</li>", escape_html(reason(found, box, review.classes, review.options)));
  return html + "</ol></section>\n";
}

std::string head_section(const Review& review, std::size_t shown) {
  std::string html = fmt::format(
      "<section><p>{} boxes are proposed on {} photos; about {:.0f} corrections are expected. The photos with the most "
      "of them come first.{}</p><p class=\"note\"><span class=\"key\" style=\"background:#06d6a0\"></span>sure<span "
      "class=\"key\" style=\"background:#ffbe0b\"></span>in doubt, numbered with the reason below<span class=\"key\" "
      "style=\"background:#ff5a6a\"></span>dashed: not proposed, may be missing <label><input type=\"checkbox\" "
      "checked=\"checked\" onchange=\"document.body.classList.toggle('bare')\"/> names of sure boxes</label></p>",
      review.proposed(), review.photos.size(), review.corrections(),
      shown < review.photos.size() ? fmt::format(" The first {} are shown.", shown) : "");
  if (!review.unreadable.empty()) {
    html += fmt::format("<p class=\"note\">{} files could not be read:</p><ul>", review.unreadable.size());
    for (const auto& [file, why] : review.unreadable) html += fmt::format("<li>{}</li>", escape_html(why));
    html += "</ul>";
  }
  return html + "</section>\n";
}

}  // namespace

std::string review_html(const Review& review, int most, const std::function<void(int)>& done) {
  const std::size_t shown = std::min(review.photos.size(), static_cast<std::size_t>(std::max(0, most)));
  std::string html = page_begin("Photos to correct, the least certain first", "Proposed by " + review.model) + kStyle +
                     head_section(review, shown);
  for (std::size_t i = 0; i < shown; ++i) {
    html += photo_section(review, i);
    if (done) done(static_cast<int>(i) + 1);
  }
  return html + page_end();
}

}  // namespace rook
