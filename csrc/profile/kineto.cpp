// torch.profiler's timeline of this device: a plugin of Kineto.
#define FMT_HEADER_ONLY 1
#define USE_KINETO 1
#include <IActivityProfiler.h>
#include <ThreadUtil.h>
#include <c10/util/ApproximateClock.h>
#include <libkineto.h>
#include <output_base.h>
#include <torch/csrc/profiler/standalone/privateuse1_profiler.h>

#include <set>
#include <utility>

#include "base/site.h"
#include "runtime/device.h"
#include "runtime/trace.h"

namespace trn::profile {
namespace {

using libkineto::ActivityType;
using libkineto::GenericTraceActivity;
using runtime::TraceRecord;

// Operators open on this thread, outermost first.
thread_local std::vector<uint64_t> open_operators;

ActivityType type_of(const TraceRecord& r) {
  switch (r.kind) {
    case driver::PacketKind::kernel: return ActivityType::CONCURRENT_KERNEL;
    case driver::PacketKind::fill: return ActivityType::GPU_MEMSET;
    default: return ActivityType::GPU_MEMCPY;
  }
}

std::string name_of(const TraceRecord& r) {
  if (r.name) return r.name;
  if (r.kernel)
    return std::string(r.kernel->name) + "_" + dtype_name(r.kernel->dtype) + "_" +
           isa_name(r.kernel->isa);
  if (r.kind == driver::PacketKind::fill) return "Memset (Device)";
  static const char* const names[] = {"Memcpy HtoD (Host -> Device)",
                                      "Memcpy DtoH (Device -> Host)",
                                      "Memcpy DtoD (Device -> Device)"};
  return names[static_cast<int>(r.direction)];
}

// What the launching thread did, in the words of CUDA's runtime.
const char* call_of(const TraceRecord& r) {
  switch (type_of(r)) {
    case ActivityType::CONCURRENT_KERNEL: return "trnLaunchKernel";
    case ActivityType::GPU_MEMSET: return "trnMemsetAsync";
    default: return "trnMemcpyAsync";
  }
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

class Session final : public libkineto::IActivityProfilerSession {
 public:
  void start() override {
    status_ = libkineto::TraceStatus::RECORDING;
    span_.startTime = c10::getTime();
    runtime::start_trace();
  }
  void stop() override {
    records_ = runtime::stop_trace();
    span_.endTime = c10::getTime();
    status_ = libkineto::TraceStatus::PROCESSING;
  }
  std::vector<std::string> errors() override { return {}; }

  void processTrace(libkineto::ActivityLogger& logger) override {
    processTrace(logger, [](int32_t) { return nullptr; }, span_.startTime, span_.endTime);
  }
  void processTrace(libkineto::ActivityLogger& logger, libkineto::getLinkedActivityCallback linked,
                    int64_t, int64_t) override {
    buffer_ = std::make_unique<libkineto::CpuTraceBuffer>();
    buffer_->span = span_;
    buffer_->gpuOpCount = static_cast<int>(records_.size());
    // Numbers of launches; operators count from 1, so these begin far from theirs.
    int32_t id = 1 << 30;
    for (const TraceRecord& r : records_) {
      const libkineto::ITraceActivity* op = linked(static_cast<int32_t>(r.correlation));
      add_call(r, ++id, op);
      add_work(r, id, op);
    }
    for (const auto& activity : buffer_->activities) logger.handleGenericActivity(*activity);
  }

  std::unique_ptr<libkineto::DeviceInfo> getDeviceInfo() override {
    const int64_t id = records_.empty() ? 0 : records_.front().device;
    return std::make_unique<libkineto::DeviceInfo>(libkineto::DeviceInfo{
        id, libkineto::kExceedMaxPid + id, "trn", "TRN " + std::to_string(id)});
  }
  std::vector<libkineto::ResourceInfo> getResourceInfos() override {
    std::set<std::pair<int64_t, int64_t>> streams;
    for (const TraceRecord& r : records_) streams.insert({r.device, r.stream});
    std::vector<libkineto::ResourceInfo> all;
    for (const auto& [device, stream] : streams)
      all.push_back({stream, stream, device, "stream " + std::to_string(stream)});
    return all;
  }
  // Objects of JSON by CUDA's names, for tools that show what a trace was recorded on.
  std::string getDeviceProperties() override {
    std::string all;
    if (!runtime::is_initialized()) return all;  // to ask opens them
    for (c10::DeviceIndex i = 0; i < runtime::device_count(); ++i) {
      const driver::Properties p = runtime::device(i).properties();
      all += std::string(i ? ", " : "") + "{\"id\": " + std::to_string(i) + ", \"name\": \"" +
             escaped(p.name) + "\", \"totalGlobalMem\": " + std::to_string(p.total_memory) +
             ", \"numSms\": " + std::to_string(driver::compute_threads()) + ", \"driver\": \"" +
             escaped(p.driver) + "\", \"kernels\": \"" + isa_name(active_isa()) + "\"}";
    }
    return all;
  }
  std::unique_ptr<libkineto::CpuTraceBuffer> getTraceBuffer() override {
    return std::move(buffer_);
  }

  void pushCorrelationId(uint64_t id) override {
    open_operators.push_back(id);
    runtime::set_correlation(id);
  }
  void popCorrelationId() override {
    if (!open_operators.empty()) open_operators.pop_back();
    runtime::set_correlation(open_operators.empty() ? 0 : open_operators.back());
  }

 private:
  // One end of the arrow from a launch to its work.
  GenericTraceActivity& add(ActivityType type, const std::string& name, int32_t id,
                            const libkineto::ITraceActivity* op, bool is_start) {
    buffer_->emplace_activity(buffer_->span, type, name);
    GenericTraceActivity& a = *buffer_->activities.back();
    a.id = id;
    a.linked = op;
    a.flow.id = static_cast<uint32_t>(id);
    a.flow.type = libkineto::kLinkAsyncCpuGpu;
    a.flow.start = is_start;
    a.addMetadata("correlation", id);
    return a;
  }

  void add_call(const TraceRecord& r, int32_t id, const libkineto::ITraceActivity* op) {
    GenericTraceActivity& a = add(ActivityType::PRIVATEUSE1_RUNTIME, call_of(r), id, op, true);
    a.startTime = r.queued_from;
    a.endTime = r.queued_to;
    a.device = libkineto::processId();
    a.resource = a.threadId = r.thread;
  }

  void add_work(const TraceRecord& r, int32_t id, const libkineto::ITraceActivity* op) {
    GenericTraceActivity& a = add(type_of(r), name_of(r), id, op, false);
    a.startTime = r.begin;
    a.endTime = r.end;
    a.device = r.device;
    a.resource = static_cast<int32_t>(r.stream);
    a.addMetadata("device", static_cast<int>(r.device));
    a.addMetadata("stream", r.stream);
    if (r.kernel) {
      a.addMetadata("work items", r.work);
      a.addMetadataQuoted("operands", r.operands);
    } else {
      a.addMetadata("bytes", r.bytes);
    }
    const std::string line = site_text(r.site);
    if (!line.empty()) a.addMetadataQuoted("python line", escaped(line));
  }

  libkineto::TraceSpan span_{0, 0, "trn"};
  std::vector<TraceRecord> records_;
  std::unique_ptr<libkineto::CpuTraceBuffer> buffer_;
};

class Profiler final : public libkineto::IActivityProfiler {
 public:
  const std::string& name() const override {
    static const std::string text = "trn";
    return text;
  }
  const std::set<ActivityType>& availableActivities() const override {
    static const std::set<ActivityType> types{
        ActivityType::CONCURRENT_KERNEL, ActivityType::GPU_MEMCPY, ActivityType::GPU_MEMSET,
        ActivityType::PRIVATEUSE1_RUNTIME, ActivityType::PRIVATEUSE1_DRIVER};
    return types;
  }
  std::unique_ptr<libkineto::IActivityProfilerSession> configure(
      const std::set<ActivityType>& wanted, const libkineto::Config&) override {
    // Kineto asks in every profile, and in one of the CPU alone it names the runtime's calls too.
    if (!wanted.count(ActivityType::CONCURRENT_KERNEL)) return nullptr;
    return std::make_unique<Session>();
  }
  std::unique_ptr<libkineto::IActivityProfilerSession> configure(
      int64_t, int64_t, const std::set<ActivityType>& wanted,
      const libkineto::Config& config) override {
    return configure(wanted, config);
  }
};

REGISTER_PRIVATEUSE1_PROFILER(Profiler);

}  // namespace
}  // namespace trn::profile
