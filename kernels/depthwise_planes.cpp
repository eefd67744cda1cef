// Convolutions of each channel with its own taps, where neighbours in memory are along a line:
// lanes are positions of a line.
//
// operands: out, image [n, channels, d, h, w] of any strides; weight [channels, taps] and bias
// [channels] or absent, of the kernel's type, dense. ints: a window (depthwise_window.h), then rows
// and columns of a block. Items are blocks of all planes.
#include "depthwise_lines.h"

namespace trn {
namespace {

constexpr int kTogether = 4;  // lines of results

template <class A>
struct Planes {
  using L = Lanes<A>;
  using V = typename L::V;

  const Operand &out, &image;
  const A *weight, *bias;
  const Window window;
  const PlaneBlocks blocks;
  const PlaneLine line;
  PlaneLines<A> lines;
  A* results;
  int64_t pitch;  // of results
  PlaneBlock block, next;

  Planes(const Call& call, char* scratch)
      : out(call.operand[0]),
        image(call.operand[1]),
        weight(call.operand[2].as<A>()),
        bias(call.operand[3].absent() ? nullptr : call.operand[3].as<A>()),
        window(call.ints),
        blocks(out, call.ints + kWindowInts),
        line(window, blocks.columns),
        lines(image, window, line, blocks.rows, reinterpret_cast<A*>(scratch)),
        results(lines.end()),
        pitch(blocks.columns + kPlaneRoom) {}

  // A run of results of one phase, from line y on.
  struct Run {
    int64_t y, phase, count;
    bool direct;  // to where the output has them
  };

  // Where results of line y go, as many as whole vectors of them unless direct.
  A* target(const Run& run, int64_t y) const {
    if (!run.direct) return results + (y - run.y) * pitch;
    return out.as<A>() + place_of(y);
  }
  int64_t place_of(int64_t y) const { return element_of(out, block, y) + block.x * out.strides[4]; }
  // What does not lie where the output has it goes there.
  void finish(const Run& run, int64_t count) const {
    if (run.direct) return;
    const int64_t size = dtype_size(out.dtype), step = line.phases * out.strides[4];
    for (int64_t y = run.y; y < run.y + count; ++y) {
      char* to = out.as<char>() + (place_of(y) + run.phase * out.strides[4]) * size;
      const A* from = results + (y - run.y) * pitch;
      if (out.dtype == DTypeOf<A>::value && step == 1)
        copy_dense(reinterpret_cast<A*>(to), from, run.count);
      else
        TRN_ISA_NAMESPACE::convert_run(to, out.dtype, step, from, DTypeOf<A>::value, 1, run.count);
    }
  }
  // Calls f.operator()<vectors>(q) for vectors that cover results [q, count): whole ones, the last
  // of which have some results once more, or, where memory is ours, end behind them.
  template <int vectors, class F>
  TRN_INLINE static void by_vectors(const Run& run, int64_t q, F f) {
    constexpr int64_t kAll = vectors * L::kEach;
    for (; q + kAll <= run.count; q += kAll) f.template operator()<vectors>(q);
    if (q >= run.count) return;
    if (vectors > 1 && (!run.direct || run.count < kAll)) by_vectors<(vectors + 1) / 2>(run, q, f);
    else f.template operator()<vectors>(run.direct ? run.count - kAll : q);
  }

  // What the taps of a column have in common, for lines that share those of the image they meet.
  template <int high>
  struct Column {
    int64_t at;  // of result 0 in a line
    A weight[high];
  };
  // kTogether lines of results, `stride` lines of the image apart.
  template <int high, int stride, int vectors>
  TRN_INLINE static void sum_together(A* const* to, const A* const* from,
                                      const Column<high>* column, int64_t columns, A start,
                                      int64_t q) {
    V sum[kTogether][vectors];
    for (int r = 0; r < kTogether; ++r)
      for (int v = 0; v < vectors; ++v) sum[r][v] = L::all(start);
    for (int64_t k = 0; k < columns; ++k) {
      V w[high];
#pragma GCC unroll 8
      for (int ky = 0; ky < high; ++ky) w[ky] = L::all(column[k].weight[ky]);
#pragma GCC unroll 16
      for (int i = 0; i < (kTogether - 1) * stride + high; ++i)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) {
          const V x = L::once(from[i] + column[k].at + q + v * L::kEach);
#pragma GCC unroll 8
          for (int ky = 0; ky < high; ++ky) {
            const int r = (i - ky) / stride;
            if (i >= ky && r * stride == i - ky && r < kTogether) sum[r][v] += x * w[ky];
          }
        }
    }
    for (int r = 0; r < kTogether; ++r)
      for (int v = 0; v < vectors; ++v) L::put(to[r] + q + v * L::kEach, sum[r][v]);
  }
  template <int high, int stride>
  void together(Run run) const {
    constexpr int kMet = (kTogether - 1) * stride + high;
    Column<high> column[kMostTaps / high];
    int64_t columns = 0;
    const A* w = weight + block.c * window.taps();
    for (int64_t kx = 0; kx < window.kernel[2]; ++kx) {
      const int64_t at = line.meets(window, run.phase, kx);
      if (at < 0) continue;
      for (int ky = 0; ky < high; ++ky)
        column[columns].weight[ky] =
            w[(window.transposed ? high - 1 - ky : ky) * window.kernel[2] + kx];
      column[columns++].at = at;
    }
    const A start = bias ? bias[block.c] : A(0);
    for (int64_t y = block.y; y < block.y_end; y += kTogether) {
      if (y > block.y_end - kTogether) y = block.y_end - kTogether;  // some lines once more
      run.y = y;
      const int64_t first = first_plane_line(window, y);
      A* to[kTogether];
      const A* from[kMet];
      for (int r = 0; r < kTogether; ++r) to[r] = target(run, y + r);
      for (int i = 0; i < kMet; ++i) from[i] = lines.at(0, first + i);
      for (int i = 0; i < kTogether * stride; ++i)
        lines.fetch_next(next, (y - block.y) * stride + i);
      for (int r = 0; r < kTogether; ++r)
        fetch_line<true>(out, element_of(out, next, next.y + y - block.y + r), next.x, next.x_end);
      by_vectors<2>(run, 0, [&]<int vectors>(int64_t q) {
        sum_together<high, stride, vectors>(to, from, column, columns, start, q);
      });
      finish(run, kTogether);
    }
  }

  // One line of results.
  void alone(const Run& run) const {
    const A *w = weight + block.c * window.taps(), *from[kMostTaps];
    A factor[kMostTaps];
    int64_t taps = 0;
    for (int64_t kx = 0; kx < window.kernel[2]; ++kx) {
      const int64_t at = line.meets(window, run.phase, kx);
      for (int64_t k = 0; at >= 0 && k < window.kernel[0] * window.kernel[1]; ++k) {
        const int64_t kz = k / window.kernel[1], ky = k % window.kernel[1];
        const int64_t z = window.other(0, block.z, kz, image.sizes[2]);
        const int64_t y = window.other(1, run.y, ky, image.sizes[3]);
        if (z < 0 || y < 0) continue;
        factor[taps] = w[k * window.kernel[2] + kx];
        from[taps++] = lines.at(kz, y) + at;
      }
    }
    A* to = target(run, run.y);
    const A start = bias ? bias[block.c] : A(0);
    by_vectors<4>(run, 0, [&]<int vectors>(int64_t q) {
      V sum[vectors];
      for (int v = 0; v < vectors; ++v) sum[v] = L::all(start);
      for (int64_t t = 0; t < taps; ++t)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[v] += L::at(from[t] + q + v * L::kEach) * factor[t];
      for (int v = 0; v < vectors; ++v) L::put(to + q + v * L::kEach, sum[v]);
    });
    finish(run, 1);
  }

  template <int high>
  bool try_together(const Run& run) const {
    if (window.kernel[1] != high) return false;
    if (window.stride[1] == 1) together<high, 1>(run);
    else together<high, 2>(run);
    return true;
  }
  void run_phase(Run run) const {
    const bool near = window.kernel[0] == 1 && window.dilation[1] == 1 &&
                      window.stride[1] <= (window.transposed ? 1 : 2) &&
                      block.y_end - block.y >= kTogether;
    if (near && (try_together<3>(run) || try_together<5>(run) || try_together<7>(run))) return;
    for (run.y = block.y; run.y < block.y_end; ++run.y) alone(run);
  }

  PlaneBlock block_of(int64_t item) const {
    const int64_t plane = item / blocks.each();
    return blocks.at(plane / out.sizes[1], plane % out.sizes[1], item % blocks.each());
  }
  void run(int64_t item) {
    block = block_of(item), next = block_of(item + 1);
    lines.copy(block);
    for (int64_t phase = 0; phase < line.phases; ++phase) {
      const int64_t left = block.x_end - block.x - phase;
      const int64_t count = (left + line.phases - 1) / line.phases;
      const bool direct = out.dtype == DTypeOf<A>::value && out.strides[4] == 1 &&
                          line.phases == 1 && count >= L::kEach;
      if (left > 0) run_phase({block.y, phase, count, direct});
    }
  }
};

template <class A>
void depthwise_planes(const Call& call, const Range& range) {
  Planes<A> planes(call, range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) planes.run(item);
}

TRN_REGISTER_REALS(depthwise_planes);

}  // namespace
}  // namespace trn
