// Average pooling of planes with dense rows: the rows of a window are added as registers of
// columns, then columns, after those that lie a stride apart have been brought together.
//
// Operands and ints are those of pool.cpp; planes are smaller than 2^31. Gradients are gathered
// from the windows that hold a number.
#include "pool_strips.h"

namespace trn {
namespace {

// Windows of the last dimension: where they are and what averages divide by for their columns.
template <class A>
struct ColumnWindows {
  A* counts;
  int32_t *begin, *end;
  explicit ColumnWindows(Lines& lines)
      : counts(lines.line<A>(kLine)),
        begin(lines.line<int32_t>(kLine)),
        end(lines.line<int32_t>(kLine)) {}
  void find(const Call& call, int64_t x, int64_t n, int64_t out, int64_t in) {
    for (int64_t i = 0; i < n; ++i) {
      const Window w = window_of(call, 2, x + i, out, in);
      counts[i] = static_cast<A>(counted(call, w));
      begin[i] = static_cast<int32_t>(w.begin), end[i] = static_cast<int32_t>(w.end);
    }
  }
};

// operands: out, in. Items are strips of out: rows of a window are added first, then columns.
template <class A>
void avg_pool_planes(const Call& call, const Range& range) {
  using N = Numbers<A>;
  const Operand &out = call.operand[0], &in = call.operand[1];
  const Columns columns(call);
  Lines lines(range.scratch);
  A *row = lines.line<A>(kLine), *sum = lines.line<A>(kLine), *phases = lines.line<A>(2 * kLine),
    *result = lines.line<A>(kLine);
  ColumnWindows<A> windows(lines);
  int64_t counted_from = -1;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Strip strip(call, out, item);
    const int64_t n = strip.columns();
    if (strip.x != counted_from)
      windows.find(call, strip.x, n, out.sizes[4], in.sizes[4]), counted_from = strip.x;
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
        A total = 0;
        for (int64_t x = windows.begin[i]; x < windows.end[i]; ++x) total += sum[x - all.begin];
        result[i] = total / (rows * windows.counts[i]);
      }
    } else {
      if (columns.step == 2) part(sum, all.end - all.begin, int64_t{2}, columns.pitch, phases);
      const A* from = columns.step == 2 ? phases : sum;
      for (int64_t i = 0; i < n; i += N::kEach) {
        typename N::V total = {};
        for (int64_t k = 0; k < columns.kernel; ++k)
          total += N::load(from + (columns.step == 2 ? k % 2 * columns.pitch + k / 2 : k) + i);
        N::store(result + i, total / (N::load(windows.counts + i) * N::all(rows)));
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
      : call_(call),
        columns_(call),
        out_(call.operand[0]),
        grad_(call.operand[1]),
        lines_(scratch),
        known_(lines_) {
    row_ = lines_.line<A>(kLine), memory_ = lines_.line<A>(3 * kLine);
    phases_ = lines_.line<A>(2 * kLine), result_ = lines_.line<A>(kLine);
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
    known_.find(call_, windows_.begin, windows_.end - windows_.begin, grad_.sizes[4],
                out_.sizes[4]);
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
        for (int64_t k = 0; k < n; ++k) sum_[k] += more[k] / (rows * known_.counts[k]);
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
    for (int64_t i = 0; i < windows_.end - windows_.begin; ++i) {
      const int64_t first = known_.begin[i], last = known_.end[i];
      const int64_t begin = first > strip.x ? first - strip.x : 0;
      const int64_t end = last < strip.x_end ? last - strip.x : n;
      const A share = sum_[i];
      for (int64_t x = begin; x < end; ++x) result_[x] += share;
    }
    from_ = result_;
  }

  const Call& call_;
  const Columns columns_;
  const Operand &out_, &grad_;
  Lines lines_;
  ColumnWindows<A> known_;
  A *row_, *memory_, *sum_ = nullptr, *phases_, *result_;
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

TRN_REGISTER_REALS(avg_pool_planes);
TRN_REGISTER_REALS(avg_pool_planes_backward);

}  // namespace
}  // namespace trn
