// Max pooling of planes with dense rows: registers of columns, after a row's numbers that lie a
// stride apart have been brought together.
//
// Operands and ints are those of pool.cpp; planes are smaller than 2^31. Gradients are scattered, a
// plane at a time.
#include "pool_strips.h"

namespace trn {
namespace {

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
    first_ = lines.line<Place>(kLine), end_ = lines.line<Place>(kLine);
    columns_at_ = lines.line<Place>(kLine);
    taps_ = lines.line<int32_t>(kLine);
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
      for (int64_t i = 0; i < n; ++i) {
        const Window w = window_of(call_, 2, strip.x + i, out.sizes[4], in.sizes[4]);
        first_[i] = static_cast<Place>(w.begin), end_[i] = static_cast<Place>(w.end);
      }
      started_ = strip.x;
    }
    for (int64_t i = 0; i < n; ++i) best_[i] = -infinity<A>(), at_[i] = first_[i] + first;
    if (columns_.adaptive) start_columns(strip, first);
    for (int64_t z = d.begin; z < d.end; z += d.step)
      for (int64_t y = h.begin; y < h.end; y += h.step) {
        const int64_t place = (z * in.sizes[3] + y) * in.sizes[4];
        const int64_t row = from + z * in.strides[2] + y * in.strides[3];
        if (columns_.adaptive) meet_columns(strip, row, place + reach(strip).begin);
        else meet(strip, row, place);
      }
    if (columns_.adaptive) join_columns(strip);
    store(out, strip.offset(out), n, best_);
    int64_t* to = indices.as<int64_t>() + strip.offset(indices);
    for (int64_t i = 0; i < n; ++i) to[i] = at_[i];
  }

 private:
  // The numbers of a row that the windows meet, -infinity outside, parted by their phase.
  TRN_INLINE const A* phases(const Strip& strip, int64_t row) {
    const Operand& in = call_.operand[2];
    const Cover all = reach(strip), some = inside(all, in.sizes[4]);
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
    const typename N::P apart = lanes(columns_.step);
    place += strip.x * columns_.step - columns_.padding;
    for (int64_t i = 0; i < strip.columns(); i += N::kEach) {
      typename N::V best = N::load(best_ + i);
      typename N::P at = *reinterpret_cast<typename N::P*>(at_ + i);
      typename N::P here = apart + N::all_places(place + i * columns_.step);
      for (int64_t k = 0; k < columns_.kernel; ++k) {
        N::keep_larger(best, at, N::load(from + taps_[k] + i), here);
        here += N::all_places(columns_.dilation);
      }
      N::store(best_ + i, best);
      *reinterpret_cast<typename N::P*>(at_ + i) = at;
    }
  }
  // Windows of different sizes: rows first, a register of columns at a time, then the columns of
  // each, where the rules of keep_larger() speak of places because these no longer come in order.
  void meet_columns(const Strip& strip, int64_t row, int64_t place) {
    const Cover all = reach(strip);
    const A* line = load(call_.operand[2], row + all.begin, all.end - all.begin, line_);
    if (line != line_) __builtin_memcpy(line_, line, (all.end - all.begin) * sizeof(A));
    for (int64_t i = 0; i < all.end - all.begin; i += N::kEach) {
      typename N::V best = N::load(phases_ + i);
      auto* at = reinterpret_cast<typename N::P*>(columns_at_ + i);
      typename N::P places = *at;
      N::keep_larger(best, places, N::load(line_ + i), lanes(1) + N::all_places(place + i));
      N::store(phases_ + i, best);
      *at = places;
    }
  }
  void join_columns(const Strip& strip) {
    const int64_t begin = reach(strip).begin;
    for (int64_t i = 0; i < strip.columns(); ++i) {
      A best = phases_[first_[i] - begin];
      Place at = columns_at_[first_[i] - begin];
      for (int64_t x = first_[i] + 1 - begin; x < end_[i] - begin; ++x) {
        const A v = phases_[x];
        const Place place = columns_at_[x];
        const bool wins =
            v != v ? best == best || place > at : v > best || (v == best && place < at);
        best = wins ? v : best, at = wins ? place : at;
      }
      best_[i] = best, at_[i] = at;
    }
  }
  void start_columns(const Strip& strip, int64_t place) {
    const Cover all = reach(strip);
    for (int64_t x = 0; x < all.end - all.begin; ++x)
      phases_[x] = -infinity<A>(), columns_at_[x] = static_cast<Place>(place + all.begin + x);
  }

  Cover reach(const Strip& strip) const {
    return columns_.reach(call_, strip.x, strip.x_end, call_.operand[0].sizes[4],
                          call_.operand[2].sizes[4]);
  }
  static typename N::P lanes(int64_t step) {
    typename N::P lanes;
    for (int i = 0; i < N::kEach; ++i) lanes[i] = static_cast<Place>(i * step);
    return lanes;
  }

  const Call& call_;
  const Columns columns_;
  A *line_, *phases_, *best_;
  Place *at_, *first_, *end_, *columns_at_;
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

TRN_REGISTER_REALS(max_pool_planes);
TRN_REGISTER_REALS(max_pool_planes_backward);

}  // namespace
}  // namespace trn
