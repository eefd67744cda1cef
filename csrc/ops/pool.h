// What max and average pooling share: windows, and which of a tensor's dimensions is dense.
#pragma once

#include "ops/elementwise.h"
#include "ops/five.h"
#include "pool_windows.h"

namespace trn::ops {

// The ints of kernels/pool_windows.h.
struct Windows {
  std::array<int64_t, 16> ints{};

  // Windows of one size where the sizes divide: those the kernels know in advance.
  static Windows adaptive(const at::Tensor& in, at::IntArrayRef out, int spatial) {
    const at::IntArrayRef sizes = in.sizes().slice(in.dim() - spatial);
    std::vector<int64_t> kernel;
    for (int d = 0; d < spatial; ++d)
      if (out[d] > 0 && sizes[d] > 0 && sizes[d] % out[d] == 0) kernel.push_back(sizes[d] / out[d]);
    if (static_cast<int>(kernel.size()) == spatial) return of(kernel, kernel, 0, 1, spatial);
    Windows w;
    w.ints[12] = 1;
    return w;
  }
  static Windows of(at::IntArrayRef kernel, at::IntArrayRef stride, at::IntArrayRef padding,
                    at::IntArrayRef dilation, int spatial) {
    Windows w;
    for (int d = 0; d < 3; ++d) {
      const int k = d - (3 - spatial);
      const auto pick = [&](at::IntArrayRef a, int64_t otherwise) {
        return k < 0 ? otherwise : a.size() == 1 ? a[0] : a[k];
      };
      w.ints[d] = pick(kernel, 1);
      w.ints[3 + d] = stride.empty() ? pick(kernel, 1) : pick(stride, 1);
      w.ints[6 + d] = pick(padding, 0);
      w.ints[9 + d] = pick(dilation, 1);
    }
    return w;
  }
  int64_t volume(const at::Tensor& in, const at::Tensor& out) const {
    if (ints[12]) return std::max<int64_t>(1, in.numel() / std::max<int64_t>(1, out.numel()));
    return ints[0] * ints[1] * ints[2];
  }
  // Sets the columns of a strip for which kernels/pool_strips.h has room; false if there are
  // none.
  bool cut(const at::Tensor& in, const at::Tensor& out, bool backward) {
    constexpr int64_t kColumns = 4096;
    const int64_t across = in.size(4), made = out.size(4);
    const int64_t step = ints[12] ? across / made + 1 : ints[5];
    const int64_t reach = ints[12] ? step + 1 : (ints[2] - 1) * ints[11] + 1;
    if (step > 1024 || reach > kLine / 2 || (ints[12] && made / across > 4)) return false;
    ints[15] = backward ? kColumns : std::min(kColumns, (kLine - reach) / step + 1);
    return true;
  }
};

inline int64_t planes(const at::Tensor& t) { return t.size(0) * t.size(1); }
inline int64_t positions(const at::Tensor& t) { return t.size(2) * t.size(3) * t.size(4); }
inline int64_t strips(const at::Tensor& t, const Windows& w) {
  return planes(t) * t.size(2) * t.size(3) * ((t.size(4) + w.ints[15] - 1) / w.ints[15]);
}

// What is dense in the tensors of a launch, and so what registers are filled with.
enum class Dense { columns, channels, neither };

inline Dense dense_in(const at::Tensor& t, const at::Tensor& other) {
  const auto both = [&](int64_t d) {
    return (t.size(d) == 1 || t.stride(d) == 1) && (other.size(d) == 1 || other.stride(d) == 1);
  };
  return both(4) ? Dense::columns : both(1) ? Dense::channels : Dense::neither;
}
// The same for a tensor that is written, to whose layout `read` may be brought.
inline Dense dense_in(const at::Tensor& written, at::Tensor& read, const at::Tensor& image) {
  if (positions(image) >= std::numeric_limits<int32_t>::max()) return Dense::neither;
  const Dense dense = dense_in(written, read);
  if (dense != Dense::neither) return dense;
  const Dense of_written = dense_in(written, written);
  if (of_written == Dense::columns) read = read.contiguous();
  if (of_written == Dense::channels) read = read.contiguous(at::MemoryFormat::ChannelsLast3d);
  return of_written == Dense::neither ? of_written : dense_in(written, read);
}

}  // namespace trn::ops
