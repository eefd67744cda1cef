// Pooling of planes with dense rows: registers of columns, after a row's numbers that lie a stride
// apart have been brought together.
//
// Operands and ints are those of pool.cpp; planes are smaller than 2^31. What is written is cut
// into strips, ints[15] columns of a row, and items are strips, so that one long row is shared
// among threads and what a strip meets fits in scratch. Gradients of averages are gathered from
// the windows that hold a number; those of maxima are scattered, a plane at a time.
#include "math.h"
#include "pool_vectors.h"
#include "pool_windows.h"
#include "rows.h"

namespace trn {
namespace {

// Most numbers of a row that a strip meets: csrc/ops/pool.cpp sees to it. Lines in scratch have
// room for a register more at either end of each phase.
constexpr int64_t kLine = 1 << 15;
constexpr int64_t kRoom = 4 * kVectorBytes;

// Columns [x, x_end) of row (d, h) of a plane.
struct Strip {
  int64_t plane, d, h, x, x_end;
  Strip(const Call& call, const Operand& o, int64_t item) {
    const int64_t columns = call.ints[15], across = (o.sizes[4] + columns - 1) / columns;
    x = item % across * columns, item /= across;
    h = item % o.sizes[3], item /= o.sizes[3];
    d = item % o.sizes[2], plane = item / o.sizes[2];
    x_end = x + columns < o.sizes[4] ? x + columns : o.sizes[4];
  }
  int64_t columns() const { return x_end - x; }
  int64_t offset(const Operand& o) const {
    return trn::plane(o, plane) + d * o.strides[2] + h * o.strides[3] + x;
  }
};

// Lines of scratch, one after the other.
class Lines {
 public:
  explicit Lines(char* scratch) : next_(scratch) {}
  template <class T>
  T* line(int64_t numbers) {
    T* line = reinterpret_cast<T*>(next_);
    next_ += (numbers * static_cast<int64_t>(sizeof(T)) + kRoom + 63) / 64 * 64;
    return line;
  }

 private:
  char* next_;
};

// Brings together what lies two apart: from[2 j + r] comes to lie at to[r * pitch + j].
template <class A>
TRN_INLINE void part(const A* from, int64_t n, int64_t step, int64_t pitch, A* to) {
  if (step == 2) {
    int64_t j = 0;
    for (; 2 * j + 1 < n; ++j) to[j] = from[2 * j], to[pitch + j] = from[2 * j + 1];
    if (2 * j < n) to[j] = from[2 * j];
    return;
  }
  for (int64_t r = 0; r < step; ++r)
    for (int64_t j = 0; step * j + r < n; ++j) to[r * pitch + j] = from[step * j + r];
}

// What all strips of a call know of the last dimension.
struct Columns {
  int64_t kernel, step, padding, dilation, pitch;
  bool adaptive;
  Columns(const Call& call)
      : kernel(call.ints[2]),
        step(call.ints[5]),
        padding(call.ints[8]),
        dilation(call.ints[11]),
        pitch(kLine / (step ? step : 1) / 16 * 16 + 16),
        adaptive(call.ints[12]) {}
  // The input's numbers that windows [x, x_end) meet, with those outside of it.
  Cover reach(const Call& call, int64_t x, int64_t x_end, int64_t out, int64_t in) const {
    if (adaptive) {
      return {window_of(call, 2, x, out, in).begin, window_of(call, 2, x_end - 1, out, in).end};
    }
    return {x * step - padding, (x_end - 1) * step - padding + (kernel - 1) * dilation + 1};
  }
  int64_t tap(int64_t k) const { return k * dilation % step * pitch + k * dilation / step; }
};
TRN_INLINE Cover inside(Cover c, int64_t n) {
  return {c.begin > 0 ? c.begin : 0, c.end < n ? c.end : n};
}

template <class A>
class MaxStrips {
  using N = Numbers<A>;
  using Place = typename N::Place;

 public:
  MaxStrips(const Call& call, char* scratch) : call_(call), columns_(call) {
    Lines lines(scratch);
    line_ = lines.line<A>(kLine);
    phases_ = lines.line<A>(2 * kLine);
    best_ = lines.line<A>(kLine), at_ = lines.line<Place>(kLine);
    first_ = lines.line<Place>(kLine), taps_ = lines.line<int32_t>(kLine);
    if (!columns_.adaptive)
      for (int64_t k = 0; k < columns_.kernel; ++k)
        taps_[k] = static_cast<int32_t>(columns_.tap(k));
  }

  void run(const Strip& strip) {
    const Operand &out = call_.operand[0], &indices = call_.operand[1], &in = call_.operand[2];
    const Window d = window_of(call_, 0, strip.d, out.sizes[2], in.sizes[2]),
                 h = window_of(call_, 1, strip.h, out.sizes[3], in.sizes[3]);
    const int64_t n = strip.columns(), from = plane(in, strip.plane);
    const Place first = static_cast<Place>((d.begin * in.sizes[3] + h.begin) * in.sizes[4]);
    if (strip.x != started_) {
      for (int64_t i = 0; i < n; ++i)
        first_[i] =
            static_cast<Place>(window_of(call_, 2, strip.x + i, out.sizes[4], in.sizes[4]).begin);
      started_ = strip.x;
    }
    for (int64_t i = 0; i < n; ++i) best_[i] = -infinity<A>(), at_[i] = first_[i] + first;
    for (int64_t z = d.begin; z < d.end; z += d.step)
      for (int64_t y = h.begin; y < h.end; y += h.step) {
        const int64_t place = (z * in.sizes[3] + y) * in.sizes[4];
        const int64_t row = from + z * in.strides[2] + y * in.strides[3];
        if (columns_.adaptive) meet_any(strip, row, place);
        else meet(strip, row, place);
      }
    store(out, strip.offset(out), n, best_);
    int64_t* to = indices.as<int64_t>() + strip.offset(indices);
    for (int64_t i = 0; i < n; ++i) to[i] = at_[i];
  }

 private:
  // The numbers of a row that the windows meet, -infinity outside, parted by their phase.
  TRN_INLINE const A* phases(const Strip& strip, int64_t row) {
    const Operand &out = call_.operand[0], &in = call_.operand[2];
    const Cover all = columns_.reach(call_, strip.x, strip.x_end, out.sizes[4], in.sizes[4]);
    const Cover some = inside(all, in.sizes[4]);
    const A* line = line_;
    if (in.dtype == DTypeOf<A>::value && all.begin == some.begin && all.end == some.end &&
        columns_.step > 1) {
      line = in.as<A>() + row + all.begin;
    } else {
      for (int64_t i = all.begin; i < some.begin; ++i) line_[i - all.begin] = -infinity<A>();
      TRN_ISA_NAMESPACE::convert_run(line_ + some.begin - all.begin, DTypeOf<A>::value, 1,
                                     in.as<char>() + (row + some.begin) * dtype_size(in.dtype),
                                     in.dtype, 1, some.end - some.begin);
      for (int64_t i = some.end; i < all.end; ++i) line_[i - all.begin] = -infinity<A>();
    }
    if (columns_.step == 1) return line;
    part(line, all.end - all.begin, columns_.step, columns_.pitch, phases_);
    return phases_;
  }
  TRN_INLINE void meet(const Strip& strip, int64_t row, int64_t place) {
    const A* from = phases(strip, row);
    typename N::P lanes;
    for (int i = 0; i < N::kEach; ++i) lanes[i] = static_cast<Place>(i * columns_.step);
    place += strip.x * columns_.step - columns_.padding;
    for (int64_t i = 0; i < strip.columns(); i += N::kEach) {
      typename N::V best = N::load(best_ + i);
      typename N::P at = *reinterpret_cast<typename N::P*>(at_ + i);
      typename N::P here = lanes + N::all_places(place + i * columns_.step);
      for (int64_t k = 0; k < columns_.kernel; ++k) {
        N::keep_larger(best, at, N::load(from + taps_[k] + i), here);
        here += N::all_places(columns_.dilation);
      }
      N::store(best_ + i, best);
      *reinterpret_cast<typename N::P*>(at_ + i) = at;
    }
  }
  // The same for windows of different sizes.
  void meet_any(const Strip& strip, int64_t row, int64_t place) {
    const Operand &out = call_.operand[0], &in = call_.operand[2];
    const Cover all = columns_.reach(call_, strip.x, strip.x_end, out.sizes[4], in.sizes[4]);
    const A* line = load(in, row + all.begin, all.end - all.begin, line_);
    for (int64_t i = 0; i < strip.columns(); ++i) {
      const Window w = window_of(call_, 2, strip.x + i, out.sizes[4], in.sizes[4]);
      for (int64_t x = w.begin; x < w.end; ++x) {
        const A v = line[x - all.begin];
        if (v > best_[i] || v != v) best_[i] = v, at_[i] = static_cast<Place>(place + x);
      }
    }
  }

  const Call& call_;
  const Columns columns_;
  A *line_, *phases_, *best_;
  Place *at_, *first_;
  int32_t* taps_;
  int64_t started_ = -1;
};

// operands: out, indices (i64), in. Items are strips of out.
template <class A>
void max_pool_planes(const Call& call, const Range& range) {
  MaxStrips<A> strips(call, range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item)
    strips.run(Strip(call, call.operand[0], item));
}

// operands: grad_input, grad, indices; planes of grad_input dense and small enough for scratch.
// Items are planes.
template <class A>
void max_pool_planes_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &indices = call.operand[2];
  const int64_t size = out.sizes[2] * out.sizes[3] * out.sizes[4];
  const int64_t n = grad.sizes[2] * grad.sizes[3] * grad.sizes[4];
  A numbers[kBlock];
  for (int64_t item = range.begin; item < range.end; ++item) {
    A* to = place(out, plane(out, item), reinterpret_cast<A*>(range.scratch));
    __builtin_memset(to, 0, size * sizeof(A));
    const int64_t from = plane(grad, item);
    const int64_t* at = indices.as<int64_t>() + plane(indices, item);
    by_blocks(n, [&](int64_t i, int64_t count) {
      const A* g = load(grad, from + i, count, numbers);
      for (int64_t j = 0; j < count; ++j) to[at[i + j]] += g[j];
    });
    store(out, plane(out, item), size, to);
  }
}

// What averages divide by along the last dimension, for windows [x, x + n).
template <class A>
TRN_INLINE void column_counts(const Call& call, int64_t x, int64_t n, int64_t out, int64_t in,
                              A* counts) {
  for (int64_t i = 0; i < n; ++i)
    counts[i] = static_cast<A>(counted(call, window_of(call, 2, x + i, out, in)));
}

// operands: out, in. Items are strips of out: rows of a window are added first, then columns.
template <class A>
void avg_pool_planes(const Call& call, const Range& range) {
  using N = Numbers<A>;
  const Operand &out = call.operand[0], &in = call.operand[1];
  const Columns columns(call);
  Lines lines(range.scratch);
  A *row = lines.line<A>(kLine), *sum = lines.line<A>(kLine), *phases = lines.line<A>(2 * kLine),
    *result = lines.line<A>(kLine), *counts = lines.line<A>(kLine);
  int64_t counted_from = -1;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Strip strip(call, out, item);
    const int64_t n = strip.columns();
    if (strip.x != counted_from)
      column_counts(call, strip.x, n, out.sizes[4], in.sizes[4], counts), counted_from = strip.x;
    const Window d = window_of(call, 0, strip.d, out.sizes[2], in.sizes[2]),
                 h = window_of(call, 1, strip.h, out.sizes[3], in.sizes[3]);
    const Cover all = columns.reach(call, strip.x, strip.x_end, out.sizes[4], in.sizes[4]);
    const Cover some = inside(all, in.sizes[4]);
    __builtin_memset(sum, 0, (all.end - all.begin) * sizeof(A));
    for (int64_t z = d.begin; z < d.end; ++z)
      for (int64_t y = h.begin; y < h.end; ++y) {
        const A* more =
            load(in, plane(in, strip.plane) + z * in.strides[2] + y * in.strides[3] + some.begin,
                 some.end - some.begin, row);
        A* to = sum + (some.begin - all.begin);
        for (int64_t i = 0; i < some.end - some.begin; ++i) to[i] += more[i];
      }
    const A rows = static_cast<A>(divisor(call) * counted(call, d) * counted(call, h));
    if (columns.adaptive || columns.step > 2) {
      for (int64_t i = 0; i < n; ++i) {
        const Window w = window_of(call, 2, strip.x + i, out.sizes[4], in.sizes[4]);
        A total = 0;
        for (int64_t x = w.begin; x < w.end; ++x) total += sum[x - all.begin];
        result[i] = total / (rows * counts[i]);
      }
    } else {
      if (columns.step == 2) part(sum, all.end - all.begin, int64_t{2}, columns.pitch, phases);
      const A* from = columns.step == 2 ? phases : sum;
      for (int64_t i = 0; i < n; i += N::kEach) {
        typename N::V total = {};
        for (int64_t k = 0; k < columns.kernel; ++k)
          total += N::load(from + (columns.step == 2 ? k % 2 * columns.pitch + k / 2 : k) + i);
        N::store(result + i, total / (N::load(counts + i) * N::all(rows)));
      }
    }
    store(out, strip.offset(out), n, result);
  }
}

template <class A>
class AvgGradStrips {
  using N = Numbers<A>;

 public:
  AvgGradStrips(const Call& call, char* scratch)
      : call_(call), columns_(call), out_(call.operand[0]), grad_(call.operand[1]) {
    Lines lines(scratch);
    row_ = lines.line<A>(kLine), memory_ = lines.line<A>(3 * kLine);
    counts_ = lines.line<A>(kLine), phases_ = lines.line<A>(2 * kLine);
    result_ = lines.line<A>(kLine);
  }

  void run(const Strip& strip) {
    const Cover d = cover_of(call_, 0, strip.d, grad_.sizes[2], out_.sizes[2]),
                h = cover_of(call_, 1, strip.h, grad_.sizes[3], out_.sizes[3]);
    // Rows in the same windows have the same gradient.
    const int64_t key[] = {strip.plane, strip.x, d.begin, d.end, h.begin, h.end};
    if (__builtin_memcmp(key, key_, sizeof(key))) {
      if (strip.x != key_[1]) count(strip);
      __builtin_memcpy(key_, key, sizeof(key));
      add_rows(strip, d, h);
      if (columns_.adaptive || columns_.step > 2) spread_any(strip);
      else spread(strip);
    }
    store(out_, strip.offset(out_), strip.columns(), from_);
  }

 private:
  void count(const Strip& strip) {
    windows_ = {cover_of(call_, 2, strip.x, grad_.sizes[4], out_.sizes[4]).begin,
                cover_of(call_, 2, strip.x_end - 1, grad_.sizes[4], out_.sizes[4]).end};
    if (windows_.end < windows_.begin) windows_.end = windows_.begin;
    column_counts(call_, windows_.begin, windows_.end - windows_.begin, grad_.sizes[4],
                  out_.sizes[4], counts_);
  }
  // Sums of the gradients of the windows' rows, zeros to either side.
  void add_rows(const Strip& strip, Cover d, Cover h) {
    const int64_t n = windows_.end - windows_.begin, around = columns_.adaptive ? 0 : before();
    __builtin_memset(memory_, 0, (n + 2 * around + 2 * N::kEach) * sizeof(A));
    sum_ = memory_ + around;
    for (int64_t i = d.begin; i < d.end; ++i)
      for (int64_t j = h.begin; j < h.end; ++j) {
        const int64_t at = plane(grad_, strip.plane) + i * grad_.strides[2] + j * grad_.strides[3] +
                           windows_.begin;
        const A* more = load(grad_, at, n, row_);
        const A rows = static_cast<A>(
            divisor(call_) * counted(call_, window_of(call_, 0, i, grad_.sizes[2], out_.sizes[2])) *
            counted(call_, window_of(call_, 1, j, grad_.sizes[3], out_.sizes[3])));
        for (int64_t k = 0; k < n; ++k) sum_[k] += more[k] / (rows * counts_[k]);
      }
  }
  int64_t before() const { return columns_.kernel + 2; }

  // Column x is in windows (x + padding) / step - m, for as many m as the kernel reaches.
  void spread(const Strip& strip) {
    const int64_t step = columns_.step, first = strip.x + columns_.padding;
    const int64_t windows = first / step, count = (first % step + strip.columns() - 1) / step + 1;
    for (int64_t r = 0; r < step; ++r) {
      const A* from = sum_ + (windows - windows_.begin);
      A* to = phases_ + r * columns_.pitch;
      const int64_t taps = (columns_.kernel - r + step - 1) / step;
      for (int64_t i = 0; i < count; i += N::kEach) {
        typename N::V total = {};
        for (int64_t m = taps; m-- > 0;) total += N::load(from + i - m);
        N::store(to + i, total);
      }
    }
    if (step == 1) {
      from_ = phases_;
      return;
    }
    for (int64_t i = 0; i < count; ++i)
      result_[2 * i] = phases_[i], result_[2 * i + 1] = phases_[columns_.pitch + i];
    from_ = result_ + first % 2;
  }
  void spread_any(const Strip& strip) {
    const int64_t n = strip.columns();
    __builtin_memset(result_, 0, n * sizeof(A));
    for (int64_t i = windows_.begin; i < windows_.end; ++i) {
      const Window w = window_of(call_, 2, i, grad_.sizes[4], out_.sizes[4]);
      const int64_t begin = w.begin > strip.x ? w.begin - strip.x : 0;
      const int64_t end = w.end < strip.x_end ? w.end - strip.x : n;
      const A share = sum_[i - windows_.begin];
      for (int64_t x = begin; x < end; ++x) result_[x] += share;
    }
    from_ = result_;
  }

  const Call& call_;
  const Columns columns_;
  const Operand &out_, &grad_;
  A *row_, *memory_, *sum_ = nullptr, *counts_, *phases_, *result_;
  const A* from_ = nullptr;
  Cover windows_{0, 0};
  int64_t key_[6] = {-1, -1, -1, -1, -1, -1};
};

// operands: grad_input, grad. Items are strips of grad_input.
template <class A>
void avg_pool_planes_backward(const Call& call, const Range& range) {
  AvgGradStrips<A> strips(call, range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item)
    strips.run(Strip(call, call.operand[0], item));
}

TRN_REGISTER_REALS(max_pool_planes);
TRN_REGISTER_REALS(max_pool_planes_backward);
TRN_REGISTER_REALS(avg_pool_planes);
TRN_REGISTER_REALS(avg_pool_planes_backward);

}  // namespace
}  // namespace trn
