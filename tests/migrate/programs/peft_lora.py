"""peft: LoRA on a tiny Llama, trained, saved, merged."""

import tempfile

import torch
import transformers as tf
from peft import LoraConfig, PeftModel, get_peft_model

device = "cuda" if torch.cuda.is_available() else "cpu"


def base():
    torch.manual_seed(0)
    return tf.LlamaForCausalLM(tf.LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        vocab_size=128, max_position_embeddings=64)).to(device)


def main():
    model = get_peft_model(base(), LoraConfig(
        r=8, lora_alpha=16, lora_dropout=0.0, target_modules=["q_proj", "v_proj"],
        task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    words = torch.randint(3, 128, (4, 16)).to(device)
    for _ in range(4):
        loss = model(input_ids=words, labels=words).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"loss {loss.item():.5f}")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        again = PeftModel.from_pretrained(base(), folder).merge_and_unload()
    print(f"loss {again(input_ids=words, labels=words).loss.item():.5f}")


if __name__ == "__main__":
    main()
