// Gradients of the taps of depthwise convolutions, where neighbours in memory are along a line:
// lanes are positions of a line, and every line of the image meets those of the results' gradient
// that its taps lead to.
//
// operands: sums [parts, channels, taps] of the kernel's type; results' gradient, image
// [n, channels, d, h, w] of any strides. ints: a window (depthwise_window.h), then rows and columns
// of a block of the gradient, the latter a multiple of kPlaneRoom, and channels of an item. Items
// are (part of the images, channels): images are summed in order, channels of each pass as they
// lie.
#include "depthwise_lines.h"

namespace trn {
namespace {

constexpr int kTaps = 3;  // along h and w at once: nine sums, each with a register of its own

template <class A>
struct PlaneTaps {
  using L = Lanes<A>;
  using V = typename L::V;

  const Operand &grad, &image;
  const Window window;
  const PlaneBlocks blocks;
  const PlaneLine line;
  PlaneLines<A> lines;
  LineCopies<A> grads;
  A *none, *totals;  // a line of zeros; [channels][taps][lanes]
  A* total;          // of the block's channel
  PlaneBlock block, next;

  PlaneTaps(const Call& call, char* scratch)
      : grad(call.operand[1]),
        image(call.operand[2]),
        window(call.ints),
        blocks(grad, call.ints + kWindowInts),
        line(window, blocks.columns),
        lines(image, window, line, blocks.rows, reinterpret_cast<A*>(scratch)),
        grads(grad, 1, blocks.columns, blocks.rows + 1, lines.end()),
        none(grads.at(blocks.rows)),
        totals(none + blocks.columns) {}

  void copy_grads() {
    grads.start(block.x);
    for (int64_t y = block.y; y < block.y_end; ++y)
      grads.copy(grads.at(y - block.y), element_of(grad, block, y));
  }
  // The line of the block that meets line y of the image by tap ky, if there is one.
  TRN_INLINE const A* grad_line(int64_t y, int64_t ky) const {
    int64_t at = y + window.padding[1] - ky * window.dilation[1];
    if (window.stride[1] > 1) {
      if (at % window.stride[1]) return none;
      at /= window.stride[1];
    }
    return at < block.y || at >= block.y_end ? none : grads.at(at - block.y);
  }

  TRN_INLINE void fetch_next(int64_t i) const {
    lines.fetch_next(next, i);
    fetch_line<false>(grad, element_of(grad, next, next.y + i), next.x, next.x_end);
  }

  // What the block adds to taps [ky, ky + high) x [kx, kx + wide) at depth kz.
  template <int high, int wide>
  void add_taps(int64_t kz, int64_t ky, int64_t kx) {
    const int64_t columns = block.x_end - block.x;
    int64_t shift[wide];
    for (int k = 0; k < wide; ++k) shift[k] = line.meets(window, 0, kx + k);
    V sum[high][wide] = {};
    const int64_t first = first_plane_line(window, block.y);
    const int64_t end = first + plane_lines(window, block.y_end - block.y);
    for (int64_t y = first > 0 ? first : 0; y < end && y < image.sizes[3]; ++y) {
      const A *from = lines.at(kz, y), *by[high];
      if (kz + ky + kx == 0) fetch_next(y - first);
      bool any = false;
      for (int k = 0; k < high; ++k) by[k] = grad_line(y, ky + k), any = any || by[k] != none;
      for (int64_t q = 0; any && q < columns; q += L::kEach) {
        V g[high];
#pragma GCC unroll 3
        for (int k = 0; k < high; ++k) g[k] = L::once(by[k] + q);
#pragma GCC unroll 3
        for (int w = 0; w < wide; ++w) {
          const V x = L::once(from + shift[w] + q);
#pragma GCC unroll 3
          for (int k = 0; k < high; ++k) sum[k][w] += g[k] * x;
        }
      }
    }
    for (int k = 0; k < high; ++k)
      for (int w = 0; w < wide; ++w) {
        const int64_t tap = (kz * window.kernel[1] + ky + k) * window.kernel[2] + kx + w;
        A* to = total + tap * L::kEach;
        L::put(to, L::at(to) + sum[k][w]);
      }
  }
  template <int high>
  void add_taps(int64_t kz, int64_t ky) {
    const int64_t all = window.kernel[2];
    for (int64_t kx = 0; kx < all; kx += kTaps) {
      if (all - kx >= 3) add_taps<high, 3>(kz, ky, kx);
      else if (all - kx == 2) add_taps<high, 2>(kz, ky, kx);
      else add_taps<high, 1>(kz, ky, kx);
    }
  }
  void add_block() {
    lines.copy(block);
    copy_grads();
    const int64_t all = window.kernel[1];
    for (int64_t kz = 0; kz < window.kernel[0]; ++kz) {
      if (window.other(0, block.z, kz, image.sizes[2]) < 0) continue;
      for (int64_t ky = 0; ky < all; ky += kTaps) {
        if (all - ky >= 3) add_taps<3>(kz, ky);
        else if (all - ky == 2) add_taps<2>(kz, ky);
        else add_taps<1>(kz, ky);
      }
    }
  }

  // The block after the i-th of `count` channels of images from n on.
  PlaneBlock block_at(int64_t n, int64_t c, int64_t count, int64_t i) const {
    const int64_t plane = i / blocks.each();
    return blocks.at(n + plane / count, c + plane % count, i % blocks.each());
  }
  // Channels [c, c_end) of images [n, n_end).
  void run(A* sums, int64_t c, int64_t c_end, int64_t n, int64_t n_end) {
    const int64_t taps = window.taps(), count = c_end - c;
    const int64_t all = (n_end - n) * count * blocks.each();
    for (int64_t i = 0; i < count * taps * L::kEach; ++i) totals[i] = 0;
    for (int64_t i = 0; i < all; ++i) {
      block = block_at(n, c, count, i), next = block_at(n, c, count, i + 1);
      total = totals + (block.c - c) * taps * L::kEach;
      add_block();
    }
    for (int64_t t = 0; t < count * taps; ++t) {
      sums[t] = join_lanes<L::kEach>(totals + t * L::kEach, [](A a, A b) { return a + b; });
    }
  }
};

template <class A>
void depthwise_planes_weight(const Call& call, const Range& range) {
  const Operand& sums = call.operand[0];
  const int64_t parts = sums.sizes[0], channels = sums.sizes[1], taps = sums.sizes[2];
  const int64_t images = call.operand[1].sizes[0], each = call.ints[kWindowInts + 2];
  const int64_t items = (channels + each - 1) / each;
  PlaneTaps<A> plane(call, range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t part = item / items, c = item % items * each;
    plane.run(sums.as<A>() + (part * channels + c) * taps, c,
              c + each < channels ? c + each : channels, images * part / parts,
              images * (part + 1) / parts);
  }
}

TRN_REGISTER_REALS(depthwise_planes_weight);

}  // namespace
}  // namespace trn
