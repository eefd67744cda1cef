"""sentence-transformers: a small random BERT that encodes sentences, is trained, and searches."""

import os
import random
import tempfile

import torch
from sentence_transformers import InputExample, SentenceTransformer, losses, models, util
from torch.utils.data import DataLoader
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a the dog cat runs sleeps red blue tree house is on ."
TEXTS = ["the dog runs", "a cat sleeps on the red house", "the tree is blue ."]


def make(folder):
    vocabulary = os.path.join(folder, "vocab.txt")
    with open(vocabulary, "w") as file:
        file.write("\n".join(WORDS.split()))
    BertTokenizerFast(vocabulary).save_pretrained(folder)
    BertModel(BertConfig(vocab_size=len(WORDS.split()), hidden_size=32, num_hidden_layers=2,
                         num_attention_heads=4, intermediate_size=64, hidden_dropout_prob=0,
                         attention_probs_dropout_prob=0)).save_pretrained(folder)
    return SentenceTransformer(modules=[models.Transformer(folder), models.Pooling(32)])


def show(title, model):
    embeddings = model.encode(TEXTS, convert_to_tensor=True, normalize_embeddings=True,
                              show_progress_bar=False)
    assert embeddings.is_cuda == torch.cuda.is_available()
    for row in util.cos_sim(embeddings, embeddings).tolist():
        print(title, *(f"{value:.4f}" for value in row))
    return embeddings


def main():
    torch.manual_seed(0)
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        model = make(folder)
        show("before", model)
        examples = [InputExample(texts=TEXTS[:2], label=0.2),
                    InputExample(texts=TEXTS[1:], label=0.9)] * 4
        loader = DataLoader(examples, shuffle=False, batch_size=4)
        loader.collate_fn = model.smart_batching_collate
        loss_of = losses.CosineSimilarityLoss(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for features, labels in loader:
            features = [util.batch_to_device(part, model.device) for part in features]
            loss = loss_of(features, labels.to(model.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(f"loss {loss.item():.5f}")
    after = show("after", model)
    for hit in util.semantic_search(after[:1], after, top_k=3)[0]:
        print(f"found {hit['corpus_id']} {hit['score']:.4f}")


if __name__ == "__main__":
    main()
