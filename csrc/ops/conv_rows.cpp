// Images as convolutions read them: channels last, with zeros around.
#include "ops/conv_rows.h"

#include <ATen/ops/empty.h>

namespace trn::ops {
namespace {

const Family conv_rows_family("conv_rows");

// Of an item: 1 KiB of each channel whose positions are dense.
constexpr int64_t kPositions = 256;

// The image's own memory where it is such rows, else undefined.
at::Tensor in_place(const at::Tensor& image, const RowsShape& s, at::ScalarType type) {
  if (image.scalar_type() != type || (image.stride(1) != 1 && image.size(1) != 1)) return {};
  at::Tensor rows = image.permute({0, 2, 3, 4, 1});
  for (int d = 0; d < 3; ++d) {
    if (s.before[d] > 0 || s.size[d] - s.before[d] > image.size(2 + d)) return {};
    rows = rows.narrow(1 + d, -s.before[d], s.size[d]);
  }
  return rows;
}

}  // namespace

at::Tensor conv_rows(const at::Tensor& image, const RowsShape& s, at::ScalarType type) {
  const at::Tensor own = in_place(image, s, type);
  if (own.defined()) return own;
  const at::Tensor rows = at::empty({image.size(0), s.size[0], s.size[1], s.size[2], image.size(1)},
                                    image.options().dtype(type).memory_format(std::nullopt));
  const int64_t lines = std::clamp<int64_t>(kPositions / s.size[2], 1, s.size[1]);
  Launch(conv_rows_family, dtype_of(rows))
      .out(rows)
      .in(image)
      .ints(at::IntArrayRef(s.before))
      .ints({lines})
      .run(rows.size(0) * s.size[0] * ((s.size[1] + lines - 1) / lines),
           grain_for(lines * s.size[2] * image.size(1)));
  return rows;
}

}  // namespace trn::ops
