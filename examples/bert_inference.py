"""Runs a BERT of small random weights from `transformers` on trn and compares it with the CPU.

Ends with exit code 1 when the outputs differ by more than rounding.
"""

import argparse

import torch
from transformers import BertConfig, BertModel


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="trn", help="trn or cuda")
    args = parser.parse_args()
    torch.manual_seed(0)
    config = BertConfig(vocab_size=1000, hidden_size=128, num_hidden_layers=4,
                        num_attention_heads=4, intermediate_size=512)
    model = BertModel(config).eval()
    ids = torch.randint(0, config.vocab_size, (4, 48))
    mask = torch.ones_like(ids)
    mask[1, 30:] = 0
    mask[3, 10:] = 0

    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask)
        model.to(args.device)
        got = model(input_ids=ids.to(args.device), attention_mask=mask.to(args.device))

    for name in ("last_hidden_state", "pooler_output"):
        want, have = expected[name], got[name]
        error = (want - have.cpu()).abs().max().item()
        print(f"{name}: {tuple(have.shape)} on {have.device}, largest difference {error:.2e}")
        torch.testing.assert_close(have.cpu(), want, atol=1e-4, rtol=1e-4)
    print("equal to the CPU's output within 1e-4")


if __name__ == "__main__":
    main()
