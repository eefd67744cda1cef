// The walk over blocks.
#include "blocks.h"

#include "conversions.h"
#include "copy_bytes.h"
#include "short_rows.h"

namespace trn::TRN_ISA_NAMESPACE {
namespace {

// One operand's side of the walk.
struct Lane {
  const Operand* operand;
  DType type;  // compute type
  alignas(64) char buffer[kBlock * 16];
  const void* filled = nullptr;  // the value, or the row, that the buffer repeats, if it does
  int64_t spread = 0;            // how often, if it is a value

  bool direct(int64_t step) const { return operand->data && operand->dtype == type && step == 1; }
};

void fill_immediate(Lane& lane) {
  const Operand& o = *lane.operand;
  char value[16];
  const bool integral = o.dtype <= DType::i64 || o.dtype == DType::b8 || o.dtype >= DType::u16;
  if (integral) convert_run(value, lane.type, 1, &o.value.i, DType::i64, 1, 1);
  else convert_run(value, lane.type, 1, o.value.r, DType::c128, 1, 1);
  convert_run(lane.buffer, lane.type, 1, value, lane.type, 0, kBlock);
  lane.filled = &o;
}

// The next n elements of an input, which begin in one row and end in another, as a dense array.
const void* load_rows(Lane& lane, const Position& start, int64_t n) {
  const Operand& o = *lane.operand;
  if (!o.data) return lane.buffer;
  if (packed(o)) {
    if (o.dtype == lane.type) return start.address(o);
    convert_run(lane.buffer, lane.type, 1, start.address(o), o.dtype, 1, n);
    return lane.buffer;
  }
  // A row that repeats is spread once for all blocks that begin with it.
  const bool row = repeats_row(o) && start.at[o.ndim - 1] == 0;
  if (row && lane.filled == &o) return lane.buffer;
  lane.filled = row ? &o : nullptr;
  if (o.dtype == lane.type) {
    gather(lane.buffer, o, start, n);
  } else {
    alignas(64) char raw[kBlock * 16];
    gather(raw, o, start, n);
    convert_run(lane.buffer, lane.type, 1, raw, o.dtype, 1, n);
  }
  return lane.buffer;
}

// n elements of an input in one row, `step` apart, as a dense array.
const void* load_run(Lane& lane, const char* from, int64_t step, int64_t n) {
  const Operand& o = *lane.operand;
  if (!o.data) return lane.buffer;
  // A broadcast value is spread once for as many blocks as it lasts.
  if (step == 0 && lane.filled == from && lane.spread >= n) return lane.buffer;
  convert_run(lane.buffer, lane.type, 1, from, o.dtype, step, n);
  lane.filled = step == 0 ? from : nullptr;
  lane.spread = n;
  return lane.buffer;
}

// Whether the loop over bf16 serves: every value is one without rounding.
bool all_bf16(const Map& map, const Call& call) {
  if (!map.bf16 || call.operand[0].dtype != DType::bf16) return false;
  for (int i = 1; i <= map.arity; ++i) {
    const Operand& o = call.operand[i];
    if (!o.data || (o.dtype != DType::bf16 && o.dtype != DType::b8)) return false;
  }
  return true;
}

void store(const Lane& lane, const Position& start, int64_t n) {
  Position p = start;
  const Operand& o = *lane.operand;
  const int64_t size = dtype_size(lane.type);
  if (packed(o)) return convert_run(p.address(o), o.dtype, 1, lane.buffer, lane.type, 1, n);
  for (int64_t done = 0; done < n;) {
    const int64_t run = p.row_left() < n - done ? p.row_left() : n - done;
    convert_run(p.address(o), o.dtype, p.step(o), lane.buffer + done * size, lane.type, 1, run);
    p.advance(run);
    done += run;
  }
}

// n elements of a row that every operand has, and of the rows that follow it, `count` in all.
void map_lines(const Map& map, const Call& call, Lane* lanes, const Position& start, int64_t n,
               int64_t count) {
  char* at[kMaxOperands + 1];
  int64_t step[kMaxOperands + 1], bytes[kMaxOperands + 1], next[kMaxOperands + 1];
  bool direct[kMaxOperands + 1], all = true;
  for (int i = 0; i <= map.arity; ++i) {
    const Operand& o = *lanes[i].operand;
    at[i] = o.data ? start.address(o) : nullptr;
    step[i] = n == 1 ? 1 : start.step(o);
    bytes[i] = step[i] * dtype_size(o.dtype);
    next[i] = start.row_step(o) * dtype_size(o.dtype);
    direct[i] = lanes[i].direct(step[i]);
    all = all && direct[i];
  }
  // Where every row is used as it lies, no buffer bounds its length.
  const int64_t most = all ? n : kBlock;
  for (int64_t line = 0; line < count; ++line) {
    for (int64_t done = 0; done < n; done += most) {
      const int64_t some = n - done < most ? n - done : most;
      const void* in[kMaxOperands];
      char* from[kMaxOperands + 1];
      for (int i = 0; i <= map.arity; ++i) {
        from[i] = at[i] + done * bytes[i];
        if (i) in[i - 1] = direct[i] ? from[i] : load_run(lanes[i], from[i], step[i], some);
      }
      map.loop(direct[0] ? from[0] : lanes[0].buffer, in, some, call);
      if (!direct[0])
        convert_run(from[0], call.operand[0].dtype, step[0], lanes[0].buffer, lanes[0].type, 1,
                    some);
    }
    for (int i = 0; i <= map.arity; ++i) at[i] += next[i];
  }
}

// The next n elements, more than a row.
void map_rows(const Map& map, const Call& call, Lane* lanes, const Position& start, int64_t n) {
  const Operand& out = call.operand[0];
  const void* in[kMaxOperands];
  for (int i = 1; i <= map.arity; ++i) in[i - 1] = load_rows(lanes[i], start, n);
  const bool direct = out.dtype == map.out && packed(out);
  map.loop(direct ? start.address(out) : lanes[0].buffer, in, n, call);
  if (!direct) store(lanes[0], start, n);
}

}  // namespace

void convert_run(void* dst, DType dt, int64_t ds, const void* src, DType st, int64_t ss,
                 int64_t n) {
  if (dt == st) {
    const int64_t size = dtype_size(dt);
    if (ds == 1 && ss == 1) {
      copy_bytes(dst, src, n * size);
      return;
    }
    switch (size) {
      case 1: return move_loop<uint8_t>(dst, ds, src, ss, n);
      case 2: return move_loop<uint16_t>(dst, ds, src, ss, n);
      case 4: return move_loop<uint32_t>(dst, ds, src, ss, n);
      case 8: return move_loop<uint64_t>(dst, ds, src, ss, n);
      default: return move_loop<c128_t>(dst, ds, src, ss, n);
    }
  }
  if (const Loop loop = loop_for(dt, st)) return loop(dst, ds, src, ss, n);
  convert_rare(dst, dt, ds, src, st, ss, n);
}

void run_map(const Map& given, const Call& call, const Range& range) {
  Map map = given;
  if (all_bf16(map, call)) map.loop = map.bf16, map.in = map.out = DType::bf16;
  // A lane holds 8 KiB; those of a call lie in the thread's scratch.
  Lane* lanes = reinterpret_cast<Lane*>(range.scratch);
  const Operand& out = call.operand[0];
  for (int i = 0; i <= map.arity; ++i) {
    lanes[i].operand = &call.operand[i];
    lanes[i].type = i ? map.in : map.out;
    lanes[i].filled = nullptr;
    if (i && !call.operand[i].data) fill_immediate(lanes[i]);
  }
  Position p(out, range.begin);
  for (int64_t left = range.end - range.begin; left > 0;) {
    const int64_t row = p.row_left() < left ? p.row_left() : left;
    int64_t n = row;
    if (row >= 64 || row == left) {
      const int64_t whole = left / row < p.rows_left() ? left / row : p.rows_left();
      map_lines(map, call, lanes, p, row, whole > 1 ? whole : 1);
      if (whole > 1) n = row * whole;
    } else {
      // Short rows are gathered into blocks, whole ones after the first.
      const int64_t length = out.sizes[out.ndim - 1], most = left < kBlock ? left : kBlock;
      n = row + (most - row) / length * length;
      map_rows(map, call, lanes, p, n);
    }
    for (int64_t done = 0; done < n;) {
      const int64_t run = p.row_left() < n - done ? p.row_left() : n - done;
      p.advance(run);
      done += run;
    }
    left -= n;
  }
}

}  // namespace trn::TRN_ISA_NAMESPACE
