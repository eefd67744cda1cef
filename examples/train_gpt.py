"""Trains a small byte-level GPT on the Python standard library's own source, as a CUDA program.

    torch-trn run examples/train_gpt.py     on trn, unmodified
    python examples/train_gpt.py            on a CUDA GPU, or on the CPU where there is none
"""

import argparse
import math
import os
import sysconfig
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Config:
    vocab: int = 256
    context: int = 128
    layers: int = 4
    heads: int = 6
    width: int = 192
    dropout: float = 0.0


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.heads, self.dropout = c.heads, c.dropout
        self.qkv = nn.Linear(c.width, 3 * c.width, bias=False)
        self.out = nn.Linear(c.width, c.width, bias=False)

    def forward(self, x):
        batch, time_, width = x.shape
        q, k, v = (
            part.view(batch, time_, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(y.transpose(1, 2).contiguous().view(batch, time_, width))


class Block(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(c.width), Attention(c)
        self.norm2 = nn.LayerNorm(c.width)
        self.mlp = nn.Sequential(
            nn.Linear(c.width, 4 * c.width), nn.GELU(), nn.Linear(4 * c.width, c.width),
            nn.Dropout(c.dropout),
        )

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.config = c
        self.tokens = nn.Embedding(c.vocab, c.width)
        self.positions = nn.Embedding(c.context, c.width)
        self.dropout = nn.Dropout(c.dropout)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        self.head = nn.Linear(c.width, c.vocab, bias=False)
        self.head.weight = self.tokens.weight
        self.apply(self._init)

    @staticmethod
    def _init(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, ids, targets=None):
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.dropout(self.tokens(ids) + self.positions(positions))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        if targets is None:
            return logits, None
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
        return logits, loss

    @torch.no_grad()
    def generate(self, ids, count, temperature=0.8, top_k=40):
        for _ in range(count):
            logits, _ = self(ids[:, -self.config.context:])
            logits = logits[:, -1, :].float() / temperature
            kth = torch.topk(logits, top_k).values[:, [-1]]
            logits[logits < kth] = -float("inf")
            chosen = torch.multinomial(F.softmax(logits, dim=-1), num_samples=1)
            ids = torch.cat((ids, chosen), dim=1)
        return ids


def read_text(limit: int) -> torch.Tensor:
    """The bytes of the standard library's modules, at most ``limit`` of them."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = b""
    for path in sorted(folder.glob("*.py")):
        text += path.read_bytes()
        if len(text) >= limit:
            break
    if not text:
        raise SystemExit(f"no Python source in {folder}")
    return torch.frombuffer(bytearray(text[:limit]), dtype=torch.uint8)


def learning_rate(step: int, args) -> float:
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    done = (step - args.warmup) / max(1, args.steps - args.warmup)
    return args.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=20)
    parser.add_argument("--eval-every", type=int, default=100)
    parser.add_argument("--sample", type=int, default=200, help="bytes of text to sample")
    parser.add_argument("--bytes", type=int, default=2_000_000, help="bytes of text to read")
    parser.add_argument("--checkpoint", help="where to save; a temporary file if not given")
    parser.add_argument("--seed", type=int, default=1337)
    return parser.parse_args()


def main():
    args = parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    on_gpu = device == "cuda"
    torch.manual_seed(args.seed)
    if on_gpu:
        torch.cuda.manual_seed_all(args.seed)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        print(f"device: {torch.cuda.get_device_name(0)} ({torch.cuda.device_count()} of them)")

    data = read_text(args.bytes)
    split = int(0.9 * len(data))
    parts = {"train": data[:split], "val": data[split:]}

    def get_batch(part):
        source = parts[part]
        starts = torch.randint(len(source) - args.context - 1, (args.batch,))
        x = torch.stack([source[s : s + args.context] for s in starts]).long()
        y = torch.stack([source[s + 1 : s + 1 + args.context] for s in starts]).long()
        if on_gpu:
            return (x.pin_memory().to(device, non_blocking=True),
                    y.pin_memory().to(device, non_blocking=True))
        return x, y

    config = Config(context=args.context, layers=args.layers, heads=args.heads,
                    width=args.width, dropout=args.dropout)
    model = GPT(config).to(device)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(data):,} bytes of text")

    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95),
                                  weight_decay=0.1, fused=on_gpu)
    scaler = torch.amp.GradScaler("cuda", enabled=on_gpu)
    autocast = torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext()

    @torch.no_grad()
    def evaluate(batches=4):
        model.eval()
        losses = torch.zeros(batches)
        for i in range(batches):
            with autocast:
                losses[i] = model(*get_batch("val"))[1].item()
        model.train()
        return losses.mean().item()

    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
    started = time.time()
    x, y = get_batch("train")
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args)
        with autocast:
            _, loss = model(x, y)
        x, y = get_batch("train")  # the next batch is fetched while the device computes
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0 or step == args.steps - 1:
            rate = args.batch * args.context * (step + 1) / (time.time() - started)
            print(f"step {step:4d}  loss {loss.item():.3f}  {rate:,.0f} bytes/s", flush=True)
        if (step + 1) % args.eval_every == 0:
            print(f"step {step:4d}  val loss {evaluate():.3f}", flush=True)
    if on_gpu:
        end.record()
        torch.cuda.synchronize()
        print(f"trained in {begin.elapsed_time(end) / 1000:.1f} s, peak memory "
              f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")

    path = args.checkpoint or os.path.join(tempfile.mkdtemp(), "gpt.pt")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                "config": asdict(config), "step": args.steps}, path)
    checkpoint = torch.load(path, map_location=device)
    restored = GPT(Config(**checkpoint["config"])).to(device)
    restored.load_state_dict(checkpoint["model"])
    restored.eval()
    same = all(torch.equal(a, b) for a, b in zip(model.parameters(), restored.parameters()))
    print(f"checkpoint {path}: {'same weights' if same else 'DIFFERENT weights'} after loading")

    prompt = b"def "
    ids = torch.tensor([list(prompt)], dtype=torch.long, device=device)
    with autocast:
        text = bytes(restored.generate(ids, args.sample)[0].tolist())
    print("-- sample " + "-" * 50)
    print(text.decode("utf-8", errors="replace"))
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
