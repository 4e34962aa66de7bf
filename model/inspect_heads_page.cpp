// What the heads say of the photo, and what a training would ask of them.
#include <fmt/format.h>
#include <algorithm>

#include "kernels/box.h"
#include "model/inspect_parts.h"
#include "model/report_html.h"

namespace rook {
namespace {

struct HeadView {
  const Inspection& all;
  const PhotoInside& photo;
  std::size_t index;

  const HeadCells& cells() const { return photo.heads[index]; }
  const HeadSpec& spec() const { return all.network->heads[index].spec; }
  // Relative to the network's input.
  Box<double> anchor(int a) const {
    return anchor_shape<double>(spec(), spec().mask[a], cells().columns, cells().rows, all.facts.width,
                                all.facts.height);
  }
  std::string anchor_size(int a) const {
    return fmt::format("{:.0f}x{:.0f}", anchor(a).w * all.facts.width, anchor(a).h * all.facts.height);
  }
};

std::string anchors_figure(const HeadView& head) {
  Overlay overlay(head.photo);
  overlay.dim();
  std::string list;
  for (int a = 0; a < head.cells().anchors; ++a) {
    const Box<double> shape = head.anchor(a);
    const double left = 0.5 - shape.w / 2, top = 0.5 - shape.h / 2;
    overlay.box(left, top, 0.5 + shape.w / 2, 0.5 + shape.h / 2, fmt::format("edge k{}", a % kOverlayColors),
                head.anchor_size(a));
    list += fmt::format("<span class=\"key k{}\" style=\"background:var(--k)\"></span>{}: {}", a % kOverlayColors, a,
                        head.anchor_size(a));
  }
  overlay.box(0.5 - 0.5 / head.cells().columns, 0.5 - 0.5 / head.cells().rows, 0.5 + 0.5 / head.cells().columns,
              0.5 + 0.5 / head.cells().rows, "other", "one cell");
  return overlay.figure("anchors to scale", "Anchors to scale, in pixels of the input; pale: one cell. " + list);
}

std::string claims_figure(const HeadView& head) {
  Overlay overlay(head.photo);
  overlay.dim();
  overlay.grid(head.cells().columns, head.cells().rows);
  std::vector<bool> taken(head.photo.truths.size(), false);
  int claims = 0;
  const double columns = head.cells().columns, rows = head.cells().rows;
  for (const Claim& claim : head.photo.claims) {
    if (claim.head != static_cast<int>(head.index)) continue;
    ++claims;
    taken[static_cast<std::size_t>(claim.truth)] = true;
    const Box<double> shape = head.anchor(claim.anchor);
    const double x = (claim.column + 0.5) / columns, y = (claim.row + 0.5) / rows;
    const std::string color = fmt::format("k{}", claim.anchor % kOverlayColors);
    const std::string title =
        fmt::format("truth {}: cell {},{}, anchor {}", claim.truth, claim.column, claim.row, claim.anchor);
    overlay.box(claim.column / columns, claim.row / rows, (claim.column + 1) / columns, (claim.row + 1) / rows,
                "cell " + color, title);
    overlay.box(x - shape.w / 2, y - shape.h / 2, x + shape.w / 2, y + shape.h / 2, "dashed " + color, title);
  }
  for (std::size_t t = 0; t < taken.size(); ++t)
    overlay.box(head.photo.truths[t], taken[t] ? "truth" : "other", fmt::format("truth {}", t));
  return overlay.figure("cells and anchors that claim truths",
                        fmt::format("{} claims of this head. White: its truths, pale: those of others. Filled: the "
                                    "cell; dashed: its anchor, in the anchor's colour.",
                                    claims));
}

std::string heat_figure(const HeadView& head, int anchor, double most) {
  const std::vector<float> values = head.cells().objectness(anchor);
  Overlay overlay(head.photo);
  overlay.dim();
  overlay.heat(values, head.cells().columns, head.cells().rows, most);
  const float largest = *std::max_element(values.begin(), values.end());
  const std::string what = anchor < 0 ? "the largest of all anchors"
                                      : fmt::format(
                                            "<span class=\"key k{0}\" style=\"background:var(--k);margin-left:0\">"
                                            "</span>anchor {1} ({2})",
                                            anchor % kOverlayColors, anchor, head.anchor_size(anchor));
  return overlay.figure("objectness", fmt::format("Objectness, {}: at most {:.3g}", what, largest));
}

std::string head_section(const HeadView& head) {
  const HeadCells& cells = head.cells();
  const double most = cells.largest();
  std::string html =
      fmt::format("<h3>Layer {}: {}x{} cells of {:.0f}x{:.0f} pixels, {} anchors</h3><div class=\"row three\">",
                  cells.node, cells.columns, cells.rows, static_cast<double>(head.all.facts.width) / cells.columns,
                  static_cast<double>(head.all.facts.height) / cells.rows, cells.anchors);
  html += heat_figure(head, -1, most) + anchors_figure(head);
  if (!head.photo.truths.empty()) html += claims_figure(head);
  html += fmt::format(
      "</div><p class=\"note\">Objectness: 0<span class=\"scale heat\"></span>{:.3g}, the "
      "same for all anchors of this head.</p>",
      most);
  if (cells.anchors < 2) return html;
  html += "<div class=\"row\">";
  for (int a = 0; a < cells.anchors; ++a) html += heat_figure(head, a, most);
  return html + "</div>";
}

std::string claim_row(const Inspection& all, const Claim& claim) {
  const PhotoInside& photo = *all.photo;
  const Truth& truth = photo.truths[static_cast<std::size_t>(claim.truth)];
  const HeadView head{all, photo, static_cast<std::size_t>(claim.head)};
  const auto name = [&](int cls) { return escape_html(all.names.at(static_cast<std::size_t>(cls))); };
  return fmt::format(
      "<tr><th scope=\"row\" class=\"number\">{}</th><td>{}</td><td class=\"number\">{:.0f}x{:.0f}</td><td "
      "class=\"number\">{}</td><td class=\"number\">{},{}</td><td><span class=\"key k{}\" "
      "style=\"background:var(--k);margin-left:0\"></span>{} ({})</td><td class=\"share\" "
      "style=\"--share:{:.0f}%\">{:.2f}</td><td class=\"share\" style=\"--share:{:.0f}%\">{:.3f}</td><td "
      "class=\"share\" style=\"--share:{:.0f}%\">{:.2f}</td><td>{}</td></tr>",
      claim.truth, name(truth.cls), truth.w * all.facts.width, truth.h * all.facts.height, head.cells().node,
      claim.column, claim.row, claim.anchor % kOverlayColors, claim.anchor, head.anchor_size(claim.anchor),
      100 * claim.shape_overlap, claim.shape_overlap, 100 * claim.objectness, claim.objectness, 100 * claim.overlap,
      claim.overlap, claim.objectness > 0 ? name(claim.cls) : "&#8211;");
}

std::string truth_words(const PhotoInside& photo) {
  switch (photo.truth_source) {
    case TruthSource::labels:
      return fmt::format("The {} truths are those of {}.", photo.truths.size(), escape_html(photo.labels));
    case TruthSource::detections:
      return "This photo came without labels: what the network itself is confident of stands in for the truths, so "
             "this shows how it would be trained if it were right.";
    case TruthSource::none:
      break;
  }
  return "This photo came without labels (--data, or a .txt in YOLO's form beside it) and nothing was found on it: "
         "there is nothing that an anchor could claim, and no gradient is taken.";
}

}  // namespace

std::string heads_section(const Inspection& all) {
  std::string html =
      "<section><h2>What the heads say</h2><p class=\"note\">How sure each cell is that the middle of an object lies "
      "in it, as detection decodes it.</p>";
  html += fmt::format("<p class=\"{}\">{}</p>", all.photo->truth_source == TruthSource::labels ? "note" : "warn",
                      truth_words(*all.photo));
  for (std::size_t h = 0; h < all.photo->heads.size(); ++h) html += head_section({all, *all.photo, h});
  return html + "</section>";
}

std::string claims_section(const Inspection& all) {
  const PhotoInside& photo = *all.photo;
  if (photo.truths.empty()) return "";
  std::vector<Claim> claims = photo.claims;
  std::stable_sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) { return a.truth < b.truth; });
  std::string rows;
  std::vector<bool> taken(photo.truths.size(), false);
  for (const Claim& claim : claims) {
    rows += claim_row(all, claim);
    taken[static_cast<std::size_t>(claim.truth)] = true;
  }
  const auto lost = std::count(taken.begin(), taken.end(), false);
  return fmt::format(
             "<section><h2>Which anchor claims which truth</h2><p class=\"note\">As the loss assigns them (recipe {}): "
             "the anchor of the best shape, and others that fit well, in the cell where the middle lies. {} claims on "
             "{} truths{}. Shape: overlap of anchor and truth with one centre. On the right what the network says "
             "there now.</p><div class=\"scroll\"><table class=\"layers\"><thead><tr><th class=\"number\">truth</th>"
             "<th>class</th><th class=\"number\">pixels</th><th class=\"number\">head</th><th class=\"number\">cell"
             "</th><th>anchor</th><th class=\"number\">shape</th><th class=\"number\">objectness</th><th "
             "class=\"number\">overlap</th><th>says</th></tr></thead><tbody>",
             escape_html(photo.rule), claims.size(), photo.truths.size(),
             lost ? fmt::format("; {} truths are claimed by none", lost) : "") +
         rows + "</tbody></table></div></section>";
}

}  // namespace rook
