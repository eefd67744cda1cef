"""The programs that scripts/ported.py runs: where they come from, how they are called."""

from __future__ import annotations

from dataclasses import dataclass, field

# Public sources, each at the commit that the page is about.
SOURCES = {
    "nanoGPT": ("https://github.com/karpathy/nanoGPT", "3adf61e154c3fe3fca428ad6bc3818b27a3b8291"),
    "minGPT": ("https://github.com/karpathy/minGPT", "37baab71b9abea1b76ab957409a1cc2fbfba8a26"),
    "examples": ("https://github.com/pytorch/examples",
                 "77f55b912142e11fcfdf5b530231fb9c52f181e8"),
    "makemore": ("https://github.com/karpathy/makemore",
                 "988aa59e4d8fefa526d06f3b453ad116258398d4"),
    "ng-video-lecture": ("https://github.com/karpathy/ng-video-lecture",
                         "52201428ed7b46804849dea0b3ccf0de9df1a5c3"),
    "PyTorch-GAN": ("https://github.com/eriklindernoren/PyTorch-GAN",
                    "36d3c77e5ff20ebe0aeefd322326a134a279b93e"),
    "pytorch-tutorial": ("https://github.com/yunjey/pytorch-tutorial",
                         "0500d3df5a2a8080ccfccbc00aca0eacc21818db"),
    "modded-nanogpt": ("https://github.com/KellerJordan/modded-nanogpt",
                       "844e5fdb2334ff83324e6f1f900ce443dd9e1226"),
    "nanochat": ("https://github.com/karpathy/nanochat",
                 "92d63d4e8bb4df75c3b71618f31ddde2378b2bcd"),
}
OWN = "tests/migrate/programs"  # programs of our own that use public libraries


@dataclass(frozen=True)
class Program:
    """A program and its command.

    ``on_cpu`` are words added for the CPU's run, or with a leading minus sign taken away;
    ``losses`` finds the numbers that have to agree, within ``tolerance`` (relative); ``why`` says
    why that is not 0.02. ``cpu_start`` are Python statements before the CPU's run of a program that
    takes a GPU for granted. ``operators`` is for programs whose losses cannot agree, since they
    draw weights or noise on the device: every operator's result is compared with the CPU's instead.
    ``gpu_only`` is for programs that end at once without a GPU, so that there is no run to compare
    with: they have to end well, with nothing left on the CPU.
    """

    source: str
    folder: str
    command: str
    exercises: str
    on_cpu: tuple[str, ...] = ()
    losses: str = r"[Ll]oss:?\s+([0-9.]+)"
    tolerance: float = 0.02
    why: str = ""
    samples: int = 640
    needs: tuple[str, ...] = ()
    processes: int = 1
    cpu_start: str = ""
    env: dict[str, str] = field(default_factory=dict)
    operators: bool = False
    gpu_only: bool = False


DROPOUT = "dropout draws other numbers than the CPU's"
DEVICE_RANDOM = "random numbers are drawn on the device"
_STEP = r"iter \d+: loss ([0-9.]+)"
_NANO = ("config/train_shakespeare_char.py --max_iters={} --eval_iters=2 --eval_interval=10 "
         "--log_interval=5 --n_layer=2 --n_embd=64 --n_head=2 --block_size=64 --batch_size=8 "
         "--dropout=0.0 --out_dir=out-ported ")


def _nano(flags: str, exercises: str, on_cpu: tuple[str, ...] = (), iterations: int = 20,
          **more) -> Program:
    return Program("nanoGPT", ".", "train.py " + _NANO.format(iterations) + flags, exercises,
                   ("--device=cpu", *on_cpu), _STEP, **more)


_NANOGPT = [
    _nano("--compile=False --dtype=float32",
          "attention, fused AdamW, pinned memory, checkpoints"),
    _nano("--compile=False --dtype=bfloat16", "autocast in bfloat16"),
    _nano("--compile=False --dtype=float16", "autocast in float16, GradScaler",
          ("--dtype=float32",)),
    _nano("--compile=True --dtype=float32", "torch.compile, in both runs"),
    _nano("--compile=True --dtype=bfloat16", "torch.compile under autocast"),
    _nano("--compile=False --dtype=float32 --gradient_accumulation_steps=2",
          "torchrun, DistributedDataParallel over nccl", ("--gradient_accumulation_steps=1",),
          tolerance=0.1, why="the second process draws other batches; the CPU's run is one process",
          processes=2),
    Program("nanoGPT", ".", "sample.py --out_dir=out-ported --num_samples=2 --max_new_tokens=60 "
            "--dtype=float32 --top_k=1", "torch.load to cuda, generation",
            ("--device=cpu",), r"^(?!number|Overriding|Loading)(.+)$", needs=("tiktoken",)),
    Program("nanoGPT", ".", "bench.py --real_data=False --batch_size=1 --block_size=16 "
            "--compile=False --dtype=float32", "GPT-2 of 124 million parameters", ("--device=cpu",),
            r"^[0-3]/\d+ loss: ([0-9.]+)", tolerance=0.2, why=DEVICE_RANDOM,
            cpu_start="import torch; torch.cuda.synchronize = lambda: None"),
]
_MINGPT = [
    Program("minGPT", ".", "projects/adder/adder.py --trainer.max_iters=40 "
            "--trainer.num_workers=0", "DataLoader, AdamW, sampling", ("--trainer.device=cpu",),
            r"train loss ([0-9.]+)", tolerance=0.1, why=DROPOUT),
    Program("minGPT", ".", "projects/chargpt/chargpt.py --trainer.max_iters=40 "
            "--model.model_type=gpt-nano --trainer.batch_size=8 --trainer.num_workers=0",
            "generation by multinomial, checkpoints", ("--trainer.device=cpu",),
            r"train loss ([0-9.]+)", tolerance=0.1, why=DROPOUT),
]
_ACCEL = ("-", "--accel")
_EXAMPLES = [
    Program("examples", "mnist", "main.py --epochs 1 --save-model",
            "convolutions, Adadelta, StepLR", tolerance=0.3, why=DROPOUT, samples=1920),
    Program("examples", "mnist_rnn", "main.py --epochs 1 --accel", "LSTM over rows of pixels",
            _ACCEL, tolerance=0.2, why=DROPOUT),
    Program("examples", "mnist_forward_forward", "main.py --epochs 20 --train_size 500 "
            "--test_size 60", "losses per layer, no full backward pass",
            losses=r"(?:Loss: |error: )\s*([0-9.]+)", tolerance=0.1,
            why="the CPU's run of the program does not shuffle"),
    Program("examples", "vae", "main.py --epochs 2 --batch-size 64",
            "reparametrisation, images written",
            losses=r"(?:Average|Test set) loss: ([0-9.]+)", tolerance=0.05, why=DEVICE_RANDOM,
            samples=1280),
    Program("examples", "dcgan", "main.py --dataset fake --imageSize 64 --batchSize 16 --ngf 16 "
            "--ndf 16 --niter 1 --manualSeed 1 --accel --workers 1",
            "transposed convolutions, two optimizers", _ACCEL, r"Loss_D: ([0-9.]+)",
            why=DEVICE_RANDOM, samples=160, operators=True),
    Program("examples", "imagenet", "main.py --dummy --arch resnet18 --epochs 1 -b 8 -j 1 -p 1 "
            "--seed 0", "ResNet-18, DataParallel, pinned memory, workers",
            losses=r"Loss (\S+) \(", tolerance=0.05, samples=40,
            why="batch statistics of half batches: two devices"),
    Program("examples", "gcn", "main.py --epochs 60 --dropout-p 0", "sparse products",
            losses=r"loss(?:_train|_val)?:? ([0-9.]+)"),
    *(Program("examples", "word_language_model", "main.py --epochs 1 --emsize 32 --nhid 32 "
              "--batch_size 8 --bptt 20 --log-interval 20 --dropout 0 --lr 2 --accel "
              f"--model {model}", text, _ACCEL, r"loss\s+([0-9.]+)")
      for model, text in (("LSTM", "LSTM, gradient clipping, checkpoints"), ("GRU", "GRU"),
                          ("RNN_TANH", "plain recurrence"),
                          ("Transformer --nhead 2", "torch.nn.Transformer"))),
]
_SHARED = "distributed/"
_DISTRIBUTED = [
    Program("examples", _SHARED + folder, command, text, gpu_only=True, processes=processes)
    for folder, command, processes, text in (
        ("ddp", "example.py", 2, "torchrun, DistributedDataParallel, the accelerator's backend"),
        ("ddp-tutorial-series", "single_gpu.py 2 1", 1, "a device by its number"),
        ("ddp-tutorial-series", "multigpu.py 2 1", 1, "DDP over nccl, processes by mp.spawn"),
        ("ddp-tutorial-series", "multigpu_torchrun.py 2 1", 2, "DDP, snapshots by map_location"),
        ("FSDP2", "example.py", 2, "fully_shard from meta, distributed checkpoint"),
        ("FSDP2", "example.py --mixed-precision --explicit-prefetching --dcp-api", 2,
         "fully_shard in bfloat16, prefetching"),
        ("tensor_parallelism", "tensor_parallel_example.py", 2, "device mesh, DTensor"),
        ("tensor_parallelism", "sequence_parallel_example.py", 2, "sequence parallelism"),
    )]
_HOGWILD = [
    Program("examples", "mnist_hogwild", "main.py --epochs 1 --cuda", "parameters that processes "
            "share", ("-", "--cuda"), r"Average loss: ([0-9.]+)", tolerance=0.2, samples=1280,
            why="the processes' updates come in any order"),
    Program("examples", "siamese_network", "main.py --epochs 1 --dry-run --batch-size 8",
            "ResNet-18 of two images", ("--no-accel",), why="pairs are drawn at random",
            samples=960, operators=True),
    Program("examples", "gat", "main.py --epochs 4 --val-every 1 --dropout-p 0", "graph attention",
            ("--no-accel",), r"loss(?:_train|_val)?:? ([0-9.]+)"),
]
_LESSONS = [
    *(Program("makemore", ".", "makemore.py --device cuda --max-steps 40 --num-workers 0 "
              f"-o out-ported-{model} --type {model}", text, ("--device", "cpu"),
              r"loss ([0-9.]+)", needs=("tensorboard",))
      for model, text in (("transformer", "a transformer of characters"), ("gru", "GRU cells"),
                          ("bow", "masked averages"), ("mlp", "embeddings, concatenated"))),
    Program("ng-video-lecture", ".", "bigram.py", "3,000 small steps, generation",
            losses=r"loss ([0-9.]+)"),
]
_GANS = [
    Program("PyTorch-GAN", f"implementations/{name}", f"{name}.py --n_epochs 1 --batch_size 32",
            text, losses=r"D loss: (\S+)\]", why="unseeded noise", samples=96, operators=True)
    for name, text in (("gan", "torch.cuda.FloatTensor and its kin"),
                       ("dcgan", "upsampling, batch norm"), ("cgan", "labels in embeddings"),
                       ("wgan", "clamped weights"))]
_TUTORIAL = [
    Program("pytorch-tutorial", "tutorials/" + folder, "main.py", text, why="unseeded weights",
            losses=losses, samples=200, operators=True)
    for folder, text, losses in (
        ("01-basics/feedforward_neural_network", "linear layers, Adam", r"images: (\S+) %"),
        ("02-intermediate/convolutional_neural_network", "convolutions", r"images: (\S+) %"),
        ("02-intermediate/recurrent_neural_network", "LSTM", r"images: (\S+) %"),
        ("02-intermediate/bidirectional_recurrent_neural_network", "LSTM both ways",
         r"images: (\S+) %"),
    )]
_SPEEDRUNS = [
    Program("modded-nanogpt", ".", "train_gpt2.py --input_bin train.bin --input_val_bin val.bin "
            "--batch_size 2 --sequence_length 64 --num_iterations 4 --val_loss_every 2 "
            "--val_max_steps 2 --accumulation 2", "Muon, a compiled model in DDP, autocast",
            env={"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": "29531"}, gpu_only=True),
    Program("nanochat", ".", "-m pytest -q tests/test_optim.py tests/test_engine.py "
            "tests/test_attention_fallback.py", "its own tests: compiled Muon and AdamW, KV caches",
            needs=("pytest", "filelock"), gpu_only=True),
]
_ANY_NUMBER = r"-?\d+\.\d+|tokens .+"


def _library(command: str, exercises: str, needs: str, **more) -> Program:
    return Program(OWN, ".", command, exercises, **{"losses": _ANY_NUMBER, **more},
                   needs=tuple(needs.split()), env={"CUDA_VISIBLE_DEVICES": "0"})


TRANSFORMERS = ("llama", "qwen2", "mistral", "mixtral", "gpt2", "mamba", "bert", "roberta", "t5",
                "vit", "clip", "whisper")
_LIBRARIES = [
    *(_library(f"transformers_models.py {name}", f"transformers: {name} trained, and generation "
               "where it has one", "transformers") for name in TRANSFORMERS),
    _library("transformers_trainer.py", "transformers.Trainer, resumed from a checkpoint",
             "transformers accelerate", losses=r"^loss ([0-9.]+)"),
    _library("accelerate_loop.py", "accelerate: accumulation, clipping, saved state", "accelerate"),
    _library("lightning_fit.py", "lightning on accelerator=\"gpu\", a checkpoint", "lightning"),
    _library("peft_lora.py", "peft: LoRA, saved and merged", "peft transformers"),
    *(_library(f"diffusers_models.py {name}", f"diffusers: {text}, a scheduler's loop",
               "diffusers transformers")
      for name, text in (("unet", "UNet2D"), ("dit", "DiT"), ("vae", "AutoencoderKL"))),
    _library("small_libraries.py", "safetensors, einops, torchmetrics",
             "safetensors einops torchmetrics"),
    _library("sentence_embeddings.py", "sentence-transformers: trained, encoded, searched",
             "sentence_transformers"),
    _library("geometric_nodes.py", "torch_geometric: GCN, GAT, SAGE", "torch_geometric"),
    _library("stable_baselines.py", "stable-baselines3: PPO and DQN", "stable_baselines3"),
]
PROGRAMS = [*_NANOGPT, *_MINGPT, *_EXAMPLES, *_HOGWILD, *_DISTRIBUTED, *_LESSONS, *_GANS,
            *_TUTORIAL, *_SPEEDRUNS, *_LIBRARIES]
