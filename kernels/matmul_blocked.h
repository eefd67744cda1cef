// The blocked matrix product over packed units, for any arithmetic.
//
// A unit is what one multiply-add takes of k: one float, two bfloat16, four bytes. A packs into
// rows of units, B into strips as wide as a register tile; both are read in either order by whole
// vectors, through a transposition in registers where k lies the other way. The Math class says
// what a unit is:
//   Source, Unit, Sum, Result  types of memory, packed units, accumulators (of a unit's size) and
//                         of what is written
//   kPer                  elements of k in a unit
//   along(p, n)           a vector of units from n elements contiguous in k
//   across(p, stride, n, depth)  one unit of each of n columns contiguous in memory; `depth`
//                         elements of k are left
//   multiply(sum, row, unit)     sum + row * the broadcast unit
//   kBlockRows, multiply_tiles()  if it has them: what multiplies this many rows by a strip instead
//   kDirect, store(to, sums, n)  whether, and how, up to n sums of a row are written as Result
//   kSettled                     whether sums of a block of k are settled before they are added to
//                         others': Sums settle(sums, left, factors), where left is what sum_up(sum,
//                         units) adds up over the block's row of A
// Everything lies in the anonymous namespace of the file that includes it: files for different
// instruction sets share nothing.
#pragma once

#include "blocks.h"
#include "matmul_pack.h"

namespace trn {
namespace {

struct Problem {
  Operand c, a, b, d;
  int64_t m, n, k;
  double alpha, beta;
};

TRN_INLINE Operand matrix_of(const Operand& o, int64_t batch) {
  Operand m = o;
  if (!o.absent()) m.data = o.as<char>() + batch * o.strides[0] * dtype_size(o.dtype);
  return m;
}

TRN_INLINE Problem problem_of(const Call& call, int64_t batch) {
  const Operand &c = call.operand[0], &a = call.operand[1];
  return {matrix_of(c, batch),
          matrix_of(a, batch),
          matrix_of(call.operand[2], batch),
          matrix_of(call.operand[3], batch),
          c.sizes[1],
          c.sizes[2],
          a.sizes[2],
          call.reals[0],
          call.reals[1]};
}

// C[row, column...] = alpha * sums + beta * D for `n` dense sums.
template <class A>
void write_row(const Problem& p, A* sums, int64_t row, int64_t column, int64_t n, bool by_column,
               A* buffer) {
  const auto offset = [&](const Operand& o) {
    return (by_column ? column * o.strides[1] + row * o.strides[2]
                      : row * o.strides[1] + column * o.strides[2]);
  };
  const int64_t cs = by_column ? p.c.strides[1] : p.c.strides[2];
  if (p.alpha != 1)
    for (int64_t j = 0; j < n; ++j) sums[j] *= static_cast<A>(p.alpha);
  if (p.beta != 0 && !p.d.absent()) {
    const int64_t ds = by_column ? p.d.strides[1] : p.d.strides[2];
    TRN_ISA_NAMESPACE::convert_run(buffer, DTypeOf<A>::value, 1,
                                   p.d.as<char>() + offset(p.d) * dtype_size(p.d.dtype), p.d.dtype,
                                   ds, n);
    for (int64_t j = 0; j < n; ++j) sums[j] += static_cast<A>(p.beta) * buffer[j];
  }
  TRN_ISA_NAMESPACE::convert_run(p.c.as<char>() + offset(p.c) * dtype_size(p.c.dtype), p.c.dtype,
                                 cs, sums, DTypeOf<A>::value, 1, n);
}

template <class Math>
struct Blocked : Packing<Math> {
  using P = Packing<Math>;
  using P::kLanes, P::kColumns, P::kPer, P::kDirect, P::kUnitBytes;
  using P::kTiled, P::kBlockRows, P::kStepUnits;
  using P::pack, P::pack_across, P::rows_of;
  using typename P::S, typename P::U, typename P::A, typename P::R;
  using typename P::UV, typename P::AV, typename P::Rows;
  static constexpr int64_t kStrip = kMaxDepth * kColumns;

  // Where a register tile goes: added to sums that are there already or not, kept as sums or, if
  // `out` is not null, written as `columns` results of each row.
  struct To {
    A* sums;
    int64_t stride, tail;
    bool add;
    R* out;
    int64_t row, columns;
    const A *left, *factors;
    const A* more;  // added to each row that is written, unless null
  };

  // Rows of A times `vectors` vectors of a strip of B.
  template <int rows, bool by_units, int vectors>
  __attribute__((noinline)) static void multiply_tile(const char* a, int64_t row_bytes, const U* b,
                                                      int64_t units, const To& to) {
    typedef U AnyU __attribute__((aligned(1), may_alias));
    constexpr int groups = (rows + 3) / 4;
    const char* group[groups];
    for (int g = 0; g < groups; ++g) group[g] = a + 4 * g * row_bytes;
    AV sum[rows][vectors] = {};
    const auto add_unit = [&](auto unit_at) __attribute__((always_inline)) {
      UV row[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v)
        row[v] = Math::row_of(*reinterpret_cast<const UV*>(b + v * kLanes));
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const U x = unit_at(by_units ? a + r * sizeof(U) : group[r / 4] + r % 4 * row_bytes);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) sum[r][v] = Math::multiply(sum[r][v], row[v], x);
      }
    };
    for (int64_t p = to.tail ? 1 : 0; p < units; ++p) {
      add_unit([](const char* at) { return *reinterpret_cast<const AnyU*>(at); });
      if constexpr (by_units) a += kUnitBytes;
      else
#pragma GCC unroll 3
        for (int g = 0; g < groups; ++g) {
          group[g] += sizeof(U);
          asm("" : "+r"(group[g]));
        }
      b += kColumns;
    }
    if constexpr (!by_units && kPer > 1)
      if (to.tail)
        add_unit([&](const char* at) {
          return Math::gather(reinterpret_cast<const S*>(at), 1, to.tail);
        });
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        if constexpr (Math::kSettled)
          sum[r][v] = Math::settle(sum[r][v], to.left[r], to.factors + v * kLanes);
        AV* before = reinterpret_cast<AV*>(to.sums + r * to.stride + v * kLanes);
        if (to.add) sum[r][v] += *before;
        if constexpr (kDirect)
          if (to.more) sum[r][v] += *reinterpret_cast<const AV*>(to.more + v * kLanes);
        if (!to.out) *before = sum[r][v];
      }
    if constexpr (kDirect)
      if (to.out)
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) Math::store(to.out + r * to.row, sum[r], to.columns);
  }

  template <bool by_units, int vectors>
  static void multiply_rows(const char* a, int64_t row, const U* b, int64_t units, int64_t rows,
                            const To& to) {
    constexpr int two = 2 * kRows / 3, one = (kRows + 2) / 3;
    if (rows > two) return multiply_tile<kRows, by_units, vectors>(a, row, b, units, to);
    if (rows > one) return multiply_tile<two, by_units, vectors>(a, row, b, units, to);
    multiply_tile<one, by_units, vectors>(a, row, b, units, to);
  }

  // A strip of which only the first vector has columns is multiplied by that one.
  static void multiply_strip(const Rows& a, int64_t first, const U* b, int64_t columns,
                             int64_t units, int64_t rows, const To& to) {
    const char* at = a.at + first * a.row;
    const bool narrow = columns <= kLanes;
    if constexpr (kTiled) Math::multiply_tiles(at, a.row, b, columns, units, rows, to);
    else if (a.by_units)
      narrow ? multiply_rows<true, 1>(at, 0, b, units, rows, to)
             : multiply_rows<true, kVectors>(at, 0, b, units, rows, to);
    else
      narrow ? multiply_rows<false, 1>(at, a.row, b, units, rows, to)
             : multiply_rows<false, kVectors>(at, a.row, b, units, rows, to);
  }

  // What sum_up() makes of each of `rows` rows of a block.
  static void sum_rows(const Rows& a, int64_t rows, int64_t units, A* sums) {
    if (a.by_units) {
      for (int64_t r = 0; r < rows; r += kLanes) {
        AV sum{};
        for (int64_t u = 0; u < units; ++u)
          sum = Math::sum_up(sum,
                             *reinterpret_cast<const UV*>(a.at + u * kUnitBytes + r * sizeof(U)));
        *reinterpret_cast<AV*>(sums + r) = sum;
      }
      return;
    }
    const int64_t elements = units * kPer - (a.tail ? kPer - a.tail : 0);
    for (int64_t r = 0; r < rows; ++r) {
      const S* from = reinterpret_cast<const S*>(a.at + r * a.row);
      AV sum{};
      for (int64_t q = 0; q < elements; q += kLanes * kPer) {
        const int64_t left = elements - q;
        sum = Math::sum_up(sum, Math::along(from + q, left < kLanes * kPer ? left : kLanes * kPer));
      }
      sums[r] = 0;
      for (int i = 0; i < kLanes; ++i) sums[r] += sum[i];
    }
  }

  // The panel of B from columns that lie `line` apart.
  static void pack_strips(U* panel, const S* from, int64_t columns, int64_t depth, int64_t line,
                          int64_t step) {
    for (int64_t j = 0; j < columns; j += kColumns, panel += kStrip)
      pack(panel, 1, kColumns, from + j * line, columns - j < kColumns ? columns - j : kColumns,
           depth, line, step);
  }

  // Runs of memory, and the fetching of a part of them while something else is computed: packing
  // reads short runs far apart, for which it would wait.
  struct Area {
    const char* at = nullptr;
    int64_t runs = 0, distance = 0, bytes = 0;

    // Parts [part, part + count) of `parts`.
    void fetch(int64_t part, int64_t parts, int64_t count = 1) const {
      for (int64_t r = runs * part / parts; r < runs * (part + count) / parts; ++r)
        for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(at + r * distance + b, 0, 2);
    }
  };

  // m x n sums over `blocks` blocks of k, at most kMaxDepth units each. `from` provides:
  //   units(block)                         how many units of k a block has
  //   rows_of_a(panel, row, rows, block)   rows of A
  //   pack_b(panel, block)                 n columns of B, strips of kColumns of them kStrip apart
  //   first_unit(block)                    of the packed strips
  //   factors(block)                       what settle() is given, for each column
  //   area_of_a(row, rows, block), area_of_b(block)  memory that packing will read
  //   finish(row, sums, buffer)            takes a row of n sums
  //   out(row), out_row()                  where Math::store() may put row `row` instead, null if
  //                                        finish() has more to do, and how far apart rows are
  //   row_to_add()                         to each row that store() puts there, or null
  template <class From>
  static void multiply_with(From& from, int64_t m, int64_t n, int64_t blocks, char* scratch) {
    const int64_t stride = (n + kColumns - 1) / kColumns * kColumns;
    A* acc = reinterpret_cast<A*>(scratch);
    U* b_panel = reinterpret_cast<U*>(acc + kMaxTile);
    U* a_panel = b_panel + kMaxDepth * kMaxTileN;
    A* buffer = reinterpret_cast<A*>(a_panel + kPanelUnits);
    A left[kUnitRows];
    // Without any k one empty block writes zeros.
    for (int64_t block = 0; block < blocks || block == 0; ++block) {
      const int64_t units = blocks ? from.units(block) : 0;
      from.pack_b(b_panel, block);
      U* strips = b_panel + from.first_unit(block) * kColumns;
      if constexpr (kTiled)
        for (int64_t j = 0, more = -units & (kStepUnits - 1); j < stride; j += kColumns)
          __builtin_memset(strips + j / kColumns * kStrip + units * kColumns, 0,
                           more * kColumns * sizeof(U));
      for (int64_t i0 = 0, height; i0 < m; i0 += height) {
        // Only whole register tiles are read where they lie: the rest has a panel of its own.
        height = m - i0 < kPanelM ? m - i0 : kPanelM;
        if (height > kBlockRows) height -= height % kBlockRows;
        const Rows a = from.rows_of_a(a_panel, i0, height, block);
        if constexpr (Math::kSettled) sum_rows(a, height, units, left);
        // Sums that no other block adds to are finished in the second level.
        A* sums = blocks > 1 ? acc + i0 * stride : acc;
        const bool last = block + 1 >= blocks;
        R* out = nullptr;
        if constexpr (kDirect)
          if (last && height % kBlockRows == 0) out = from.out(i0);
        To to{nullptr, stride, a.tail, block > 0, nullptr, 0, 0, nullptr, nullptr, nullptr};
        // What comes next: rows of A, and of the next block a part of B as large as these rows.
        const bool more = i0 + height < m;
        const Area next_a = more    ? from.area_of_a(i0 + height, m - i0 - height, block)
                            : !last ? from.area_of_a(0, m, block + 1)
                                    : Area();
        const Area next_b = last ? Area() : from.area_of_b(block + 1);
        const int64_t tiles =
            (height + kBlockRows - 1) / kBlockRows * ((n + kColumns - 1) / kColumns);
        int64_t tile = 0;
        for (int64_t j = 0; j < n; j += kColumns)
          for (int64_t i = 0; i < height; i += kBlockRows, ++tile) {
            to.sums = sums + i * stride + j;
            to.columns = n - j;
            if constexpr (kDirect)
              if (out) {
                to.row = from.out_row();
                to.out = out + i * to.row + j;
                to.more = from.row_to_add() ? from.row_to_add() + j : nullptr;
              }
            if constexpr (Math::kSettled) {
              to.left = left + i;
              to.factors = from.factors(block) + j;
            }
            next_a.fetch(tile, tiles);
            next_b.fetch(i0 * tiles + height * tile, m * tiles, height);
            multiply_strip(a, i, strips + j / kColumns * kStrip, n - j, units, height - i, to);
          }
        if (!last || out) continue;
        for (int64_t i = 0; i < height; ++i) from.finish(i0 + i, sums + i * stride, buffer);
      }
    }
  }

  // How k is cut: in even blocks of about kDepth units, so that none is left with a few of them.
  struct Blocks {
    int64_t k, count, step;
    explicit Blocks(int64_t depth) : k(depth) {
      const int64_t units = (k + kPer - 1) / kPer, most = units - (kMaxDepth - kDepth);
      count = units == 0 ? 0 : most <= kDepth ? 1 : (most + kDepth - 1) / kDepth;
      int64_t part = count == 0 ? 0 : (units + count - 1) / count;
      part = (part + kStepUnits - 1) / kStepUnits * kStepUnits;
      if (part) count = (units + part - 1) / part;
      step = part * kPer;
    }
    int64_t depth(int64_t block) const {
      const int64_t left = k - block * step;
      return left < step ? left : step;
    }
    int64_t units(int64_t block) const { return (depth(block) + kPer - 1) / kPer; }
  };

  // A tile of a plain product, whose corner is (m0, n0).
  struct Tile {
    const Problem& p;
    int64_t m0, n0, n;
    Blocks blocks;
    A* added;  // beta times the row that D is made of, or null

    // `room` is for the row.
    Tile(const Problem& problem, int64_t row, int64_t column, int64_t columns, A* room)
        : p(problem), m0(row), n0(column), n(columns), blocks(p.k), added(nullptr) {
      if (!kDirect || p.beta == 0 || p.d.absent() || p.d.strides[1] != 0) return;
      added = room;
      TRN_ISA_NAMESPACE::convert_run(added, DTypeOf<A>::value, 1,
                                     p.d.as<char>() + n0 * p.d.strides[2] * dtype_size(p.d.dtype),
                                     p.d.dtype, p.d.strides[2], n);
      for (int64_t j = 0; j < n; ++j) added[j] *= static_cast<A>(p.beta);
    }
    const A* row_to_add() const { return added; }

    int64_t units(int64_t block) const { return blocks.units(block); }
    int64_t first_unit(int64_t) const { return 0; }
    // Lines of at most `lines` by a block's depth.
    Area area(const Operand& o, int64_t from, int64_t lines, int64_t line, int64_t step,
              int64_t block) const {
      const int64_t depth = blocks.depth(block), size = sizeof(S);
      const char* at = o.as<char>() + (from * line + block * blocks.step * step) * size;
      if (step == 1) return {at, lines, line * size, depth * size};
      return {at, depth, step * size, lines * size};
    }
    Area area_of_a(int64_t row, int64_t rows, int64_t block) const {
      const int64_t* s = p.a.strides;
      return area(p.a, m0 + row, rows < kPanelM ? rows : kPanelM, s[1], s[2], block);
    }
    Area area_of_b(int64_t block) const {
      return area(p.b, n0, n, p.b.strides[2], p.b.strides[1], block);
    }
    const A* factors(int64_t) const { return nullptr; }
    Rows rows_of_a(U* panel, int64_t row, int64_t rows, int64_t block) {
      const int64_t *s = p.a.strides, at = (m0 + row) * s[1] + block * blocks.step * s[2];
      return rows_of(panel, p.a.as<S>() + at, rows, blocks.depth(block), s[1], s[2]);
    }
    void pack_b(U* panel, int64_t block) {
      const int64_t *s = p.b.strides, depth = blocks.depth(block);
      const S* from = p.b.as<S>() + block * blocks.step * s[1] + n0 * s[2];
      if (s[2] == 1 && s[1] != 1) pack_across(panel, kStrip, kColumns, from, n, depth, s[1]);
      else pack_strips(panel, from, n, depth, s[2], s[1]);
    }
    R* out(int64_t row) const {
      const bool plain = p.alpha == 1 && (p.beta == 0 || p.d.absent() || added) &&
                         p.c.dtype == DTypeOf<R>::value && p.c.strides[2] == 1;
      return plain ? p.c.as<R>() + (m0 + row) * p.c.strides[1] + n0 : nullptr;
    }
    int64_t out_row() const { return p.c.strides[1]; }
    void finish(int64_t row, A* sums, A* buffer) { Math::finish(p, sums, m0 + row, n0, n, buffer); }
  };

  static void multiply(const Problem& p, int64_t m0, int64_t n0, int64_t tile_m, int64_t tile_n,
                       char* scratch) {
    const int64_t m = p.m - m0 < tile_m ? p.m - m0 : tile_m;
    const int64_t n = p.n - n0 < tile_n ? p.n - n0 : tile_n;
    A* room = reinterpret_cast<A*>(scratch + kScratchBytes - kSpareBytes);
    Tile tile(p, m0, n0, n, room);
    multiply_with(tile, m, n, tile.blocks.count, scratch);
  }

  static_assert((kMaxTile + kMaxDepth * kMaxTileN + kPanelUnits + kMaxTileN) * sizeof(U) <=
                kScratchBytes - kSpareBytes);
};

// Registered form: ints[0], ints[1] are the tile's rows and columns.
template <class Math>
TRN_INLINE void multiply_blocked(const Call& call, const Range& range) {
  const int64_t m = call.operand[0].sizes[1], n = call.operand[0].sizes[2];
  const int64_t tile_m = call.ints[0], tile_n = call.ints[1];
  const int64_t across = (n + tile_n - 1) / tile_n;
  const int64_t items = (m + tile_m - 1) / tile_m * across;
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t tile = i % items;
    Blocked<Math>::multiply(problem_of(call, i / items), tile / across * tile_m,
                            tile % across * tile_n, tile_m, tile_n, range.scratch);
  }
}

}  // namespace
}  // namespace trn
