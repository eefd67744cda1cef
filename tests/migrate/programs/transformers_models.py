"""Tiny models of transformers with random weights: three steps of training, then generation.

transformers_models.py NAME...
"""

import sys

import torch
import transformers as tf

device = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
         "num_attention_heads": 4, "vocab_size": 128, "max_position_embeddings": 64,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GROUPED = {**SIZES, "num_key_value_heads": 2}
BERT = {**SIZES, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
VISION = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
          "num_attention_heads": 4, "image_size": 32, "patch_size": 8}


def words(rows=4, length=24):
    return torch.randint(3, 128, (rows, length))


def decoder(config):
    return tf.AutoModelForCausalLM.from_config(config), lambda: {"input_ids": (x := words()),
                                                                 "labels": x}


def masked(config):
    return tf.AutoModelForMaskedLM.from_config(config), lambda: {"input_ids": (x := words()),
                                                                 "labels": x}


def t5():
    config = tf.T5Config(d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4, vocab_size=128,
                         dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0)
    return tf.T5ForConditionalGeneration(config), lambda: {"input_ids": words(),
                                                           "labels": words(4, 12)}


def vit():
    model = tf.ViTForImageClassification(tf.ViTConfig(
        **VISION, num_labels=10, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    return model, lambda: {"pixel_values": torch.randn(4, 3, 32, 32),
                           "labels": torch.randint(0, 10, (4,))}


def clip():
    text = {**SIZES, "eos_token_id": 2}
    model = tf.CLIPModel(tf.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=32))
    return model, lambda: {"input_ids": words(), "pixel_values": torch.randn(4, 3, 32, 32),
                           "return_loss": True}


def whisper():
    config = tf.WhisperConfig(
        vocab_size=128, num_mel_bins=16, d_model=64, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=96,
        decoder_ffn_dim=96, max_source_positions=20, max_target_positions=32, dropout=0.0,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        suppress_tokens=None, begin_suppress_tokens=None)
    return tf.WhisperForConditionalGeneration(config), lambda: {
        "input_features": torch.randn(2, 16, 40), "labels": words(2, 12)}


MODELS = {
    "llama": lambda: decoder(tf.LlamaConfig(**GROUPED)),
    "qwen2": lambda: decoder(tf.Qwen2Config(**GROUPED)),
    "mistral": lambda: decoder(tf.MistralConfig(**GROUPED, sliding_window=16)),
    "mixtral": lambda: decoder(tf.MixtralConfig(**GROUPED, num_local_experts=4,
                                                output_router_logits=True)),
    "gpt2": lambda: decoder(tf.GPT2Config(
        n_embd=64, n_layer=2, n_head=4, vocab_size=128, n_positions=64, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2)),
    "mamba": lambda: decoder(tf.MambaConfig(
        hidden_size=64, state_size=8, num_hidden_layers=2, vocab_size=128, pad_token_id=0,
        bos_token_id=1, eos_token_id=2)),
    "bert": lambda: masked(tf.BertConfig(**BERT)),
    "roberta": lambda: masked(tf.RobertaConfig(**{**BERT, "max_position_embeddings": 70})),
    "t5": t5, "vit": vit, "clip": clip, "whisper": whisper,
}


def main(name):
    torch.manual_seed(0)
    model, batch = MODELS[name]()
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=device == "cuda")
    for _ in range(3):
        inputs = {k: v.to(device, non_blocking=True) if torch.is_tensor(v) else v
                  for k, v in batch().items()}
        loss = model(**inputs).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        print(f"loss {loss.item():.5f} norm {norm.item():.4f}")
    if model.can_generate():
        model.eval()
        inputs = {k: v for k, v in inputs.items() if k in ("input_ids", "input_features")}
        tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        print("tokens", " ".join(map(str, tokens[0, -6:].tolist())))


if __name__ == "__main__":
    for each in sys.argv[1:]:
        main(each)
