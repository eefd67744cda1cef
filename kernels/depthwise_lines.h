// Lines of planes as depthwise kernels read them: copies of the kernel's type with zeros around.
#pragma once

#include "depthwise_planes.h"
#include "rows.h"

namespace trn {
namespace {

// A vector of neighbours along a line.
template <class A>
struct Lanes {
  typedef A V __attribute__((vector_size(kVectorBytes), aligned(alignof(A)), may_alias));
  static constexpr int64_t kEach = kVectorBytes / sizeof(A);
  TRN_INLINE static V at(const A* p) { return *reinterpret_cast<const V*>(p); }
  TRN_INLINE static void put(A* p, V x) { *reinterpret_cast<V*>(p) = x; }
  TRN_INLINE static V all(A x) { return x - V{}; }
  // What several products take is loaded once: a compiler would load it with each of them.
  TRN_INLINE static V once(const A* p) {
    V x = at(p);
#if defined(__AVX512F__)
    asm("" : "+v"(x));
#elif defined(__AVX__)
    asm("" : "+x"(x));
#endif
    return x;
  }
};

template <class A>
TRN_INLINE void copy_dense(A* to, const A* from, int64_t n) {
  using L = Lanes<A>;
  if (n < L::kEach) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
    return;
  }
  for (int64_t i = 0; i + L::kEach <= n; i += L::kEach) L::put(to + i, L::at(from + i));
  L::put(to + n - L::kEach, L::at(from + n - L::kEach));  // some of them once more
}

// Copies of lines of an operand: number step * (first + j) + r of a line at [r * length + j], zero
// where it has none. Zeros are written only when `first` changes.
template <class A>
class LineCopies {
 public:
  LineCopies(const Operand& from, int64_t step, int64_t length, int64_t lines, A* memory)
      : from_(from), step_(step), length_(length), lines_(lines), memory_(memory) {}
  A* at(int64_t line) const { return memory_ + line * numbers(); }
  int64_t numbers() const { return step_ * length_; }

  void start(int64_t first) {
    if (started_ && first == first_) return;
    started_ = true, first_ = first;
    for (A *p = memory_, *end = at(lines_); p < end; p += Lanes<A>::kEach)
      Lanes<A>::put(p, typename Lanes<A>::V{});
    find(0);
  }
  // The line at element `at` of the operand to a line here.
  TRN_INLINE void copy(A* to, int64_t at) {
    const int64_t apart = step_ * from_.strides[4];
    for (int64_t r = 0; r < step_; ++r, to += length_) {
      if (step_ > 1) find(r);
      const int64_t source = at + (step_ * first_ + r) * from_.strides[4] + begin_ * apart;
      if (from_.dtype == DTypeOf<A>::value && apart == 1)
        copy_dense(to + begin_, from_.as<A>() + source, end_ - begin_);
      else if (end_ > begin_)
        TRN_ISA_NAMESPACE::convert_run(to + begin_, DTypeOf<A>::value, 1,
                                       from_.as<char>() + source * dtype_size(from_.dtype),
                                       from_.dtype, apart, end_ - begin_);
    }
  }

 private:
  // Of phase r there are numbers [begin, end).
  TRN_INLINE void find(int64_t r) {
    const int64_t start = step_ * first_ + r;
    const auto steps = [&](int64_t n) { return n <= 0 ? 0 : (n + step_ - 1) / step_; };
    end_ = steps(from_.sizes[4] - start), begin_ = steps(-start);
    end_ = end_ < length_ ? end_ : length_, begin_ = begin_ < end_ ? begin_ : end_;
  }

  const Operand& from_;
  const int64_t step_, length_, lines_;
  A* const memory_;
  bool started_ = false;
  int64_t first_ = 0, begin_ = 0, end_ = 0;
};

// fetch() for columns [x, x_end) of the line at element `at`, where they are neighbours.
template <bool write>
TRN_INLINE void fetch_line(const Operand& o, int64_t at, int64_t x, int64_t x_end) {
  if (o.strides[4] == 1) fetch<write>(o, at + x, x_end - x);
}

// A block of planes' lines that an item computes: lines [y, y_end) and columns [x, x_end).
struct PlaneBlock {
  int64_t n, c, z, y, y_end, x, x_end;
};
// Element 0 of line y of a block's plane.
TRN_INLINE int64_t element_of(const Operand& o, const PlaneBlock& b, int64_t y) {
  const int64_t* s = o.strides;
  return b.n * s[0] + b.c * s[1] + b.z * s[2] + y * s[3];
}
// How operand [n, c, d, h, w] is cut in them.
struct PlaneBlocks {
  const Operand& of;
  int64_t rows, columns, down, across;
  PlaneBlocks(const Operand& o, const int64_t* ints)
      : of(o),
        rows(ints[0]),
        columns(ints[1]),
        down((o.sizes[3] + rows - 1) / rows),
        across((o.sizes[4] + columns - 1) / columns) {}

  // Of one plane (all depths).
  int64_t each() const { return of.sizes[2] * down * across; }
  PlaneBlock at(int64_t n, int64_t c, int64_t item) const {
    const int64_t x = item % across * columns, y = item / across % down * rows;
    const int64_t z = item / across / down, *size = of.sizes;
    return {n,
            c,
            z,
            y,
            y + rows < size[3] ? y + rows : size[3],
            x,
            x + columns < size[4] ? x + columns : size[4]};
  }
};

// The lines of an image that a block of results meets.
template <class A>
class PlaneLines {
 public:
  PlaneLines(const Operand& image, const Window& window, const PlaneLine& line, int64_t rows,
             A* memory)
      : image_(image),
        window_(window),
        line_(line),
        lines_(plane_lines(window, rows)),
        copies_(image, line.step, line.length, window.kernel[0] * lines_ + 1, memory) {}
  // Behind them.
  A* end() const { return zeros() + copies_.numbers(); }

  void copy(const PlaneBlock& b) {
    first_ = first_plane_line(window_, b.y);
    copies_.start(b.x / line_.phases + line_.low);
    // Only lines that there are and that the last line of results reaches.
    const int64_t high = first_ + plane_lines(window_, b.y_end - b.y), *stride = image_.strides;
    const int64_t end = high < image_.sizes[3] ? high : image_.sizes[3];
    for (int64_t kz = 0; kz < window_.kernel[0]; ++kz) {
      const int64_t z = window_.other(0, b.z, kz, image_.sizes[2]);
      if (z < 0) continue;
      const int64_t from = b.n * stride[0] + b.c * stride[1] + z * stride[2];
      for (int64_t y = first_ > 0 ? first_ : 0; y < end; ++y)
        copies_.copy(place(kz, y), from + y * stride[3]);
    }
  }
  // Has the memory fetched of what a block copies as its i-th line, where there is one depth.
  TRN_INLINE void fetch_next(const PlaneBlock& b, int64_t i) const {
    fetch_line<false>(image_, element_of(image_, b, first_plane_line(window_, b.y) + i), b.x,
                      b.x_end);
  }
  // Line y at the depth that tap kz meets; zeros outside.
  TRN_INLINE const A* at(int64_t kz, int64_t y) const {
    return y < 0 || y >= image_.sizes[3] ? zeros() : place(kz, y);
  }

 private:
  TRN_INLINE A* place(int64_t kz, int64_t y) const { return copies_.at(kz * lines_ + y - first_); }
  TRN_INLINE A* zeros() const { return copies_.at(window_.kernel[0] * lines_); }

  const Operand& image_;
  const Window& window_;
  const PlaneLine& line_;
  int64_t lines_, first_ = 0;
  LineCopies<A> copies_;
};

}  // namespace
}  // namespace trn
