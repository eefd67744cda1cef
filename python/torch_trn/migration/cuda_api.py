"""The one table of CUDA's names: what each becomes on trn. Docs, scanner and receipt read it.

Marks: ``same`` does on trn what it does on CUDA; ``adapted`` answers for trn, differing as noted;
``no-op`` is accepted and has nothing to do here; ``refused`` raises an error with the advice.
This module imports nothing of torch, so that sources can be scanned without it.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

MARKS = ("same", "adapted", "no-op", "refused")

# "[prefix]", then "mark names..." or "mark name: what happens | advice".
_TEXT = """
[torch.cuda]
same BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage
same DoubleStorage FloatStorage HalfStorage IntStorage LongStorage ShortStorage
same BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor
same LongTensor ShortTensor OutOfMemoryError AcceleratorError CudaError DeferredCudaCallError Event
same Stream StreamContext amp memory nvtx profiler random streams comm graphs
same caching_allocator_alloc caching_allocator_delete can_device_access_peer current_device
same current_stream default_generators default_stream device device_of device_memory_used
same empty_cache get_per_process_memory_fraction get_rng_state get_rng_state_all has_half
same host_memory_stats host_memory_stats_as_nested_dict init initial_seed is_available
same is_bf16_supported is_current_stream_capturing is_initialized manual_seed manual_seed_all
same max_memory_allocated max_memory_cached max_memory_reserved mem_get_info memory_allocated
same memory_cached memory_reserved memory_snapshot memory_stats memory_stats_as_nested_dict
same memory_summary memory_usage reset_accumulated_host_memory_stats
same reset_accumulated_memory_stats reset_max_memory_allocated reset_max_memory_cached
same reset_peak_host_memory_stats reset_peak_memory_stats seed seed_all set_device
same set_per_process_memory_fraction set_rng_state set_rng_state_all set_stream stream synchronize
same check_error cudaStatus CUDAGraph graph graph_pool_handle make_graphed_callables MemPool
same use_mem_pool
adapted device_count: TRN_DEVICES devices, of which CUDA_VISIBLE_DEVICES shows some
adapted get_allocator_backend: "native", trn's own caching allocator
adapted get_arch_list: instruction sets with kernels, such as avx512
adapted get_device_capability: (8, 0), the capability whose data types trn has; no claim to be it
adapted get_device_name: the processor's name
adapted get_device_properties: memory, threads and caches of the processor
adapted get_gencode_flags: instruction sets with kernels, such as avx512
adapted has_magma: false; linear algebra has kernels of its own or runs on the CPU, counted
adapted is_tf32_supported: false; torch.set_float32_matmul_precision rules instead
adapted list_gpu_processes: this process and its bytes
adapted utilization: load of the machine's cores in percent
adapted temperature: the processor's, where the machine tells it
adapted power_draw: the machine's, where it tells it
adapted clock_rate: the processor's, where the machine tells it
adapted ipc_collect: waits for the device; memory that processes share is freed with its last holder
adapted cudart: memory figures, profiler marks, host registration and error texts; no other call
adapted nccl: collectives over this process's devices, by copies; version() answers
adapted sparse: the old types; products of two sparse tensors run on the CPU, counted
adapted tunable: settings are kept; kernels are chosen by the processor, so nothing is tuned
no-op caching_allocator_enable: the cache stays on
no-op caching_allocator_disabled: the cache stays on
adapted set_sync_debug_mode: operators that make the host wait warn or raise
same get_sync_debug_mode
refused CUDAPluggableAllocator: a CUDA library cannot allocate trn memory | TRN_MEMORY sets capacity
refused change_current_allocator: trn keeps its allocator | set TRN_MEMORY for its capacity
refused GreenContext: processors cannot be partitioned | use torch.cuda.Stream
adapted ExternalStream: a stream of this process, by its handle
adapted get_stream_from_external: a stream of this process, by its handle
refused current_blas_handle: there is no cuBLAS | call torch.matmul and its kin
refused current_solver_handle: there is no cuSOLVER | call torch.linalg
refused jiterator: CUDA C++ cannot be compiled for trn | write it with PyTorch operators

[torch.cuda.amp]
same autocast GradScaler custom_fwd custom_bwd amp_definitely_not_available

[torch.cuda.comm]
same broadcast broadcast_coalesced reduce_add reduce_add_coalesced scatter gather

[torch.cuda.nccl]
adapted all_reduce: copies to the first device, adds, copies back
adapted reduce: copies to the root device and adds
adapted broadcast: copies from the first device
adapted all_gather: copies to every device
adapted reduce_scatter: copies, adds, and splits
adapted version: (2, 27, 3), for programs that ask for a lowest version
adapted is_available: true for contiguous tensors on different devices
refused init_rank: there is no NCCL | torch.distributed.init_process_group
refused unique_id: there is no NCCL | torch.distributed.init_process_group

[torch.cuda.graphs]
same is_current_stream_capturing CUDAGraph graph graph_pool_handle make_graphed_callables

[torch.cuda.gds]
refused gds_register_buffer: GPUDirect storage needs a GPU | torch.load(..., mmap=True)
refused gds_deregister_buffer: GPUDirect storage needs a GPU | torch.load(..., mmap=True)
refused GdsFile: GPUDirect storage needs a GPU | torch.load(..., mmap=True)

[torch.cuda.jiterator]
refused _create_jit_fn: CUDA C++ cannot be compiled for trn | write it with PyTorch operators
refused _create_multi_output_jit_fn: CUDA C++ cannot be compiled | write PyTorch operators

[torch.cuda.memory]
same _record_memory_history _snapshot _dump_snapshot

[torch.cuda.profiler]
adapted start: waits for the device; an outside profiler sees the mark
adapted stop: waits for the device; an outside profiler sees the mark
adapted profile: start() and stop() around the block

[torch.cuda.nvtx]
adapted mark: a record_function range of no length
adapted range: a record_function range
adapted range_push: a record_function range
adapted range_pop: ends it
adapted range_start: a record_function range
adapted range_end: ends it

[torch.cuda.sparse]
same BFloat16Tensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor
same ShortTensor

[torch.cuda.tunable]
no-op enable is_enabled tuning_enable tuning_is_enabled record_untuned_enable
no-op record_untuned_is_enabled set_max_tuning_duration get_max_tuning_duration
no-op set_max_tuning_iterations get_max_tuning_iterations set_filename get_filename get_results
no-op get_validators set_rotating_buffer_size get_rotating_buffer_size
no-op set_numerical_check_tolerances read_file
refused tune_gemm_in_file: there is nothing to tune | remove the call
refused mgpu_tune_gemm_in_file: there is nothing to tune | remove the call

[torch]
same device
same Generator: torch.Generator("cuda") is trn's Philox generator with CUDA's 16-byte state
adapted compile: Inductor's C++ loops on trn's queue; reduce-overhead replays graphs
same _inductor.aot_compile _inductor.aoti_compile_and_package _inductor.aoti_load_package
same autocast amp.autocast amp.GradScaler
same load: any map_location; files saved on CUDA open as they are
adapted version.cuda: "13.0", for programs that ask for a lowest version
adapted jit.script: works, but for x.to("cuda") inside; a device test there sees trn, not cuda
adapted autograd.profiler.profile: use_cuda and use_device="cuda" time trn, by its timeline
adapted autograd.profiler.profile.use_cuda profiler.profile.use_cuda: times trn, by its timeline
adapted profiler.ProfilerActivity.CUDA: times trn, by its timeline
no-op autograd.profiler.emit_nvtx: operators are torch.profiler's ranges; there is no NVTX
same library.impl: the key "CUDA" means trn's

[torch.Tensor]
same cuda is_cuda to pin_memory record_stream

[torch.nn.Module]
same cuda to

[torch.nn]
adapted DataParallel: replicas, scattered and gathered by copies between devices

[torch.backends.cuda]
adapted is_built: true
same matmul.allow_fp16_reduced_precision_reduction matmul.allow_bf16_reduced_precision_reduction
adapted matmul.allow_tf32: float32 products may use bfloat16 parts, as precision "high" says
same enable_flash_sdp enable_mem_efficient_sdp enable_math_sdp enable_cudnn_sdp sdp_kernel
no-op cufft_plan_cache: there are no plans; it reads as empty
no-op preferred_linalg_library: remembered; there is one
no-op preferred_blas_library: remembered; there is one

[torch.backends.cudnn]
adapted version: 91002, for programs that ask for a lowest version
adapted is_available: true
adapted is_acceptable: false; convolutions and recurrent layers have kernels of their own
no-op benchmark: kernels are chosen by the processor
no-op deterministic: kernels always give the same bits
same enabled flags
no-op allow_tf32: convolutions keep float32

[torch.distributed]
adapted init_process_group: "nccl" is trn's backend over Gloo; get_backend() says "nccl"
adapted new_group: "nccl" is trn's backend over Gloo
adapted get_backend: says "nccl" for trn's backend
adapted is_nccl_available: whether trn's backend is there
adapted ProcessGroupNCCL: where torch has none, a name that no group is; its Options do nothing

[torch.utils.cpp_extension]
refused CUDAExtension: CUDA C++ cannot be compiled for trn | CppExtension with ATen, or operators
refused load_inline.cuda_sources: CUDA C++ cannot be compiled for trn | cpp_sources with ATen
adapted CUDA_HOME: None, as where no CUDA toolkit is installed

[package]
adapted flash_attn: where it is not installed, its functions over scaled_dot_product_attention
adapted apex: where it is not installed, its optimizers, norms, amp and parallel over torch's own
adapted xformers: where it is not installed, xformers.ops' attention over PyTorch's
adapted bitsandbytes: where it is not installed, its optimizers with full states; no quantized layer
refused pynvml: it talks to NVIDIA's driver | torch.cuda.mem_get_info, torch.cuda.utilization
refused triton: Triton kernels need a GPU | keep the PyTorch path the library falls back to
refused cupy cupyx: CuPy arrays need a GPU | numpy, or torch operators
refused pycuda: it talks to NVIDIA's driver | torch operators
refused cuda.bindings cuda.core cuda.cuda cuda.cudart: there is no CUDA runtime | torch.cuda
refused cuda.nvrtc: CUDA C++ cannot be compiled for trn | write it with PyTorch operators
refused cudf: its tables need a GPU | pandas
refused cuml: its kernels need a GPU | scikit-learn
refused rmm: a CUDA library cannot allocate trn memory | TRN_MEMORY sets capacity
refused nvidia.dali: its pipelines need a GPU | torch.utils.data
refused numba.cuda: CUDA kernels need a GPU | numba on the CPU, or torch operators
refused tensorrt torch_tensorrt: TensorRT needs a GPU | torch.compile
refused transformer_engine: its kernels are CUDA C++ | torch.nn layers

[library]
refused libcuda libcudart libnvidia-ml: there is no CUDA driver | torch.cuda
refused libcublas libcublasLt: there is no cuBLAS | call torch.matmul and its kin
refused libcusolver libcusparse: it needs a GPU | call torch.linalg, torch.sparse
refused libcudnn libcufft libcurand: it needs a GPU | call torch's operators
refused libnccl: there is no NCCL | torch.distributed.init_process_group
refused libnvrtc: CUDA C++ cannot be compiled for trn | write it with PyTorch operators

[environment]
same CUDA_VISIBLE_DEVICES: how many trn devices a program sees
same CUDA_LAUNCH_BLOCKING: 1 waits for every kernel, so that errors come at their line
no-op PYTORCH_CUDA_ALLOC_CONF: accepted; trn's cache has one policy
no-op PYTORCH_ALLOC_CONF: accepted; trn's cache has one policy
no-op CUDA_DEVICE_ORDER: all devices are alike
no-op CUBLAS_WORKSPACE_CONFIG: products always give the same bits
no-op NCCL_*: there is no NCCL
no-op TORCH_CUDA_ARCH_LIST: no CUDA C++ is compiled
no-op CUDA_HOME: there is no CUDA toolkit to be found
"""

#: Modules whose public names are those of another, as torch imports them there.
ALIASES = {**dict.fromkeys(("torch.cuda.memory", "torch.cuda.random", "torch.cuda.streams"),
                           "torch.cuda"),
           **dict.fromkeys(("torch.cuda.amp.autocast_mode", "torch.cuda.amp.common",
                            "torch.cuda.amp.grad_scaler"), "torch.cuda.amp")}


@dataclass(frozen=True)
class Row:
    """One name: its mark, what happens, and for a refused one what to do instead."""

    name: str
    mark: str
    what: str = ""
    advice: str = ""

    @property
    def text(self) -> str:
        """What happens, in a sentence part."""
        return self.what or "works on trn as on CUDA"


def _parse(text: str) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    prefix = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("["):
            prefix = "" if line == "[environment]" else line[1:-1] + "."
            continue
        mark, rest = line.split(" ", 1)
        if mark not in MARKS:
            raise ValueError(f"no such mark: {line}")
        names, _, note = rest.partition(": ")
        what, _, advice = (part.strip() for part in note.partition(" | "))
        for name in names.split():
            full = prefix + name
            if full in rows:
                raise ValueError(f"twice in the table: {full}")
            rows[full] = Row(full, mark, what, advice)
    return rows


@functools.cache
def rows() -> dict[str, Row]:
    """{qualified name: row}, in the table's order."""
    return _parse(_TEXT)


def find(name: str) -> Row | None:
    """The row of a qualified name or variable (``NCCL_DEBUG`` has that of all), or None."""
    table = rows()
    if name in table:
        return table[name]
    for alias, home in ALIASES.items():
        if name.startswith(alias + "."):
            return table.get(home + name[len(alias):])
    return table["NCCL_*"] if re.fullmatch("NCCL_[A-Z0-9_]+", name) else None


def refusal(name: str) -> str:
    """The words of the error that a refused name raises."""
    row = rows()[name]
    return f"{name} is not available on trn: {row.what}. Instead: {row.advice}."
