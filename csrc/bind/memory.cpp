// Memory's snapshot and history, in the form that torch's memory viewer reads.
#include <torch/csrc/profiler/combined_traceback.h>
#include <torch/csrc/utils/pybind.h>

#include "bind/bind.h"
#include "runtime/allocator.h"
#include "runtime/pinned.h"
#include "runtime/shared.h"

namespace py = pybind11;

namespace trn::bind {
namespace {

using c10::CachingDeviceAllocator::BlockInfo;
using c10::CachingDeviceAllocator::SegmentInfo;
using c10::CachingDeviceAllocator::TraceEntry;

std::shared_ptr<c10::GatheredContext> gather_python() {
  return torch::CapturedTraceback::gather(/*python=*/true, /*script=*/true, /*cpp=*/false);
}

// Stacks are turned into text together at the end: one symbolisation for all of them.
struct Frames {
  std::vector<torch::CapturedTraceback*> stacks;
  std::vector<py::dict> owners;

  void add(const std::shared_ptr<c10::GatheredContext>& context, const py::dict& owner) {
    owner["frames"] = py::list();
    if (auto* stack = dynamic_cast<torch::CapturedTraceback*>(context.get())) {
      stacks.push_back(stack);
      owners.push_back(owner);
    }
  }
  void resolve() {
    const torch::SymbolizedTracebacks text = torch::symbolize(stacks);
    std::vector<py::dict> all;
    for (const auto& frame : text.all_frames) {
      py::dict& d = all.emplace_back();
      d["filename"] = frame.filename;
      d["name"] = frame.funcname;
      d["line"] = frame.lineno;
    }
    for (size_t i = 0; i < owners.size(); ++i) {
      py::list frames;
      for (const uint64_t at : text.tracebacks[i]) frames.append(all[at]);
      owners[i]["frames"] = frames;
    }
  }
};

int64_t number(const void* handle) { return reinterpret_cast<int64_t>(handle); }

py::dict segment_dict(const SegmentInfo& segment, Frames& frames) {
  py::dict d;
  d["device"] = static_cast<int>(segment.device);
  d["address"] = segment.address;
  d["total_size"] = segment.total_size;
  d["allocated_size"] = segment.allocated_size;
  d["active_size"] = segment.active_size;
  d["requested_size"] = segment.requested_size;
  d["stream"] = number(segment.stream);
  d["segment_type"] = segment.is_large ? "large" : "small";
  d["segment_pool_id"] =
      py::make_tuple(segment.owner_private_pool_id.first, segment.owner_private_pool_id.second);
  d["is_expandable"] = segment.is_expandable;
  frames.add(segment.context_when_allocated, d);
  py::list blocks;
  size_t address = segment.address;
  for (const BlockInfo& block : segment.blocks) {
    py::dict b;
    b["address"] = address;
    b["size"] = block.size;
    b["requested_size"] = block.requested_size;
    b["state"] = block.allocated ? "active_allocated"
                 : block.active  ? "active_awaiting_free"
                                 : "inactive";
    frames.add(block.context_when_allocated, b);
    blocks.append(b);
    address += block.size;
  }
  d["blocks"] = blocks;
  return d;
}

const char* action_name(TraceEntry::Action action) {
  switch (action) {
    case TraceEntry::ALLOC: return "alloc";
    case TraceEntry::FREE_REQUESTED: return "free_requested";
    case TraceEntry::FREE_COMPLETED: return "free_completed";
    case TraceEntry::SEGMENT_ALLOC: return "segment_alloc";
    case TraceEntry::SEGMENT_FREE: return "segment_free";
    case TraceEntry::SEGMENT_MAP: return "segment_map";
    case TraceEntry::SEGMENT_UNMAP: return "segment_unmap";
    case TraceEntry::SNAPSHOT: return "snapshot";
    case TraceEntry::OOM: return "oom";
  }
  return "unknown";
}

py::dict entry_dict(const TraceEntry& e, Frames& frames) {
  py::dict d;
  d["action"] = action_name(e.action_);
  d[e.action_ == TraceEntry::OOM ? "device_free" : "addr"] = e.addr_;
  d["size"] = e.size_;
  d["stream"] = number(e.stream_);
  d["time_us"] = e.time_.t_;
  d["compile_context"] = e.compile_context_;
  d["user_metadata"] = e.user_metadata_;
  d["pool_id"] = py::make_tuple(e.mempool_.first, e.mempool_.second);
  frames.add(e.context_, d);
  return d;
}

py::dict snapshot() {
  runtime::Snapshot s;
  {
    const py::gil_scoped_release release;  // the allocator's lock is taken without the GIL
    s = runtime::memory_snapshot();
  }
  Frames frames;
  py::list segments, traces;
  for (const SegmentInfo& segment : s.segments) segments.append(segment_dict(segment, frames));
  for (const auto& trace : s.traces) {
    py::list one;
    for (const TraceEntry& e : trace) one.append(entry_dict(e, frames));
    traces.append(one);
  }
  frames.resolve();
  py::dict settings;
  settings["PYTORCH_CUDA_ALLOC_CONF"] = "";
  settings["max_split_size"] = -1;
  settings["garbage_collection_threshold"] = 0.0;
  settings["expandable_segments"] = false;
  settings["pinned_num_register_threads"] = 1;
  settings["release_lock_on_malloc"] = false;
  settings["pinned_use_host_register"] = false;
  settings["roundup_power2_divisions"] = py::dict();
  py::dict out;
  out["segments"] = segments;
  out["device_traces"] = traces;
  out["allocator_settings"] = settings;
  out["external_annotations"] = py::list();
  return out;
}

py::dict stat_dict(const c10::CachingAllocator::Stat& s) {
  py::dict d;
  d["current"] = s.current;
  d["peak"] = s.peak;
  d["allocated"] = s.allocated;
  d["freed"] = s.freed;
  return d;
}
py::dict duration_dict(const c10::CachingAllocator::DurationStat& s) {
  py::dict d;
  d["total"] = s.total;
  d["max"] = s.max;
  d["min"] = s.min;
  d["count"] = s.count;
  d["avg"] = s.count ? static_cast<double>(s.total) / static_cast<double>(s.count) : 0.0;
  return d;
}

py::dict host_stats() {
  const at::HostStats s = runtime::pinned_stats();
  py::dict d;
  d["num_host_alloc"] = s.num_host_alloc;
  d["num_host_free"] = s.num_host_free;
  d["allocations"] = stat_dict(s.allocations);
  d["allocated_bytes"] = stat_dict(s.allocated_bytes);
  d["active_requests"] = stat_dict(s.active_requests);
  d["active_bytes"] = stat_dict(s.active_bytes);
  d["host_alloc_time"] = duration_dict(s.host_alloc_time);
  d["host_free_time"] = duration_dict(s.host_free_time);
  return d;
}

// The function stays for the life of the process, as CUDA's does.
void attach_out_of_memory_observer(const py::function& observer) {
  PyObject* held = py::function(observer).release().ptr();
  runtime::attach_out_of_memory_observer(
      [held](int64_t device, int64_t asked, int64_t total, int64_t free) {
        const py::gil_scoped_acquire acquire;
        py::handle{held}(device, asked, total, free);
      });
}

}  // namespace

void add_memory(py::module_& m) {
  m.def("_memory_snapshot", &snapshot);
  m.def("_record_memory_history", [](bool enabled, bool stacks, size_t max_entries) {
    const py::gil_scoped_release release;
    runtime::record_memory_history(enabled, stacks ? &gather_python : nullptr, max_entries);
  });
  m.def("_host_memory_stats", &host_stats);
  m.def("_reset_accumulated_host_memory_stats", &runtime::reset_accumulated_pinned_stats);
  m.def("_reset_peak_host_memory_stats", &runtime::reset_peak_pinned_stats);
  m.def("_is_memory_history_enabled", &runtime::is_memory_history_enabled);
  m.def("_attach_out_of_memory_observer", &attach_out_of_memory_observer);
  m.def("_share_storage", [](const at::Storage& storage) {
    const py::gil_scoped_release release;
    return runtime::share(storage);
  });
  m.def("_open_shared_storage", [](int fd, int64_t bytes, int device) {
    const py::gil_scoped_release release;
    return runtime::open_shared(fd, bytes, static_cast<c10::DeviceIndex>(device));
  });
  m.def("_set_memory_fraction", [](double fraction, int device) {
    runtime::set_memory_fraction(fraction, static_cast<c10::DeviceIndex>(device));
  });
  m.def("_memory_fraction",
        [](int device) { return runtime::memory_fraction(static_cast<c10::DeviceIndex>(device)); });
}

}  // namespace trn::bind
